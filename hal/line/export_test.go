//go:build !mips && !mipsle && !mips64 && !mips64le

package line

var GuardZero = guardZero
