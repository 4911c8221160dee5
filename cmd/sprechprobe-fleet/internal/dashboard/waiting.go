package dashboard

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// Waiter is a box that belongs to nobody yet and asks to be claimed. Of what it
// says of itself only the code is proven.
type Waiter struct {
	Code string    `json:"code"`
	Box  string    `json:"box"` // what it says it is
	Key  string    `json:"key"` // its public key
	At   time.Time `json:"at"`  // when it last asked
}

// maxWaiters is how many a page shows. Anybody can make boxes up.
const maxWaiters = 20

// waiter is one as the page shows it.
type waiter struct{ Code, Box, Asked string }

// waiting are the boxes to claim, and how many more there are.
func (s *Server) waiting(l labels) (shown []waiter, more string) {
	all := s.conf.Waiting()
	now := s.conf.Now()
	for _, w := range all[:min(len(all), maxWaiters)] {
		asked := l.ago(now.Sub(w.At).Truncate(time.Minute)) // no news each second
		shown = append(shown, waiter{clean(w.Code, 20), clean(w.Box, 120), asked})
	}
	if n := len(all) - len(shown); n > 0 {
		more = fmt.Sprintf(l.MoreWaiting, n)
	}
	return shown, more
}

// waiters serves the boxes to claim.
func (s *Server) waiters(w http.ResponseWriter, _ *http.Request) {
	out := s.conf.Waiting()
	if out == nil {
		out = []Waiter{}
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(out) // who left does not read
}
