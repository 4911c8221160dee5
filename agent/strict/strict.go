// Package strict reads TOML files and names file, line and entry in every error.
// It also checks the two forms of text that several files share, hosts and
// labels. It does not know what any file is about: that is up to the struct it
// fills and to the checks that its caller makes with [Place.Errorf].
//
// Strict means: an entry that the struct does not have, a value of another type,
// a number out of range and an entry set twice are errors, and all of them are
// reported at once. Dates and numbers without an end are refused, for no file
// of ours has any.
package strict

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"syscall"
	"unicode/utf8"
)

const (
	// MaxSize is the largest file that is read, bytes. It bounds what a hostile
	// file can cost: 64 KiB of brackets and commas take 4 MB for a moment.
	MaxSize = 64 << 10

	maxEntries = 4096 // keys, tables and list items of one file
	maxDepth   = 16   // entries within entries
)

// Decode reads data into the struct that into points at. Fields are found by
// their toml tag alone. A field may be a string, a bool, an integer, a float64,
// a struct, or a pointer to or a slice of those; a pointer stays nil where the
// file does not set it.
//
// The returned Doc gives the places of entries for further checks; it is nil
// where there is an error. Errors are *[Error], joined by [errors.Join] and
// sorted by line. file is the name they use.
func Decode(file string, data []byte, into any) (*Doc, error) {
	target := reflect.ValueOf(into)
	if target.Kind() != reflect.Pointer || target.Elem().Kind() != reflect.Struct {
		panic("strict: can only read into a pointer to a struct")
	}
	if err := acceptable(file, data); err != nil {
		return nil, err
	}
	root, err := parse(file, bytes.TrimPrefix(data, []byte("\ufeff")))
	if err != nil {
		return nil, err
	}
	doc := &Doc{file: file, root: root}
	decode(doc.at(root), target.Elem())
	if err := doc.Err(); err != nil {
		return nil, err
	}
	return doc, nil
}

// acceptable refuses what is no text of a reasonable size. Editors and shells
// would show such bytes in ways that hide what a file says.
func acceptable(file string, data []byte) error {
	if len(data) > MaxSize {
		return &Error{File: file, Text: fmt.Sprintf("file of more than %d bytes", MaxSize)}
	}
	if i := bytes.IndexByte(data, 0); i >= 0 {
		return &Error{File: file, Line: lineOf(data, i), Text: "NUL byte"}
	}
	if i := invalidUTF8(data); i >= 0 {
		return &Error{File: file, Line: lineOf(data, i), Text: fmt.Sprintf("byte 0x%02x is not UTF-8", data[i])}
	}
	return nil
}

// invalidUTF8 is the offset of the first byte that is no UTF-8, or -1.
func invalidUTF8(data []byte) int {
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

func lineOf(data []byte, offset int) int {
	return 1 + bytes.Count(data[:offset], []byte("\n"))
}

// ReadFile reads a file for [Decode]. It refuses what is no regular file (a
// symbolic link to one is fine) and what is larger than [MaxSize], and never
// waits for a pipe's writer. Where there is no such file, the error is
// [io/fs.ErrNotExist].
func ReadFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &Error{File: path, Text: "not a regular file"}
	}
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, err
	}
	if len(data) > MaxSize {
		return nil, &Error{File: path, Text: fmt.Sprintf("file of more than %d bytes", MaxSize)}
	}
	return data, nil
}

// Errors takes a joined error of [Decode] or [Doc.Err] apart.
func Errors(err error) []*Error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []*Error
		for _, e := range joined.Unwrap() {
			all = append(all, Errors(e)...)
		}
		return all
	}
	var e *Error
	if errors.As(err, &e) {
		return []*Error{e}
	}
	return nil
}
