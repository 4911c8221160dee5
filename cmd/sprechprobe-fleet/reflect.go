package main

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sprechprobe/sprechprobe/agent/wire/iperf3"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/reflector"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/relay"
)

const reflectArgs = `[flags]
  --listen ADDR          where to listen, TCP and UDP (default :5201)
  --rate RATE            of all tests together, each direction (default 1G); a datagram counts
                         as 500 bytes at least
  --test-rate RATE       of one test, each direction (default as --rate)
  --test-time DURATION   the longest test (default 1m)
  --tests N              tests at once (default 100)
  --tests-per-source N   of one address at once (default 4)
  --users FILE           who may test: lines of name,sha256 as iperf3 has them
  --key FILE             the RSA private key for their logins, PEM
  --pkcs1                take the logins of iperf3 before 3.17 too
  --turn ADDR            where to relay calls too (TURN and STUN), UDP and TCP, as in
                         192.0.2.7:3478; needs --turn-secret
  --turn-secret FILE     the secret that names and passwords are made of, as serve has it
                         in --relay-secret
  --turn-public ADDR     the address by which peers reach the relay, if not that of --turn
  --turn-ports A-B       that are relayed from (default 49152-65535)
  --turn-tls ADDR        where to relay over TLS, with --turn-cert FILE and --turn-key FILE
  --turn-allocations N   at once, of all boxes (default 1000; 6 of one)
  --turn-rate RATE       of one allocation, each direction (default 8M)`

// reflectFlags are the settings of reflect.
type reflectFlags struct {
	listen, rate, testRate, users, key string
	pkcs1                              bool
	limits                             reflector.Limits
	turn                               *relay.Config // nil: none
}

func parseReflect(args []string) (reflectFlags, error) {
	var r reflectFlags
	f := flags("reflect")
	f.StringVar(&r.listen, "listen", ":5201", "")
	f.StringVar(&r.rate, "rate", "1G", "")
	f.StringVar(&r.testRate, "test-rate", "", "")
	f.DurationVar(&r.limits.TestTime, "test-time", time.Minute, "")
	f.IntVar(&r.limits.Tests, "tests", 100, "")
	f.IntVar(&r.limits.Source, "tests-per-source", 4, "")
	f.StringVar(&r.users, "users", "", "")
	f.StringVar(&r.key, "key", "", "")
	f.BoolVar(&r.pkcs1, "pkcs1", false, "")
	t := turnFlags{limits: relay.Usual}
	t.register(f)
	if err := parse(f, args); err != nil {
		return r, err
	}
	var err error
	if r.turn, err = t.config(); err != nil {
		return r, errUsage{err}
	}
	if r.limits.Rate, err = iperf3.ParseRate(r.rate); err != nil {
		return r, errUsage{fmt.Errorf("--rate: %w", err)}
	}
	if r.testRate != "" {
		if r.limits.TestRate, err = iperf3.ParseRate(r.testRate); err != nil {
			return r, errUsage{fmt.Errorf("--test-rate: %w", err)}
		}
	}
	switch {
	case r.limits.Rate == 0 || r.testRate != "" && r.limits.TestRate == 0:
		return r, errUsage{errors.New("--rate and --test-rate want more than 0")}
	case r.limits.TestTime < time.Second || r.limits.Tests < 1 || r.limits.Source < 1:
		return r, errUsage{errors.New("--test-time wants at least 1s, --tests and --tests-per-source at least 1")}
	case (r.users == "") != (r.key == ""):
		return r, errUsage{errors.New("--users and --key belong together")}
	case r.pkcs1 && r.key == "":
		return r, errUsage{errors.New("--pkcs1 is for --users and --key")}
	}
	return r, nil
}

// runReflect serves measurements until ctx ends.
func runReflect(ctx context.Context, e env, args []string) error {
	r, err := parseReflect(args)
	if err != nil {
		return err
	}
	c := reflector.Config{Limits: r.limits, Log: slog.New(logHandler(e.err))}
	if r.users != "" {
		if c.Gate, err = readGate(r.users, r.key); err != nil {
			return err
		}
		c.Gate.PKCS1 = r.pkcs1
	}
	tcp, udp, err := iperf3.Listen(r.listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	c.Log.Info("reflecting", "listen", tcp.Addr().String())
	if r.turn == nil {
		return reflector.Serve(ctx, c, tcp, udp)
	}
	server, err := relay.Open(*r.turn)
	if err != nil {
		return errors.Join(err, tcp.Close(), udp.Close())
	}
	c.Log.Info("relaying", "listen", server.Addr().String())
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return reflector.Serve(ctx, c, tcp, udp) })
	g.Go(func() error { return server.Run(ctx) })
	return g.Wait()
}

// readGate reads who may test.
func readGate(users, key string) (*iperf3.Gate, error) {
	text, err := os.ReadFile(users)
	if err != nil {
		return nil, err
	}
	g := &iperf3.Gate{}
	if g.Users, err = iperf3.ParseUsers(string(text)); err != nil {
		return nil, fmt.Errorf("%s: %w", users, err)
	}
	pemBytes, err := os.ReadFile(key)
	if err != nil {
		return nil, err
	}
	if g.Key, err = parsePrivateKey(pemBytes); err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return g, nil
}

// parsePrivateKey reads an RSA key as openssl writes it, PKCS #8 or #1.
func parsePrivateKey(pemBytes []byte) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode(pemBytes)
	if block == nil {
		return nil, errors.New("no PEM")
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	if k, ok := key.(*rsa.PrivateKey); ok {
		return k, nil
	}
	return nil, errors.New("not a key of RSA")
}
