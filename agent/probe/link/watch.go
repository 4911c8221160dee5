package link

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// settle is how long the kernel must be quiet before a change is believed: a
// cable that goes in brings its address and its route a moment later.
const settle = 700 * time.Millisecond

// wayOut is what a person would call "the network here".
type wayOut struct {
	device  string
	up      bool
	local   netip.Prefix
	gateway netip.Addr
}

// Watch calls changed whenever the way out changes: the cable, the address or
// the gateway. Other news of the kernel, such as an address that is renewed, are
// passed over. It runs until ctx ends and then returns nil; an error says that
// this system tells no news. changed must not block. Waiting costs nothing.
func Watch(ctx context.Context, s System, changed func()) error {
	s = s.withDefaults()
	news, err := subscribe()
	if err != nil {
		return fmt.Errorf("news of the network: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { news.Close() })
	defer stop()
	defer news.Close()
	for last := s.wayOut(); ; {
		if err := next(news); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("news of the network: %w", err)
		}
		if now := s.wayOut(); now != last {
			last = now
			changed()
		}
	}
}

// subscribe opens a socket on which the kernel tells of links, addresses and
// routes (rtnetlink(7)). It needs no privilege.
func subscribe() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	groups := uint32(unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV4_ROUTE |
		unix.RTMGRP_IPV6_IFADDR | unix.RTMGRP_IPV6_ROUTE)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "netlink"), nil
}

// next waits for news and then until they are over. What they say is not read:
// the state of things is asked for afterwards, so that lost news do no harm.
func next(news *os.File) error {
	b := make([]byte, 8<<10)
	if err := news.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	for {
		_, err := news.Read(b)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case err != nil && !errors.Is(err, unix.ENOBUFS):
			return err
		}
		if err := news.SetReadDeadline(time.Now().Add(settle)); err != nil {
			return err
		}
	}
}

func (s System) wayOut() wayOut {
	routes, _ := s.defaultRoutes()
	names, _ := s.interfaces()
	way := s.choose(names, routes)
	up, known := s.carrier(way.device)
	local, _ := s.localAddr(way.device)
	return wayOut{way.device, up || !known, local, way.gateway}
}
