package main

import (
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"net/netip"

	"github.com/sprechprobe/sprechprobe/agent/wire/iperf3"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/relay"
)

// turnFlags are the settings of reflect for relaying.
type turnFlags struct {
	listen, secret, public, ports, secure, cert, key, rate string
	limits                                                 relay.Limits
}

func (t *turnFlags) register(f *flag.FlagSet) {
	f.StringVar(&t.listen, "turn", "", "")
	f.StringVar(&t.secret, "turn-secret", "", "")
	f.StringVar(&t.public, "turn-public", "", "")
	f.StringVar(&t.ports, "turn-ports", "", "")
	f.StringVar(&t.secure, "turn-tls", "", "")
	f.StringVar(&t.cert, "turn-cert", "", "")
	f.StringVar(&t.key, "turn-key", "", "")
	f.StringVar(&t.rate, "turn-rate", "", "")
	f.IntVar(&t.limits.Allocations, "turn-allocations", t.limits.Allocations, "")
}

// config is what the flags come to; nil where nothing is to be relayed.
func (t *turnFlags) config() (*relay.Config, error) {
	if t.listen == "" {
		if t.secret+t.public+t.ports+t.secure+t.cert+t.key+t.rate != "" {
			return nil, errors.New("--turn is missing: the other flags of that name are for it")
		}
		return nil, nil
	}
	c := &relay.Config{Realm: "sprechprobe", Ports: relay.Ports, Limits: t.limits}
	var err error
	if c.Listen, err = netip.ParseAddrPort(t.listen); err != nil {
		return nil, fmt.Errorf("--turn %q: want an address and a port, such as 192.0.2.7:3478", t.listen)
	}
	if t.public != "" {
		if c.Public, err = netip.ParseAddr(t.public); err != nil {
			return nil, fmt.Errorf("--turn-public %q: want an address", t.public)
		}
	}
	if t.ports != "" {
		if n, err := fmt.Sscanf(t.ports, "%d-%d", &c.Ports[0], &c.Ports[1]); n != 2 || err != nil {
			return nil, fmt.Errorf("--turn-ports %q: want two ports, such as 49152-65535", t.ports)
		}
	}
	if t.rate != "" {
		rate, err := iperf3.ParseRate(t.rate)
		if err != nil {
			return nil, fmt.Errorf("--turn-rate: %w", err)
		}
		c.Rate = int(rate)
	}
	if t.secret == "" {
		return nil, errors.New("--turn wants --turn-secret")
	}
	if c.Secret, err = relaySecret("--turn-secret", t.secret); err != nil {
		return nil, err
	}
	return c, t.encrypt(c)
}

func (t *turnFlags) encrypt(c *relay.Config) error {
	if t.secure == "" && t.cert == "" && t.key == "" {
		return nil
	}
	if t.secure == "" || t.cert == "" || t.key == "" {
		return errors.New("--turn-tls, --turn-cert and --turn-key belong together")
	}
	var err error
	if c.Secure, err = netip.ParseAddrPort(t.secure); err != nil {
		return fmt.Errorf("--turn-tls %q: want an address and a port", t.secure)
	}
	pair, err := tls.LoadX509KeyPair(t.cert, t.key)
	if err != nil {
		return fmt.Errorf("--turn-cert: %w", err)
	}
	c.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	return nil
}
