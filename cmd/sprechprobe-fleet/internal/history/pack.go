package history

import (
	"fmt"

	"github.com/klauspost/compress/zstd"

	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// packer makes reports small for the disk: to about a third.
type packer struct {
	w *zstd.Encoder
	r *zstd.Decoder
}

func newPacker() (packer, error) {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(fleet.MaxReport), zstd.WithEncoderCRC(false))
	if err != nil {
		return packer{}, fmt.Errorf("history: %w", err)
	}
	r, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(4*fleet.MaxReport), zstd.WithDecoderConcurrency(0))
	if err != nil {
		return packer{}, fmt.Errorf("history: %w", err)
	}
	return packer{w, r}, nil
}

func (p packer) pack(b []byte) []byte { return p.w.EncodeAll(b, nil) }

func (p packer) unpack(b []byte) ([]byte, error) { return p.r.DecodeAll(b, nil) }
