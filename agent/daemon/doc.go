// Package daemon wires the box together: it builds the probes, makes rounds
// when their turn comes, judges them and hands each report to the lights, the
// serial panel, the uplink and the journal. One goroutine owns the Book and the
// newest report; everything else gets values, so that a stuck link or a slow
// panel never stalls a light.
package daemon
