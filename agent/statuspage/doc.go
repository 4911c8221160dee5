// Package statuspage is the box's page on the practice's own network: the
// verdict in one sentence, the installer's steps, what is missing and the
// release request to copy, the last 24 hours, and what the lights mean.
//
// It only shows. No request changes anything, asks anything of anybody or is
// remembered, and there is nothing on it that support would not ask a caller to
// read out. Everybody on the network is a stranger to it: what one of them costs
// is bounded in memory, goroutines and time. It knows no probe, no schedule and
// no lamp; somebody hands it a [State].
package statuspage
