package spool

import (
	"encoding/binary"
	"hash/crc32"
)

// A file is a sequence of frames, numbers big-endian:
//
//	0  magic "Sp"
//	2  version
//	3  kind
//	4  length of the body, bytes, never 0
//	8  number
//	16 floor: records up to it were gone when this was written
//	24 CRC-32C of bytes 0 to 23
//	28 body
//	.. CRC-32C of everything before
//
// A power cut leaves half a frame, or zeros, at the end of a file; neither has
// the magic and a checksum that fits. The header has a checksum of its own, so
// that reading on after a bad byte costs no more than looking for the next one.
const (
	magic   = "Sp"
	version = 1
	headLen = 28
	tailLen = 4
	// placeSize is what a place takes, bytes.
	placeSize = headLen + 48 + tailLen

	// maxBody bounds one frame, bytes.
	maxBody = 64 << 10
	// maxNumber is far beyond what any box puts, and leaves room to count.
	maxNumber = 1 << 62
)

// kind says what a frame is.
type kind byte

const (
	record   kind = 'R' // the number is its own
	gap      kind = 'G' // the number is the first that is gone
	position kind = 'P' // the number counts positions
)

var (
	order = binary.BigEndian
	table = crc32.MakeTable(crc32.Castagnoli)
)

type frame struct {
	kind   kind
	number uint64
	floor  uint64
	body   []byte
}

// appendTo writes the frame behind b.
func (f frame) appendTo(b []byte) []byte {
	at := len(b)
	b = append(b, magic...)
	b = append(b, version, byte(f.kind))
	b = order.AppendUint32(b, uint32(len(f.body)))
	b = order.AppendUint64(b, f.number)
	b = order.AppendUint64(b, f.floor)
	b = order.AppendUint32(b, crc32.Checksum(b[at:], table))
	b = append(b, f.body...)
	return order.AppendUint32(b, crc32.Checksum(b[at:], table))
}

// size is how many bytes the frame takes.
func (f frame) size() int { return headLen + len(f.body) + tailLen }

// parse reads the frame at the beginning of b.
func parse(b []byte) (f frame, ok bool) {
	if len(b) < headLen+tailLen || string(b[:2]) != magic || b[2] != version {
		return frame{}, false
	}
	n := order.Uint32(b[4:])
	if order.Uint32(b[24:]) != crc32.Checksum(b[:24], table) || n == 0 || n > maxBody {
		return frame{}, false
	}
	end := headLen + int(n)
	if len(b) < end+tailLen || order.Uint32(b[end:]) != crc32.Checksum(b[:end], table) {
		return frame{}, false
	}
	f = frame{kind(b[3]), order.Uint64(b[8:]), order.Uint64(b[16:]), b[headLen:end]}
	return f, f.number > 0 && max(f.number, f.floor) < maxNumber
}

// scan hands out every whole frame of b with its offset, and returns how many
// bytes belong to none.
func scan(b []byte, take func(f frame, off int64)) (bad int64) {
	for i := 0; i < len(b); {
		f, ok := parse(b[i:])
		if !ok {
			i++
			bad++
			continue
		}
		take(f, int64(i))
		i += f.size()
	}
	return bad
}

// place is everything that is known besides the records: how far they were
// taken off, and what became of those that were not delivered.
type place struct {
	line    uint64 // whose numbers these are, at random
	serial  uint64 // of places, so that the newest of several is known
	floor   uint64 // records up to it are gone
	tried   uint64 // records up to it may have been sent
	receipt uint64 // of the last delivery
	dropped int64  // of those up to floor
	damaged int64  // of those up to floor
	through uint64 // records up to it have been on the disk
}

func (p place) frame() frame {
	var b []byte
	for _, v := range []uint64{p.line, p.tried, p.receipt, uint64(p.dropped), uint64(p.damaged), p.through} {
		b = order.AppendUint64(b, v)
	}
	return frame{position, p.serial, p.floor, b}
}

// newer reads a place, and returns the newer one of it and p.
func (p place) newer(f frame) place {
	if f.size() != placeSize || f.number <= p.serial {
		return p
	}
	at := func(i int) uint64 { return order.Uint64(f.body[8*i:]) }
	q := place{at(0), f.number, f.floor, at(1), at(2), int64(at(3)), int64(at(4)), at(5)}
	if q.through >= maxNumber || q.dropped >= maxNumber || q.damaged >= maxNumber {
		return p
	}
	return q
}
