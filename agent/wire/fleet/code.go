package fleet

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// codeLetters are those of Crockford's base32: no I, L, O and U, which are taken
// for others.
const codeLetters = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

const (
	codeLength = 12 // the last letter is a check
	codeWork   = 4096
)

// Code is the claim code of a box: short enough to be read out over the telephone,
// derived from the box's public key and from nothing else. 55 bits of it count,
// and each guess costs 4096 hashes, so nobody makes a key with the code of a box
// that is about to be claimed. It is no secret.
func Code(publicKey string) string {
	sum := sha256.Sum256([]byte("sprechprobe claim code\n" + publicKey))
	for range codeWork - 1 {
		sum = sha256.Sum256(sum[:])
	}
	bits := binary.BigEndian.Uint64(sum[:])
	var letters [codeLength]byte
	for i := range codeLength - 1 {
		letters[i] = byte(bits >> (59 - 5*i) & 31) // the first 55 bits
	}
	letters[codeLength-1] = checkLetter(letters[:codeLength-1])
	for i, l := range letters {
		letters[i] = codeLetters[l]
	}
	s := string(letters[:])
	return s[:4] + "-" + s[4:8] + "-" + s[8:]
}

// checkLetter is such that one wrong letter, or two that changed places, never
// pass: the letters are the coefficients of a polynomial over GF(32), whose
// value at the generator it is.
func checkLetter(letters []byte) byte {
	var sum byte
	for _, l := range letters {
		sum = double(sum ^ l)
	}
	return sum
}

// double multiplies by the generator of GF(32), modulo x^5+x^2+1.
func double(b byte) byte {
	if b <<= 1; b&32 != 0 {
		b ^= 0b100101
	}
	return b
}

// ParseCode reads a claim code as people write it: in small letters, with blanks
// or without, with O for 0 and I or L for 1. It returns it as [Code] does.
func ParseCode(s string) (string, error) {
	if len(s) > 100 {
		return "", errors.New("claim code: too long")
	}
	var letters []byte
	for _, r := range strings.ToUpper(s) {
		switch r {
		case ' ', '-', '.':
			continue
		case 'O':
			r = '0'
		case 'I', 'L':
			r = '1'
		}
		i := strings.IndexRune(codeLetters, r)
		if i < 0 {
			return "", fmt.Errorf("claim code %.40q: %q is no letter of a claim code", s, r)
		}
		letters = append(letters, byte(i))
	}
	if len(letters) != codeLength {
		return "", fmt.Errorf("claim code %.40q: has %d letters, want %d", s, len(letters), codeLength)
	}
	last := codeLength - 1
	if checkLetter(letters[:last]) != letters[last] {
		return "", fmt.Errorf("claim code %.40q: a letter is wrong, or two have changed places", s)
	}
	for i, l := range letters {
		letters[i] = codeLetters[l]
	}
	c := string(letters)
	return c[:4] + "-" + c[4:8] + "-" + c[8:], nil
}

// ShortID is what a beacon calls a box: the beginning of its claim code, as it
// stands in a DNS name.
func ShortID(publicKey string) string {
	return strings.ToLower(strings.ReplaceAll(Code(publicKey)[:9], "-", ""))
}
