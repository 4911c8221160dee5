//go:build !mips && !mipsle && !mips64 && !mips64le

package led

var GuardZero = guardZero
