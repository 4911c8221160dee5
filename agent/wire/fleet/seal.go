package fleet

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nkeys"
)

// ErrUnsigned says that something bears no valid signature of a key that counts.
var ErrUnsigned = errors.New("not signed by the vendor")

// MaxSealed is the largest sealed message, bytes. It fits into the payload that a
// box may receive.
const MaxSealed = 48 << 10

// Signer is a private key of the vendor. An [nkeys.KeyPair] is one.
type Signer interface {
	PublicKey() (string, error)
	Sign(input []byte) ([]byte, error)
}

// Seal writes body as JSON under a signature that also covers what it is: no
// assignment can be passed off as a command. The form is one line of schema,
// public key and signature, and then the JSON as it was signed.
func Seal(schema string, body any, by Signer) ([]byte, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	key, err := by.PublicKey()
	if err != nil {
		return nil, err
	}
	sig, err := by.Sign(signed(schema, b))
	if err != nil {
		return nil, err
	}
	out := fmt.Appendf(nil, "%s %s %s\n", schema, key, base64.RawURLEncoding.EncodeToString(sig))
	if out = append(out, b...); len(out) > MaxSealed {
		return nil, fmt.Errorf("%s of %d bytes is over %d", schema, len(out), MaxSealed)
	}
	return out, nil
}

// Unseal returns the body of what [Seal] wrote, if one of keys has signed it. The
// error is [ErrUnsigned] where none has.
func Unseal(schema string, sealed []byte, keys []string) (body []byte, err error) {
	as, key, sig, body, err := sealOf(schema, sealed)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", schema, err)
	case !slices.Contains(keys, key):
		return nil, fmt.Errorf("%s: %w: signed by %.60q", schema, ErrUnsigned, key)
	}
	by, err := nkeys.FromPublicKey(key)
	if err != nil || by.Verify(signed(as, body), sig) != nil {
		return nil, fmt.Errorf("%s: %w: the signature is wrong", schema, ErrUnsigned)
	}
	return body, nil
}

// sealOf takes a sealed message apart, without believing it. as is the schema that
// it bears.
func sealOf(schema string, sealed []byte) (as, key string, sig, body []byte, err error) {
	if len(sealed) > MaxSealed {
		return "", "", nil, nil, fmt.Errorf("%d bytes, want at most %d", len(sealed), MaxSealed)
	}
	line, body, _ := bytes.Cut(sealed, []byte("\n"))
	if len(line) > 256 {
		line = line[:256]
	}
	words := strings.Split(string(line), " ")
	if len(words) != 3 || CheckSchema(words[0], schema) != nil {
		return "", "", nil, nil, fmt.Errorf("starts with %.40q, want this schema, a key and a signature", line)
	}
	sig, err = base64.RawURLEncoding.DecodeString(words[2])
	if err != nil {
		return "", "", nil, nil, fmt.Errorf("%w: no signature", ErrUnsigned)
	}
	return words[0], words[1], sig, body, nil
}

// signed is what a signature covers.
func signed(schema string, body []byte) []byte {
	return append([]byte(schema+"\n"), body...)
}

// CheckVendorKey says whether s is a public key of the kind that vendors sign
// with: an nkey of type operator. The error does not repeat it: it may be a secret
// one, put where the public one belongs.
func CheckVendorKey(s string) error {
	if !nkeys.IsValidPublicOperatorKey(s) {
		return errors.New("want a vendor's public key, O and 55 letters and digits")
	}
	return nil
}
