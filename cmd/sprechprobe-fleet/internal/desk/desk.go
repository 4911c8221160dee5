// Package desk is where boxes go that belong to nobody: it lets them on the bus
// just far enough to say their key, notes who is waiting, and hands out the
// grants that the vendor has signed elsewhere. It can sign neither grants nor
// boxes, and boxes that have been claimed do not need it.
package desk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
	"github.com/nats-io/nkeys"
)

// Config says with what the desk works.
type Config struct {
	// Claims is a connection in the account of boxes that belong to nobody.
	Claims *nats.Conn
	// Signer is the key with which that account signs its users.
	Signer nkeys.KeyPair
	// Centre is the account with the streams and the settings.
	Centre jetstream.JetStream
	Log    *slog.Logger
}

const (
	callout = "$SYS.REQ.USER.AUTH"
	// visit is how long a box may stay that only came to say its key.
	visit = 30 * time.Second
	// perSecond and burst bound how many such boxes are let in. A fleet that is
	// plugged in for the first time comes one by one.
	perSecond = 50
	burst     = 200
)

// Desk is at work until Close.
type Desk struct {
	conf  Config
	store *Store
	subs  []*nats.Subscription
	desk  micro.Service

	mu    sync.Mutex
	limit rate
}

// Open starts the desk. The streams that it needs are made or brought up to date.
func Open(ctx context.Context, c Config) (*Desk, error) {
	d := &Desk{conf: c, limit: rate{tokens: burst}}
	if err := d.open(ctx); err != nil {
		d.Close()
		return nil, fmt.Errorf("claims: %w", err)
	}
	return d, nil
}

func (d *Desk) open(ctx context.Context) (err error) {
	if d.store, err = OpenStore(ctx, d.conf.Centre); err != nil {
		return err
	}
	sub, err := d.conf.Claims.QueueSubscribe(callout, "desk", d.judge)
	if err != nil {
		return err
	}
	d.subs = append(d.subs, sub)
	d.desk, err = micro.AddService(d.conf.Claims, micro.Config{Name: "sprechprobe-claims", Version: "1.0.0",
		Description: "hands out grants to boxes that have been claimed"})
	if err != nil {
		return err
	}
	return d.desk.AddEndpoint("claim", micro.HandlerFunc(d.claim), micro.WithEndpointSubject(claims))
}

// Close ends the desk.
func (d *Desk) Close() {
	for _, s := range d.subs {
		_ = s.Unsubscribe()
	}
	if d.desk != nil {
		_ = d.desk.Stop()
	}
}

// judge answers the server's question who somebody is that came without a JWT. In
// a flood it gives no answer: the server then refuses by itself, after a while.
func (d *Desk) judge(m *nats.Msg) {
	if !d.allow(time.Now()) {
		return
	}
	req, err := jwt.DecodeAuthorizationRequestClaims(string(m.Data))
	if err != nil {
		d.conf.Log.Warn("claims: question of the server", "err", err)
		return
	}
	var answer string
	if key, no := proven(req); no != nil {
		answer, err = d.refuse(req, no)
	} else {
		answer, err = d.admit(req, key)
	}
	if err == nil {
		err = m.Respond([]byte(answer))
	}
	if err != nil {
		d.conf.Log.Warn("claims: cannot answer the server", "err", err)
	}
}

func (d *Desk) allow(now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.limit.take(now)
}

// proven is the key of whoever came, if the signature of the server's nonce is
// that key's.
func proven(req *jwt.AuthorizationRequestClaims) (string, error) {
	key := req.ConnectOptions.Nkey
	if !nkeys.IsValidPublicUserKey(key) {
		return "", errors.New("no box's key")
	}
	by, err := nkeys.FromPublicKey(key)
	if err != nil {
		return "", err
	}
	sig, err := signature(req.ConnectOptions.SignedNonce)
	if err != nil {
		return "", err
	}
	if req.ClientInformation.Nonce == "" {
		return "", errors.New("no nonce")
	}
	return key, by.Verify([]byte(req.ClientInformation.Nonce), sig)
}

// admit writes what a box may do that belongs to nobody: say its own key, and hear
// the answer.
func (d *Desk) admit(req *jwt.AuthorizationRequestClaims, key string) (string, error) {
	account := req.Subject // the account that asks
	u := jwt.NewUserClaims(req.UserNkey)
	u.Name, u.IssuerAccount, u.Expires = key, account, time.Now().Add(visit).Unix()
	u.Pub.Allow.Add(claimSubject(key))
	u.Sub.Allow.Add(claimInbox(key) + ".>")
	u.Limits.Subs, u.Limits.Payload = 4, maxClaim
	user, err := u.Encode(d.conf.Signer)
	if err != nil {
		return "", err
	}
	r := answerTo(req)
	r.Jwt = user
	return r.Encode(d.conf.Signer)
}

// refuse writes that somebody is not let in. Only the server reads why.
func (d *Desk) refuse(req *jwt.AuthorizationRequestClaims, why error) (string, error) {
	r := answerTo(req)
	r.Error = why.Error()
	return r.Encode(d.conf.Signer)
}

func answerTo(req *jwt.AuthorizationRequestClaims) *jwt.AuthorizationResponseClaims {
	r := jwt.NewAuthorizationResponseClaims(req.UserNkey)
	r.Audience, r.IssuerAccount = req.Server.ID, req.Subject
	return r
}

// rate is a bucket of tokens.
type rate struct {
	tokens float64
	at     time.Time
}

func (r *rate) take(now time.Time) bool {
	if !r.at.IsZero() {
		r.tokens = min(burst, r.tokens+now.Sub(r.at).Seconds()*perSecond)
	}
	r.at = now
	if r.tokens < 1 {
		return false
	}
	r.tokens--
	return true
}
