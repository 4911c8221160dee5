package dial

import (
	"bufio"
	"net"
)

// NewStream and NewWebSocket are for fuzzing what comes over the network.
func NewStream(c net.Conn) net.Conn    { return newStream(c, info{}) }
func NewWebSocket(c net.Conn) net.Conn { return &webSocket{Conn: c, r: bufio.NewReader(c)} }
