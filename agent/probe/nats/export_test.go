package nats

import (
	"bufio"
	"io"
	"net/netip"
)

// Greeting is what the parser makes of foreign bytes.
type Greeting struct {
	Version, Refusal    string
	NeedsAuth, NeedsTLS bool
	Client              netip.Addr
}

// ReadGreeting reads one in the clear.
func ReadGreeting(r io.Reader) (Greeting, error) {
	g, err := readGreeting(bufio.NewReader(r))
	return Greeting{g.version, g.refusal, g.needsAuth, g.needsTLS, g.client}, err
}

// Payload is the data in a server's WebSocket frames.
func Payload(r io.Reader) io.Reader { return &frames{r: r} }

// InfoLimit is what a greeting may take.
const InfoLimit = infoLimit
