package history

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/klauspost/compress/s2"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

const (
	// packed opens what was packed with a dictionary; the dictionary's number follows,
	// 4 bytes, and then an S2 block.
	packed = 1

	// stale is after how many days a new dictionary is learnt: fleets change.
	stale = 30
	// sample bounds a dictionary, bytes; S2 takes no more.
	sample = 1 << 16
)

// packer makes reports small for the disk. Reports of one fleet are much alike, so
// that it learns a dictionary from a few of them, in which nothing is of a practice.
// Dictionaries are kept for as long as the history is, for everybody who reads it. It
// is safe for concurrent use.
type packer struct {
	mu    sync.Mutex
	dicts map[uint32]*s2.Dict // by number, which is the day on which it was learnt
	last  uint32              // the newest one; 0: none
}

func newPacker() *packer { return &packer{dicts: map[uint32]*s2.Dict{}} }

// newest returns the dictionary to pack with; nil: there is none.
func (p *packer) newest() (uint32, *s2.Dict) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last, p.dicts[p.last]
}

func (p *packer) enter(n uint32, d *s2.Dict) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dicts[n], p.last = d, max(p.last, n)
}

func (p *packer) pack(b []byte) []byte {
	n, d := p.newest()
	out := make([]byte, 5+s2.MaxEncodedLen(len(b)))
	out[0] = packed
	binary.LittleEndian.PutUint32(out[1:], n)
	return out[:5+len(d.Encode(out[5:], b))]
}

// unpack reads what was packed. The number is that of the dictionary which is
// missing, 0 where none is.
func (p *packer) unpack(b []byte) (raw []byte, missing uint32, err error) {
	if len(b) < 5 || b[0] != packed {
		return nil, 0, errors.New("kept report is cut off or damaged")
	}
	n := binary.LittleEndian.Uint32(b[1:])
	p.mu.Lock()
	d := p.dicts[n]
	p.mu.Unlock()
	if d == nil {
		return nil, n, fmt.Errorf("no dictionary %d", n)
	}
	if size, err := s2.DecodedLen(b[5:]); err != nil || size > 4*fleet.MaxReport {
		return nil, 0, fmt.Errorf("kept report of %d bytes: %w", size, errors.Join(err, s2.ErrTooLarge))
	}
	raw, err = d.Decode(nil, b[5:])
	return raw, 0, err
}

// open unpacks a kept report. A dictionary that another program has learnt is
// fetched.
func (db *DB) open(ctx context.Context, b []byte) ([]byte, error) {
	raw, missing, err := db.pack.unpack(b)
	if missing == 0 {
		return raw, err
	}
	if err := db.dictionaries(ctx); err != nil {
		return nil, err
	}
	raw, _, err = db.pack.unpack(b)
	return raw, err
}

// dictionaries reads all that were learnt.
func (db *DB) dictionaries(ctx context.Context) error {
	return db.e.read(ctx, `SELECT day, dictionary FROM dictionaries`, nil, func(s scan) error {
		var day int64
		var b []byte
		if err := s(&day, &b); err != nil {
			return err
		}
		d := s2.NewDict(b)
		if d == nil {
			return fmt.Errorf("dictionary %d cannot be read", day)
		}
		db.pack.enter(uint32(day), d)
		return nil
	})
}

// learn sees to it that there is a dictionary, and learns one from entries where
// there is none that is new enough.
func (db *DB) learn(ctx context.Context, entries []Entry) error {
	today := uint32(db.conf.Now().Unix() / int64(24*time.Hour/time.Second))
	if last, d := db.pack.newest(); d != nil && today < last+stale || len(entries) == 0 {
		return nil
	}
	d, err := dictionary(entries)
	if err != nil {
		return err
	}
	err = db.e.write(ctx, func(t tx) error {
		_, err := t.each(`INSERT INTO dictionaries (day, dictionary) VALUES (?, ?) ON CONFLICT (day) DO NOTHING`, [][]any{{int64(today), d.Bytes()}})
		return err
	})
	if err != nil {
		return err
	}
	return db.dictionaries(ctx) // somebody else may have been first
}

// dictionary makes one from the first of the entries.
func dictionary(entries []Entry) (*s2.Dict, error) {
	var b bytes.Buffer
	for _, e := range entries {
		text, err := json.Marshal(nobodys(e.Report))
		if err != nil {
			return nil, err
		}
		if b.Len()+len(text) > sample {
			break
		}
		b.Write(text)
	}
	for b.Len() < s2.MinDictSize {
		b.WriteByte(' ')
	}
	return s2.MakeDict(b.Bytes(), nil), nil
}

// nobodys is a report without anything that is of one practice: a dictionary outlives
// the boxes that it was learnt from. What is left is what the service looks like.
func nobodys(r agent.Report) agent.Report {
	r = fleet.Redact(r)
	r.Box, r.Tenant, r.Settings, r.Commands = agent.Box{}, "", nil, nil
	findings, evidence := make([]agent.Finding, len(r.Findings)), make([]agent.Evidence, len(r.Evidence))
	for i, f := range r.Findings {
		f.Args = nil
		findings[i] = f
	}
	for i, e := range r.Evidence {
		values := agent.Values{}
		for k, v := range e.Values {
			if _, text := v.(string); text {
				v = ""
			}
			values[k] = v
		}
		e.Values = values
		if a := e.Target.Addr; a.IsPrivate() || a.IsLinkLocalUnicast() {
			e.Target.Addr = netip.Addr{}
		}
		evidence[i] = e
	}
	r.Findings, r.Evidence = findings, evidence
	return r
}
