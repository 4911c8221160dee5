package access

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// The cost of a hash: the least that OWASP's Password Storage Cheat Sheet asks of
// argon2id. A login is made wait by it, so more would help who floods us.
const (
	hashMemory  = 19 << 10 // KiB
	hashTime    = 2
	hashThreads = 1
	hashBytes   = 32
	saltBytes   = 16
)

const (
	leastPassword = 12  // characters
	mostPassword  = 512 // bytes
)

// checkPassword says what is wrong with a new password. There are no rules about
// signs and digits: length is what counts (NIST SP 800-63B, 3.1.1.2).
func checkPassword(name, password string) error {
	switch {
	case utf8.RuneCountInString(password) < leastPassword:
		return errShort
	case len(password) > mostPassword || !utf8.ValidString(password):
		return errLong
	case strings.EqualFold(password, name), strings.Count(password, password[:1]) == len(password):
		return errGuessed
	}
	return nil
}

var (
	errShort   = errors.New("password too short")
	errLong    = errors.New("password too long")
	errGuessed = errors.New("password easily guessed")
)

// hashPassword makes what is kept of a password (PHC string format).
func hashPassword(password string) string {
	salt := make([]byte, saltBytes)
	_, _ = rand.Read(salt) // never fails
	sum := argon2.IDKey([]byte(password), salt, hashTime, hashMemory, hashThreads, hashBytes)
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, hashMemory, hashTime, hashThreads,
		b64.EncodeToString(salt), b64.EncodeToString(sum))
}

// verifyPassword reports whether a password is that of a hash. It takes as long
// where there is none, so that nobody learns who has an account.
func verifyPassword(hash, password string) bool {
	var version int
	var memory, times uint32
	var threads uint8
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[1] != "argon2id" {
		argon2.IDKey([]byte(password), make([]byte, saltBytes), hashTime, hashMemory, hashThreads, hashBytes)
		return false
	}
	if _, err := fmt.Sscanf(parts[2], "v=%d", &version); err != nil || version != argon2.Version {
		return false
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &times, &threads); err != nil ||
		memory > 256<<10 || times == 0 || times > 10 || threads == 0 {
		return false
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil {
		return false
	}
	want, err := base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil || len(want) < 16 || len(want) > 64 {
		return false
	}
	got := argon2.IDKey([]byte(password), salt, times, memory, threads, uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1
}
