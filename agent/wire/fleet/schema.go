package fleet

import (
	"fmt"
	"strconv"
	"strings"
)

// CheckSchema says what is wrong with the schema that something bears. ours is the
// newest one: a fleet has boxes of all ages, so every lower number is read as
// well. What a higher number means nobody here can know.
func CheckSchema(theirs, ours string) error {
	name, number := splitSchema(ours)
	their, n := splitSchema(theirs)
	switch {
	case their != name || n < 1:
		return fmt.Errorf("schema %.60q, want %q", theirs, ours)
	case n > number:
		return fmt.Errorf("schema %.60q is newer than this program, which knows %q", theirs, ours)
	}
	return nil
}

// splitSchema takes a schema apart; the number is 0 where there is none.
func splitSchema(s string) (name string, number int) {
	name, digits, _ := strings.Cut(s, "/")
	n, err := strconv.Atoi(digits)
	if err != nil || strconv.Itoa(n) != digits {
		return name, 0
	}
	return name, n
}
