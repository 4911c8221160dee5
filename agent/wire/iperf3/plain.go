package iperf3

import (
	"net"
	"sync/atomic"
)

// worthFile is the size from which sendfile costs less than a write.
const worthFile = 16 << 10

// plainWriter sends the first n bytes of data by ordinary writes.
func plainWriter(c net.Conn, data []byte, count *atomic.Int64) func(n int) error {
	return func(n int) error {
		sent, err := c.Write(data[:n])
		count.Add(int64(sent))
		return err
	}
}

// plainSegmenter sends datagrams one by one.
func plainSegmenter(c net.Conn, size int) func(b []byte) (int, error) {
	return func(b []byte) (int, error) {
		for n := 0; ; n++ {
			if len(b) == 0 {
				return n, nil
			}
			if _, err := c.Write(b[:size]); err != nil {
				return n, err
			}
			b = b[size:]
		}
	}
}
