package strict

import (
	"math"
	"reflect"
	"strconv"
	"strings"
)

// decode fills v with the entry at p and notes what does not fit.
func decode(p Place, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		decode(p, v.Elem())
	case reflect.Struct:
		decodeTable(p, v)
	case reflect.Slice:
		decodeList(p, v)
	case reflect.String:
		if fits(p, text) {
			v.SetString(p.entry.data)
		}
	case reflect.Bool:
		if fits(p, boolean) {
			v.SetBool(p.entry.data == "true")
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		decodeInt(p, v)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		decodeUint(p, v)
	case reflect.Float64:
		decodeFloat(p, v)
	default:
		panic("strict: cannot read into " + v.Type().String())
	}
}

// fits notes where the entry at p is not of the kind wanted.
func fits(p Place, want kind) bool {
	if p.entry.kind != want {
		p.Errorf("is %s, want %s", p.entry.kind, want)
	}
	return p.entry.kind == want
}

func decodeTable(p Place, v reflect.Value) {
	if !p.entry.isTable() {
		p.Errorf("is %s, want %s", p.entry.kind, headed)
		return
	}
	for _, key := range p.entry.keys {
		i := fieldOf(v.Type(), key)
		if i < 0 {
			p.Key(key).Errorf("unknown entry (known here: %s)", strings.Join(fieldNames(v.Type()), ", "))
			continue
		}
		decode(p.Key(key), v.Field(i))
	}
}

func fieldOf(t reflect.Type, key string) int {
	for i, name := range fieldNames(t) {
		if name == key {
			return i
		}
	}
	return -1
}

// fieldNames are the toml tags of all fields, in order.
func fieldNames(t reflect.Type) []string {
	names := make([]string, t.NumField())
	for i := range names {
		names[i] = t.Field(i).Tag.Get("toml")
		if names[i] == "" || !t.Field(i).IsExported() {
			panic("strict: field " + t.Field(i).Name + " of " + t.String() + " needs a toml tag and a capital")
		}
	}
	return names
}

func decodeList(p Place, v reflect.Value) {
	if p.entry.kind != list && p.entry.kind != tables {
		p.Errorf("is %s, want %s", p.entry.kind, list)
		return
	}
	n := len(p.entry.items)
	v.Set(reflect.MakeSlice(v.Type(), n, n))
	for i := range n {
		decode(p.Item(i), v.Index(i))
	}
}

func decodeInt(p Place, v reflect.Value) {
	if !fits(p, integer) {
		return
	}
	// The parser has checked the form; base 0 reads 0x, 0o and 0b.
	n, err := strconv.ParseInt(digits(p), 0, 64)
	if err != nil || v.OverflowInt(n) {
		most := int64(math.MaxInt64) >> (64 - v.Type().Bits())
		p.Errorf("%.40s: want %d to %d", p.entry.data, -most-1, most)
		return
	}
	v.SetInt(n)
}

func decodeUint(p Place, v reflect.Value) {
	if !fits(p, integer) {
		return
	}
	// TOML's integers end at the largest int64.
	n, err := strconv.ParseInt(digits(p), 0, 64)
	if err != nil || n < 0 || v.OverflowUint(uint64(n)) {
		most := min(uint64(math.MaxInt64), uint64(math.MaxUint64)>>(64-v.Type().Bits()))
		p.Errorf("%.40s: want 0 to %d", p.entry.data, most)
		return
	}
	v.SetUint(uint64(n))
}

func decodeFloat(p Place, v reflect.Value) {
	if p.entry.kind != integer && !fits(p, float) {
		return
	}
	n, err := strconv.ParseFloat(digits(p), 64)
	if err != nil || math.IsInf(n, 0) || math.IsNaN(n) {
		p.Errorf("%.40s: want a finite decimal number", p.entry.data)
		return
	}
	v.SetFloat(n)
}

func digits(p Place) string { return strings.ReplaceAll(p.entry.data, "_", "") }
