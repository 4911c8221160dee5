package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/agent/wire/iperf3"
)

// speech is how bandwidth speaks one language.
type speech struct {
	comma                            string // between whole and part
	against                          string // address, transport, streams
	down, up                         string
	sent, received, lost, local      string
	jitter, again, rtt, capped, busy string
	denied, noServer, ended, slow    string
}

var speeches = map[advice.Lang]*speech{
	advice.German: {
		comma: ",", against: "Messung gegen %s, %s, Ströme: %d\n", down: "Empfang", up: "Senden",
		sent: "abgeschickt %s", received: "angekommen %s", lost: "im Netz verloren %s %%", local: "vom Empfänger selbst verworfen %s %%",
		jitter: "Schwankung %s ms", again: "%d Pakete wiederholt", rtt: "Laufzeit %s ms",
		capped:   "Der Messserver begrenzt auf %s: Die Leitung kann mehr können.\n",
		slow:     "Dieses Gerät war voll ausgelastet: Die Leitung kann mehr können.\n",
		busy:     "der Messserver ist mit anderen Messungen beschäftigt; bitte später noch einmal",
		denied:   "der Messserver lässt diesen Benutzer nicht messen (Benutzer, Passwort, Schlüssel und Uhr prüfen)",
		noServer: "dort antwortet kein iperf3", ended: "die Gegenseite hat die Messung beendet",
	},
	advice.English: {
		comma: ".", against: "Measuring against %s, %s, streams: %d\n", down: "Download", up: "Upload",
		sent: "sent %s", received: "arrived %s", lost: "lost in the network %s %%", local: "dropped by the receiver itself %s %%",
		jitter: "jitter %s ms", again: "%d packets sent again", rtt: "round trip %s ms",
		capped:   "The server limits to %s: the line may be faster.\n",
		slow:     "This device was fully busy: the line may be faster.\n",
		busy:     "the server is busy with other measurements; please try again later",
		denied:   "the server takes no test from this user (check user, password, key and clock)",
		noServer: "no iperf3 answers there", ended: "the far end has ended the test",
	},
}

func speechOf(lang string) (*speech, error) {
	l, err := advice.ParseLang(lang)
	return speeches[l], err
}

// number writes v with so many digits of a part.
func (s *speech) number(v float64, digits int) string {
	return strings.Replace(strconv.FormatFloat(v, 'f', digits, 64), ".", s.comma, 1)
}

func (s *speech) rate(bitsPerS float64) string { return s.number(bitsPerS/1e6, 2) + " Mbit/s" }

func (s *speech) ms(d time.Duration) string { return s.number(float64(d.Microseconds())/1000, 1) }

func (s *speech) heading(w io.Writer, addr string, r *iperf3.Result) {
	transport := "TCP"
	if r.Test.UDP {
		transport = "UDP"
	}
	if to := r.Control.Remote.String(); r.Control.Remote.IsValid() && to != addr {
		addr += " (" + to + ")"
	}
	fmt.Fprintf(w, s.against, foreign(addr), transport, r.Test.Streams)
}

// interval writes a line of progress.
func (s *speech) interval(w io.Writer, t iperf3.Test, i iperf3.Interval) {
	fmt.Fprintf(w, "  %5s-%s s", s.number(i.Start.Seconds(), 1), s.number(i.End.Seconds(), 1))
	if t.Direction != iperf3.Up {
		fmt.Fprintf(w, "  %s %s", s.down, s.rate(i.BitsPerS(false)))
	}
	if t.Direction != iperf3.Down {
		fmt.Fprintf(w, "  %s %s", s.up, s.rate(i.BitsPerS(true)))
	}
	if i.Omitted {
		fmt.Fprint(w, "  (-)")
	}
	fmt.Fprintln(w)
}

// busyAbove is the processor time, percent of one, from which this device may
// have been the limit.
const busyAbove = 90

// result writes what a test found.
func (s *speech) result(w io.Writer, res *iperf3.Result) {
	if res.Test.Direction != iperf3.Up {
		s.sum(w, s.down, res.Test, res.Sum(false))
	}
	if res.Test.Direction != iperf3.Down {
		s.sum(w, s.up, res.Test, res.Sum(true))
	}
	if res.RateCap > 0 {
		fmt.Fprintf(w, s.capped, s.rate(float64(res.RateCap)))
	}
	if res.CPU.Total > busyAbove {
		fmt.Fprint(w, s.slow)
	}
}

func (s *speech) sum(w io.Writer, name string, t iperf3.Test, x iperf3.Sum) {
	parts := []string{fmt.Sprintf(s.sent, s.rate(x.SentBitsPerS()))}
	if t.UDP {
		parts = append(parts, fmt.Sprintf(s.lost, s.number(100*x.LossRatio(), 2)), fmt.Sprintf(s.local, s.number(100*x.DropRatio(), 2)),
			fmt.Sprintf(s.jitter, s.ms(x.Jitter)))
	} else if x.Retransmits > 0 {
		parts = append(parts, fmt.Sprintf(s.again, x.Retransmits))
	}
	if x.MeanRTT > 0 {
		parts = append(parts, fmt.Sprintf(s.rtt, s.ms(x.MeanRTT)))
	}
	fmt.Fprintf(w, "%s: %s (%s)\n", name, fmt.Sprintf(s.received, s.rate(x.BitsPerS())), strings.Join(parts, ", "))
}

// trouble says in this language why there is no result.
func (s *speech) trouble(err error) error {
	for _, x := range []struct {
		is   error
		text string
	}{
		{iperf3.ErrBusy, s.busy},
		{iperf3.ErrDenied, s.denied},
		{iperf3.ErrProtocol, s.noServer},
		{iperf3.ErrTerminated, s.ended},
	} {
		if errors.Is(err, x.is) {
			return errors.New(x.text)
		}
	}
	return errors.New(foreign(err.Error()))
}
