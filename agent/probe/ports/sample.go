package ports

import (
	"math/rand/v2"
	"slices"
)

// sample picks up to count different ports of a range, in random order: both
// ends and the middle first, for a rule that was typed wrong misses an end,
// then random others. last below first means that there is only first.
func sample(first, last uint16, count int) []uint16 {
	last = max(first, last)
	size := int(last-first) + 1
	count = min(count, size)
	picked := make([]uint16, 0, count)
	add := func(p uint16) {
		if len(picked) < count && !slices.Contains(picked, p) {
			picked = append(picked, p)
		}
	}
	add(first)
	add(last)
	add(first + (last-first)/2)
	for len(picked) < count {
		add(first + uint16(rand.N(size)))
	}
	rand.Shuffle(count, func(i, j int) { picked[i], picked[j] = picked[j], picked[i] })
	return picked
}
