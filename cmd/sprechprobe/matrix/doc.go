// Package matrix holds the fault matrix: one row for each fault that a practice
// can have, and for each oddity that is none, with what the box must say about it.
// Its tests break a whole practice in networks of their own, run the box's program
// there, and count what it got right. It exports nothing.
package matrix
