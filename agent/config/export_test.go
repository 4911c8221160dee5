package config

// NewRaw returns the struct that a file is read into, for the test of
// reference.toml.
func NewRaw() any { return new(rawConfig) }
