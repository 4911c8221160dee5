package web

import "github.com/sprechprobe/sprechprobe/agent"

// RedirectsOf is what the search for redirects makes of foreign bytes: hosts as
// they would be reported, and whether each is foreign.
func RedirectsOf(location, refresh string, page []byte, t agent.Target) map[string]bool {
	out := map[string]bool{}
	for _, ref := range append(pageRedirects(page), location, refreshURL(refresh)) {
		if host, foreign := leaves(ref, t, "http"); host != "" {
			out[word(host)] = foreign
		}
	}
	return out
}
