package iperf3

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ParseRate reads a rate as iperf3's command line has it: bit/s, with K, M, G or
// T for powers of 1000.
func ParseRate(s string) (int64, error) { return parseUnit(s, 1000, "rate", "100M") }

// ParseSize reads an amount as iperf3's command line has it: bytes, with K, M, G
// or T for powers of 1024.
func ParseSize(s string) (int64, error) { return parseUnit(s, 1024, "size", "64K") }

func parseUnit(s string, base float64, what, example string) (int64, error) {
	digits, unit := s, 1.0
	if i := strings.IndexByte("kmgt", lower(s)); s != "" && i >= 0 {
		digits, unit = s[:len(s)-1], math.Pow(base, float64(i+1))
	}
	v, err := strconv.ParseFloat(digits, 64)
	if err != nil || v < 0 || v*unit >= 1<<62 || v != v {
		return 0, fmt.Errorf("bad %s %.20q (want, for example, %s)", what, s, example)
	}
	return int64(math.Round(v * unit)), nil
}

// lower is the last letter of s in lower case.
func lower(s string) byte {
	if s == "" {
		return 0
	}
	return s[len(s)-1] | 0x20
}
