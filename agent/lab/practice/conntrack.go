package practice

import (
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// ForgetConnections empties the table of connections, as a restart does.
func (r *Router) ForgetConnections() {
	r.t.Helper()
	const deleteConntrack = unix.NFNL_SUBSYS_CTNETLINK<<8 | 2 // IPCTNL_MSG_CT_DELETE; of all, where none is named
	r.do(func() {
		c, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
		if err != nil {
			r.t.Fatal(err)
		}
		defer c.Close()
		anyFamily := []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, 0}
		_, err = c.Execute(netlink.Message{
			Header: netlink.Header{Type: deleteConntrack, Flags: netlink.Request | netlink.Acknowledge}, Data: anyFamily,
		})
		if err != nil {
			r.t.Fatalf("empty the table of connections of %s: %v", r.Net.Name(), err)
		}
	})
}
