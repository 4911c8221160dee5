package reach

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// memDrops is the place of the drops in SO_MEMINFO (SK_MEMINFO_DROPS).
const memDrops = 8

// Dropped is how many datagrams have reached a UDP socket since it was opened and
// found no room in it: this machine lost them, not the line. It is 0 where the
// kernel (before 4.12) does not tell, and for a closed socket.
func Dropped(c syscall.Conn) (n int) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) {
		var mem [memDrops + 1]uint32
		size := uint32(unsafe.Sizeof(mem))
		_, _, err := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&mem)), uintptr(unsafe.Pointer(&size)), 0)
		if err == 0 {
			n = int(mem[memDrops])
		}
	})
	return n
}

// SyscallConn is the socket for the system's own calls.
func (s *Socket) SyscallConn() (syscall.RawConn, error) { return s.conn.SyscallConn() }
