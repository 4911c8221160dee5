package registry

import (
	"cmp"
	"slices"
)

// State is a box in one word: its verdict, or that it fell silent.
type State string

// Silent is the state of a box that has not been heard of for too long.
const Silent State = "silent"

// States lists all states, the worst first.
var States = []State{"blocked", "offline", "limited", Silent, "unknown", "ready"}

// State is the box's.
func (b Box) State() State {
	if b.Silent {
		return Silent
	}
	return State(b.Verdict().String())
}

// Troubled returns the boxes that have called for help since they last reported, and
// those that were heard of, but of which no report could be read: of these the
// history knows nothing. They come in order, as others see them.
func (r *Registry) Troubled() []Box {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Box
	for _, e := range r.trouble {
		out = append(out, r.seen(e))
	}
	slices.SortFunc(out, func(a, b Box) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Key.Box, b.Key.Box))
	})
	return out
}
