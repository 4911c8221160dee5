package uplink

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/sprechprobe/sprechprobe/agent/spool"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// letter is a report as it lies in the spool: it keeps its message id, the run it
// is of, and who the box was then, however often it is sent and whoever sends it.
type letter struct {
	id, boot string
	from     string // tenant/box
	body     []byte
}

// newLetter gives a report an id. It is random, for a guessable one could be taken
// by another box, whose report would be kept in this one's place.
func (u *Uplink) newLetter(body []byte) letter {
	return letter{rand.Text(), u.boot, u.address().String(), body}
}

func (u *Uplink) address() fleet.Address {
	return fleet.Address{Tenant: u.opts.Tenant, Box: u.opts.Box}
}

func (l letter) seal() []byte {
	return append([]byte(l.id+" "+l.boot+" "+l.from+"\n"), l.body...)
}

// unseal reads a letter. What lies on a disk may be anything, and id and boot
// become headers.
func unseal(b []byte) (letter, error) {
	head, body, _ := bytes.Cut(b, []byte("\n"))
	words := strings.Split(string(head), " ")
	if len(words) != 3 || !isToken(words[0]) || !isToken(words[1]) || len(body) == 0 {
		return letter{}, errors.New("what lies in the spool is no report")
	}
	return letter{words[0], words[1], words[2], body}, nil
}

// isToken reports whether s is 1 to 64 letters and digits.
func isToken(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

// errNeverTaken is a report that no repeat will bring to the vendor.
var errNeverTaken = errors.New("no repeat would bring it to the vendor")

// errTooLong is one that is over a limit of the vendor's server or stream.
var errTooLong = fmt.Errorf("%w: it is longer than he takes", errNeverTaken)

// acknowledgement is JetStream's answer to a message.
type acknowledgement struct {
	Stream string    `json:"stream"`
	Seq    uint64    `json:"seq"`
	Error  *apiError `json:"error"`
}

type apiError struct {
	ErrCode     int    `json:"err_code"`
	Description string `json:"description"`
}

func (e *apiError) Error() string {
	return fmt.Sprintf("jetstream: %.100q (%d)", e.Description, e.ErrCode)
}

// JetStream's error codes.
const (
	codeTooLong           = 10054 // the stream takes no message of this size
	codeWrongLastSequence = 10071
	codeWrongLastConstant = 10164 // the same in a cluster, without the number
)

// send publishes a report and returns its number in the stream.
//
// One that may have been stored before is sent on the condition that the stream
// has nothing newer of this box than the last report that was acknowledged: the
// message id would only help for as long as the stream remembers it, which is
// minutes, while the answer may have been lost hours ago.
func (u *Uplink) send(ctx context.Context, conn *nats.Conn, r spool.Record) (uint64, error) {
	l, err := unseal(r.Data)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errNeverTaken, err)
	}
	if l.from != u.address().String() {
		// The box has come to somebody else, whom this practice is no business of.
		return 0, fmt.Errorf("%w: it is of %.130q, which this box no longer is", errNeverTaken, l.from)
	}
	msg := nats.NewMsg(u.subject)
	msg.Data = l.body
	msg.Header.Set(nats.MsgIdHdr, l.id)
	msg.Header.Set(fleet.HeaderBoot, l.boot)
	if r.Tried && r.Receipt > 0 {
		msg.Header.Set(nats.ExpectedLastSubjSeqHdr, strconv.FormatUint(r.Receipt, 10))
	}
	u.spool.Try(r)
	a, err := u.publish(ctx, conn, msg)
	var no *apiError
	switch {
	case err == nil:
		return a.Seq, nil
	case !errors.As(err, &no):
		return 0, err
	case no.ErrCode == codeTooLong:
		return 0, errTooLong
	case no.ErrCode != codeWrongLastSequence && no.ErrCode != codeWrongLastConstant:
		return 0, err
	}
	if last := trailingNumber(no.Description); last > r.Receipt {
		return last, nil // nobody else writes there: it was this one
	}
	msg.Header.Del(nats.ExpectedLastSubjSeqHdr) // the stream has forgotten, or does not say
	a, err = u.publish(ctx, conn, msg)
	return a.Seq, err
}

// publish sends a message and waits for its acknowledgement.
func (u *Uplink) publish(ctx context.Context, conn *nats.Conn, msg *nats.Msg) (acknowledgement, error) {
	ctx, cancel := context.WithTimeout(ctx, u.ackLimit)
	defer cancel()
	var a acknowledgement
	answer, err := conn.RequestMsgWithContext(ctx, msg)
	for range 2 { // a cluster that is choosing its leader has nobody to answer
		if !errors.Is(err, nats.ErrNoResponders) || !pause(ctx, 250*time.Millisecond) {
			break
		}
		answer, err = conn.RequestMsgWithContext(ctx, msg)
	}
	switch {
	case errors.Is(err, nats.ErrMaxPayload) || err != nil && u.overPayload():
		return a, errTooLong
	case err != nil:
		return a, err
	}
	if err := json.Unmarshal(answer.Data, &a); err != nil {
		return a, fmt.Errorf("jetstream: %.100q is no acknowledgement", answer.Data)
	}
	switch {
	case a.Error != nil:
		return a, a.Error
	case a.Stream == "":
		return a, errors.New("jetstream: an acknowledgement without a stream")
	}
	return a, nil
}

// pause waits and reports whether ctx is still alive.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// overPayload reports whether the server ended the connection because a message
// is over its limit, which it says in words only.
func (u *Uplink) overPayload() bool {
	d := u.dialer.Load()
	return d != nil && strings.EqualFold(d.refusal(), "Maximum Payload Violation")
}

func trailingNumber(s string) uint64 {
	n, err := strconv.ParseUint(s[strings.LastIndexByte(s, ' ')+1:], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// beat tells the vendor how this box stands, without waiting for an answer. A
// change is told on a subject of its own.
func (u *Uplink) beat(conn *nats.Conn, due bool) {
	u.mu.Lock()
	news, subject := u.news, u.beats
	if u.news {
		subject = u.states
	}
	b := fleet.Beat{Schema: fleet.BeatSchema, Seq: u.seq, Verdict: u.verdict, EveryS: (u.beatEvery * 3 / 2).Seconds()}
	quiet := u.mute || !news && !due
	u.news = false
	u.mu.Unlock()
	if quiet {
		return
	}
	st := u.spool.Status()
	b.Stamp, b.Queued, b.Dropped = u.opts.stamp(), st.Waiting, st.Dropped+st.Damaged
	body, err := json.Marshal(b)
	if err != nil {
		u.opts.Log.Error("beat cannot be written", "err", err)
		return
	}
	msg := nats.NewMsg(subject)
	msg.Data = body
	msg.Header.Set(fleet.HeaderBoot, u.boot)
	_ = conn.PublishMsg(msg) // the next one comes
}
