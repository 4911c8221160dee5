package lab

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"testing"
	"time"
)

// Chain makes networks in a row behind this one, each of which forwards what is
// not for it, for IPv4 and IPv6, and returns once the last can be reached. The
// link into the nth is 10.0.n.0/24 and fd00:n::/64, from out0 (host 1) of the one
// before to in0 (host 2). Nobody translates, nothing is filtered, and no ICMP
// error is rationed.
func Chain(t testing.TB, names ...string) {
	t.Helper()
	const options = `
		ipv6/conf/default/dad_transmits 0
		ipv4/ip_forward 1
		ipv6/conf/all/forwarding 1
		ipv4/icmp_ratelimit 0
		ipv6/icmp/ratelimit 0`
	Set(t, options)
	IP(t, "link set lo up")
	before := ""
	for i, name := range names {
		n := i + 1
		IP(t, "netns add "+name)
		In(t, name, func() { Set(t, options) })
		IP(t, fmt.Sprintf(`
			-n %[2]s link set lo up
			%[3]slink add out0 type veth peer name in0 netns %[2]s
			%[3]saddress add 10.0.%[1]d.1/24 dev out0
			%[3]s-6 address add fd00:%[1]d::1/64 dev out0 nodad
			%[3]slink set out0 up
			-n %[2]s address add 10.0.%[1]d.2/24 dev in0
			-n %[2]s -6 address add fd00:%[1]d::2/64 dev in0 nodad
			-n %[2]s link set in0 up
			%[3]sroute add default via 10.0.%[1]d.2
			%[3]s-6 route add default via fd00:%[1]d::2`, n, name, before))
		for back := 1; back < n; back++ {
			IP(t, fmt.Sprintf(`
				-n %[2]s route add 10.0.%[3]d.0/24 via 10.0.%[1]d.1
				-n %[2]s -6 route add fd00:%[3]d::/64 via fd00:%[1]d::1`, n, name, back))
		}
		before = "-n " + name + " "
	}
	for _, last := range []string{fmt.Sprintf("10.0.%d.2:9", len(names)), fmt.Sprintf("[fd00:%d::2]:9", len(names))} {
		awaitRefusal(t, last)
	}
}

// awaitRefusal waits until a host says that nobody listens: a link takes up to a
// second until it carries.
func awaitRefusal(t testing.TB, addr string) {
	t.Helper()
	for end := time.Now().Add(patience); ; {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		switch {
		case err == nil:
			_ = c.Close()
			return
		case errors.Is(err, syscall.ECONNREFUSED):
			return
		case time.Now().After(end):
			t.Fatalf("%s does not come up: %v", addr, err)
		}
	}
}
