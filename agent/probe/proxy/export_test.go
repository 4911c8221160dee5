package proxy

// ParsePAC is what comes out of a script, as it would be reported.
func ParsePAC(script []byte) []string {
	var out []string
	for _, o := range parsePAC(script) {
		out = append(out, o.String())
	}
	return out
}

// ParseEnv is what comes out of a variable; empty: nothing.
func ParseEnv(s string) string {
	o, ok := parseEnv(s)
	if !ok {
		return ""
	}
	return o.String()
}
