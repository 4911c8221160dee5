package practice

import (
	"fmt"
	"strings"

	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/lab/impair"
)

// Way is where a router catches packets: before it looks at them, or when it is
// done with them. Its own packets are caught too.
type Way string

// The two ways by an interface.
const (
	Coming Way = "-t raw -A PREROUTING -i"
	Going  Way = "-t mangle -A POSTROUTING -o"
)

// Hold is packets that wait for this process.
type Hold struct {
	r     *Router
	rule  []string // of iptables
	queue *impair.Queue
}

// Hold catches packets by an interface that match, in the words of iptables for
// both families ("-p udp --sport 3478"), and lets befall them what how says.
func (r *Router) Hold(w Way, dev, match string, how impair.How) *Hold {
	r.t.Helper()
	r.queues++
	queue, err := impair.Open(r.Net, r.queues, how)
	if err != nil {
		r.t.Fatal(err)
	}
	h := &Hold{r: r, queue: queue}
	h.rule = append(append(strings.Fields(string(w)), dev), strings.Fields(match)...)
	h.rule = append(h.rule, "-j", "NFQUEUE", "--queue-bypass", "--queue-num", fmt.Sprint(r.queues))
	h.iptables()
	return h
}

// Set changes what befalls packets to come.
func (h *Hold) Set(how impair.How) { h.queue.Set(how) }

// Remove takes the rule back and lets go what still waits.
func (h *Hold) Remove() {
	h.r.t.Helper()
	h.rule[2] = "-D"
	h.iptables()
	h.queue.Close()
}

// iptables stands in for nft's own queue statement, which some kernels lack where
// they have this one.
func (h *Hold) iptables() {
	h.r.t.Helper()
	for _, program := range []string{"iptables", "ip6tables"} {
		h.r.output("", lab.Program(h.r.t, program, "iptables"), h.rule...)
	}
}
