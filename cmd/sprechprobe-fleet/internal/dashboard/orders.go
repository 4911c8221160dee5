package dashboard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/access"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/audit"
)

// Desk signs for the vendor: it commands boxes and gives them to customers.
type Desk interface {
	// Command asks a box to do something, one of [fleet.CommandNames]. The error is
	// [ErrAbsent], [ErrLate] or a [Refusal] where the box is the reason.
	Command(ctx context.Context, at fleet.Address, name string) error
	// Claim gives the box with a claim code or a public key its names. The error is
	// [ErrCode] or [ErrTaken] where what was typed is the reason.
	Claim(ctx context.Context, code string, at fleet.Address) error
}

// What boxes and people can be the reason of.
var (
	ErrAbsent = errors.New("the box is not there now")
	ErrLate   = errors.New("the box does not answer")
	ErrCode   = errors.New("no box with that code waits")
	ErrTaken  = errors.New("the name belongs to another box")
	errName   = errors.New("no name of a customer and a box")
)

// Refusal is a box's own word for why it does not obey.
type Refusal string

func (r Refusal) Error() string { return "the box says no: " + clean(string(r), 40) }

// buttons are the commands that a page offers.
var buttons = []string{fleet.Check, fleet.Identify, fleet.Bandwidth}

type command struct{ Name, Text string }

func (l labels) commands() []command {
	out := make([]command, len(buttons))
	for i, b := range buttons {
		out[i] = command{b, l.Commanded[b]}
	}
	return out
}

// answer says how a box has answered. Who makes up an address gets one of a few
// sentences, and none of his own.
func (l labels) answer(sent, word string) string {
	if l.Commanded[sent] == "" || l.Answers[word] == "" {
		return ""
	}
	return l.Commanded[sent] + ": " + l.Answers[word]
}

// answerOf is the word for what came of a command.
func answerOf(err error) string {
	var no Refusal
	switch {
	case err == nil:
		return "accepted"
	case errors.Is(err, ErrAbsent):
		return "absent"
	case errors.Is(err, ErrLate):
		return "late"
	case errors.As(err, &no):
		if _, ok := german.Answers[string(no)]; ok && no != "accepted" && no != "failed" {
			return string(no)
		}
		return "refused"
	}
	return "failed"
}

// maxForm bounds what a form may send, bytes.
const maxForm = 4 << 10

// command asks a box to do something, and shows its page with the answer. That it
// comes from one of our own forms is the gate's to see.
func (s *Server) command(w http.ResponseWriter, r *http.Request) {
	a := addressOf(r)
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	name := r.PostFormValue("name")
	if german.Commanded[name] == "" {
		access.Refuse(w, http.StatusBadRequest, "name: want check, identify or bandwidth")
		return
	}
	if s.conf.Desk == nil {
		access.Refuse(w, http.StatusConflict, "this machine does not have the key for commands")
		return
	}
	if _, _, err := s.known(r.Context(), a); errors.Is(err, errGone) {
		access.NotFound(w)
		return
	}
	deed := audit.Entry{What: "command-" + name, Tenant: a.Tenant, Object: a.Box, Result: "sent"}
	if err := access.Note(r, deed); err != nil {
		s.fail(w, r, fmt.Errorf("what cannot be noted is not done: %w", err))
		return
	}
	err := s.conf.Desk.Command(r.Context(), a, name)
	word := answerOf(err)
	if word == "failed" {
		s.conf.Log.Error("command", "box", a.String(), "name", name, "err", err)
	}
	deed.Result = word
	if err := access.Note(r, deed); err != nil {
		s.conf.Log.Error("the answer to a command is not noted", "err", err)
	}
	http.Redirect(w, r, boxURL(a, access.LanguageOf(r), "")+"&"+url.Values{"sent": {name}, "answer": {word}}.Encode()+"#answer", http.StatusSeeOther)
}

// claimView is the claim page.
type claimView struct {
	frame
	HasDesk            bool
	Waiting            []Waiter
	Asked              []string
	Code, Tenant, Name string
	Wrong, Done        string
}

// OtherURL is this page in the other language.
func (v claimView) OtherURL() string { return "/claim?lang=" + string(v.OtherLang()) }

// PageTitle is the window's.
func (v claimView) PageTitle() string { return v.L.Claim + " – " + v.L.Title }

func (s *Server) claimOf(r *http.Request) claimView {
	v := claimView{frame: s.frameOf(access.LanguageOf(r), access.WhoOf(r.Context())), HasDesk: s.conf.Desk != nil}
	now := s.conf.Now()
	for _, w := range s.conf.Waiting() {
		if len(v.Waiting) == maxWaiters {
			break
		}
		w.Box = clean(w.Box, 120)
		v.Waiting, v.Asked = append(v.Waiting, w), append(v.Asked, v.L.ago(now.Sub(w.At)))
	}
	v.Code = clean(r.URL.Query().Get("code"), 80)
	if a, err := fleet.ParseAddress(r.URL.Query().Get("done")); err == nil {
		v.Done = fmt.Sprintf(v.L.Claimed, a)
	}
	return v
}

// claimPage serves the form that gives a box to a customer.
func (s *Server) claimPage(w http.ResponseWriter, r *http.Request) {
	s.remember(w, r)
	s.send(w, r, "claim.html", s.claimOf(r))
}

// claim gives a box to a customer.
func (s *Server) claim(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	at := fleet.Address{Tenant: r.PostFormValue("tenant"), Box: r.PostFormValue("name")}
	code := r.PostFormValue("code")
	if s.conf.Desk == nil {
		access.Refuse(w, http.StatusConflict, "this machine does not have the key for claims")
		return
	}
	v := s.claimOf(r)
	v.Code, v.Tenant, v.Name = clean(code, 80), clean(at.Tenant, 64), clean(at.Box, 64)
	err := errName
	if at.Check() == nil {
		err = access.Note(r, audit.Entry{What: "claim", Tenant: at.Tenant, Object: at.Box, Result: "asked"})
	}
	if err == nil {
		err = s.conf.Desk.Claim(r.Context(), code, at)
	}
	switch {
	case v.L.wrong(err) != "":
		v.Wrong = v.L.wrong(err)
		s.sendAs(w, r, http.StatusUnprocessableEntity, "claim.html", v)
		return
	case err != nil:
		s.fail(w, r, fmt.Errorf("claim %s: %w", at, err))
		return
	}
	if err := access.Note(r, audit.Entry{What: "claim", Tenant: at.Tenant, Object: at.Box, Result: "ok"}); err != nil {
		s.conf.Log.Error("a claim is not noted", "err", err)
	}
	lang := cmp.Or(r.URL.Query().Get("lang"), string(access.LanguageOf(r)))
	http.Redirect(w, r, "/claim?"+url.Values{"lang": {lang}, "done": {at.String()}}.Encode(), http.StatusSeeOther)
}

// wrong says what is wrong with what somebody typed; empty: nothing of theirs.
func (l labels) wrong(err error) string {
	switch {
	case errors.Is(err, errName):
		return l.NameRule
	case errors.Is(err, ErrCode):
		return l.ClaimBad
	case errors.Is(err, ErrTaken):
		return l.ClaimTaken
	}
	return ""
}
