package registry

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
