// Package procd feeds the watchdog of OpenWrt's service manager, which a service
// does by calling a method on the system's bus, ubus. It speaks as much of that
// as it takes (ubusmsg.h of openwrt/ubus; blob.h and blobmsg.h of
// openwrt/libubox) and knows nothing else of the system.
package procd

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// Sockets are where ubus listens: since OpenWrt 21, and before.
var Sockets = []string{"/var/run/ubus/ubus.sock", "/var/run/ubus.sock"}

// patience is how long the bus may take to answer. Whoever feeds a watchdog has
// no time to lose.
const patience = time.Second

// maxMessage is the longest answer that is read, bytes; those of procd to these
// calls have some hundred.
const maxMessage = 64 << 10

// Watchdog is fed for one instance of a service. Its first feeding arms it: from
// then on procd restarts the instance that does not feed it in time. It is for
// one goroutine.
type Watchdog struct {
	Service, Instance string
	Timeout           time.Duration // whole seconds
	Sockets           []string      // the first that is there serves

	conn   net.Conn
	in     *bufio.Reader
	object uint32 // of procd on the bus
	seq    uint16
}

// Feed tells procd that the service lives. It keeps its connection to the bus;
// after an error it makes another one with the next call.
func (w *Watchdog) Feed() error {
	err := w.feed()
	if err != nil && w.conn != nil {
		_ = w.conn.Close()
		w.conn = nil
	}
	return err
}

func (w *Watchdog) feed() error {
	if w.conn == nil {
		if err := w.dial(); err != nil {
			return err
		}
	}
	if err := w.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if w.object == 0 {
		answer, err := w.call(lookup, 0, attr(objPath, zero("service")))
		if err != nil {
			return err
		}
		id := find(answer, objID)
		if len(id) != 4 {
			return errors.New("procd is not on the bus")
		}
		w.object = binary.BigEndian.Uint32(id)
	}
	const restart = 2 // the mode in which the watchdog is active
	args := join(field(text, "name", zero(w.Service)), field(text, "instance", zero(w.Instance)),
		field(number, "mode", number32(restart)), field(number, "timeout", number32(uint32(w.Timeout/time.Second))))
	_, err := w.call(invoke, w.object, join(attr(objID, number32(w.object)), attr(method, zero("watchdog")), attr(data, args)))
	return err
}

func (w *Watchdog) dial() error {
	var errs []error
	for _, path := range w.Sockets {
		conn, err := net.DialTimeout("unix", path, patience)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		w.conn, w.in, w.object = conn, bufio.NewReader(conn), 0
		_ = conn.SetDeadline(time.Now().Add(patience))
		kind, _, _, err := w.read()
		if err == nil && kind != hello {
			err = fmt.Errorf("ubus greets with message %d", kind)
		}
		return err
	}
	return errors.Join(errs...)
}

// Messages, and what they are made of.
const (
	hello  = 0
	status = 1
	reply  = 2
	lookup = 4
	invoke = 5

	statusAttr = 1
	objPath    = 2
	objID      = 3
	method     = 4
	data       = 7

	text   = 3 // types of a field
	number = 5
)

// call sends a message and reads to its end; answer is the last data before that.
func (w *Watchdog) call(kind byte, peer uint32, attrs []byte) (answer []byte, err error) {
	w.seq++
	m := []byte{0, kind}
	m = binary.BigEndian.AppendUint16(m, w.seq)
	m = binary.BigEndian.AppendUint32(m, peer)
	if _, err := w.conn.Write(append(m, attr(0, attrs)...)); err != nil {
		return nil, err
	}
	for {
		kind, seq, body, err := w.read()
		switch {
		case err != nil:
			return nil, err
		case seq != w.seq: // of a call that was given up
		case kind == reply:
			answer = body
		case kind == status:
			if code := find(body, statusAttr); len(code) != 4 || binary.BigEndian.Uint32(code) != 0 {
				return nil, fmt.Errorf("ubus answers with status %x", code)
			}
			return answer, nil
		}
	}
}

// read reads one message.
func (w *Watchdog) read() (kind byte, seq uint16, body []byte, err error) {
	head := make([]byte, 12)
	if _, err := io.ReadFull(w.in, head); err != nil {
		return 0, 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[8:]) & lengthMask
	if n < 4 || n > maxMessage {
		return 0, 0, nil, fmt.Errorf("ubus sends a message of %d bytes", n)
	}
	body = make([]byte, n-4)
	_, err = io.ReadFull(w.in, body)
	return head[1], binary.BigEndian.Uint16(head[2:]), body, err
}

const (
	lengthMask = 1<<24 - 1
	extended   = 1 << 31 // a name follows
)

// attr is a blob_attr: id and length in one number, and the value, padded.
func attr(id uint32, value []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, id<<24|uint32(len(value)+4))
	return pad(append(b, value...))
}

// field is a blobmsg: an attribute of a type, with a name.
func field(kind uint32, name string, value []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(len(name)))
	b = pad(append(append(b, name...), 0))
	a := attr(kind, append(b, value...))
	a[0] |= extended >> 24
	return a
}

// find is the value of the first attribute of an id, nil if there is none.
func find(b []byte, id byte) []byte {
	for len(b) >= 4 {
		head := binary.BigEndian.Uint32(b)
		n := int(head & lengthMask)
		if n < 4 || n > len(b) {
			return nil
		}
		if byte(head>>24)&0x7f == id {
			return b[4:n]
		}
		b = b[min(len(b), (n+3)&^3):]
	}
	return nil
}

func pad(b []byte) []byte {
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func zero(s string) []byte { return append([]byte(s), 0) }

func number32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

func join(parts ...[]byte) []byte {
	var b []byte
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

// Named reads what the service's script passes on: SERVICE/INSTANCE.
func Named(s string) (service, instance string, ok bool) {
	service, instance, ok = strings.Cut(s, "/")
	return service, instance, ok && service != "" && instance != ""
}
