package access

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Provider is where people of the vendor's own house log in (OpenID Connect Core
// 1.0, authorization code flow with PKCE).
type Provider struct {
	Issuer       string
	ClientID     string
	ClientSecret string
	Redirect     string   // our own address of /openid/callback, as the provider knows it
	Scopes       []string // besides openid
	NameClaim    string   // of the ID token, such as email
	GroupClaim   string   // of the ID token: a word or a list of words
	Grants       []Grant
	Client       *http.Client // default: one with a deadline

	mu    sync.Mutex
	ready *oidc.Provider
}

// Grant is what members of a group may do.
type Grant struct {
	Group string
	Right Right
}

// discover asks the provider about itself, once it answers.
func (p *Provider) discover(ctx context.Context) (*oidc.Provider, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ready != nil {
		return p.ready, nil
	}
	// The provider keeps this context for its keys, so it must outlive the request.
	found, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), p.client()), p.Issuer)
	if err != nil {
		return nil, fmt.Errorf("provider %s: %w", p.Issuer, err)
	}
	p.ready = found
	return found, nil
}

func (p *Provider) client() *http.Client {
	if p.Client != nil {
		return p.Client
	}
	return &http.Client{Timeout: 10 * time.Second}
}

func (p *Provider) oauth(at *oidc.Provider) *oauth2.Config {
	return &oauth2.Config{ClientID: p.ClientID, ClientSecret: p.ClientSecret, Endpoint: at.Endpoint(), RedirectURL: p.Redirect,
		Scopes: append([]string{oidc.ScopeOpenID}, p.Scopes...)}
}

// trip is what the browser keeps while it is at the provider's: with it, the answer
// can be told to be this browser's own.
type trip struct {
	State    string `json:"s"`
	Nonce    string `json:"n"`
	Verifier string `json:"v"`
	Next     string `json:"to"`
}

const tripLasts = 10 * time.Minute

func (g *Gate) tripName() string { return g.prefix() + "sprechprobe-openid" }

func (g *Gate) openID(w http.ResponseWriter, r *http.Request) {
	p := g.conf.OpenID
	at, err := p.discover(r.Context())
	if err != nil {
		g.lost(w, r, "", err)
		return
	}
	t := trip{secret(), secret(), oauth2.GenerateVerifier(), local(r.FormValue("next"))}
	kept, err := json.Marshal(t)
	if err != nil {
		g.broken(w, err)
		return
	}
	c := g.cookieOf(g.tripName(), base64.RawURLEncoding.EncodeToString(kept))
	c.MaxAge = int(tripLasts / time.Second)
	http.SetCookie(w, c)
	to := p.oauth(at).AuthCodeURL(t.State, oidc.Nonce(t.Nonce), oauth2.S256ChallengeOption(t.Verifier))
	http.Redirect(w, r, to, http.StatusSeeOther)
}

func (g *Gate) openIDCallback(w http.ResponseWriter, r *http.Request) {
	g.forget(w, g.tripName()) // it is good for one way back
	t, err := g.tripOf(r)
	if err != nil {
		g.lost(w, r, "", err)
		return
	}
	who, err := g.conf.OpenID.exchange(r.Context(), t, r.FormValue("code"))
	switch {
	case err != nil:
		g.lost(w, r, who.Name, err)
	case len(who.Rights) == 0:
		_ = g.note(r, OpenID, who.Name, "login", "no rights") // has been said in the log
		f := g.form(r)
		f.Trouble = f.L.NotYours
		g.show(w, http.StatusForbidden, "void.html", f)
	default:
		g.enter(w, r, Session{Who: &who}, who.Name, OpenID, t.Next)
	}
}

// tripOf checks that the answer belongs to a trip of this browser's.
func (g *Gate) tripOf(r *http.Request) (t trip, err error) {
	c, err := r.Cookie(g.tripName())
	if err != nil {
		return t, errors.New("answer without a question")
	}
	kept, err := base64.RawURLEncoding.DecodeString(c.Value)
	if err == nil {
		err = json.Unmarshal(kept, &t)
	}
	switch {
	case err != nil:
		return t, fmt.Errorf("cookie: %w", err)
	case t.State == "" || subtle.ConstantTimeCompare([]byte(t.State), []byte(r.FormValue("state"))) != 1:
		return t, errors.New("answer to another question")
	case r.FormValue("error") != "":
		return t, fmt.Errorf("the provider says %.80q: %.200q", r.FormValue("error"), r.FormValue("error_description"))
	}
	return t, nil
}

// exchange gets the ID token for a code and reads who it is for.
func (p *Provider) exchange(ctx context.Context, t trip, code string) (Who, error) {
	at, err := p.discover(ctx)
	if err != nil {
		return Who{}, err
	}
	ctx = oidc.ClientContext(ctx, p.client())
	token, err := p.oauth(at).Exchange(ctx, code, oauth2.VerifierOption(t.Verifier))
	if err != nil {
		return Who{}, fmt.Errorf("code: %w", err)
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return Who{}, errors.New("no ID token in the answer")
	}
	id, err := at.VerifierContext(ctx, &oidc.Config{ClientID: p.ClientID}).Verify(ctx, raw)
	if err != nil {
		return Who{}, fmt.Errorf("ID token: %w", err)
	}
	if t.Nonce == "" || subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(t.Nonce)) != 1 {
		return Who{}, errors.New("ID token for another login")
	}
	var claims map[string]any
	if err := id.Claims(&claims); err != nil {
		return Who{}, fmt.Errorf("ID token: %w", err)
	}
	return p.who(claims)
}

// who reads the claims of an ID token.
func (p *Provider) who(claims map[string]any) (Who, error) {
	name, _ := claims[p.NameClaim].(string)
	if name == "" {
		return Who{}, fmt.Errorf("ID token without the claim %q", p.NameClaim)
	}
	w := Who{Name: name, Method: OpenID}
	if verified, said := claims["email_verified"].(bool); p.NameClaim == "email" && said && !verified {
		return w, errors.New("the provider has not verified the address")
	}
	member := map[string]bool{}
	switch v := claims[p.GroupClaim].(type) {
	case string:
		member[v] = true
	case []any:
		for _, one := range v {
			if s, ok := one.(string); ok {
				member[s] = true
			}
		}
	}
	for _, g := range p.Grants {
		if member[g.Group] {
			w.Rights = append(w.Rights, g.Right)
		}
	}
	return w, nil
}

func (g *Gate) lost(w http.ResponseWriter, r *http.Request, name string, err error) {
	g.conf.Log.Warn("login at the provider", "err", err)
	_ = g.note(r, OpenID, name, "login", "refused") // has been said in the log
	f := g.form(r)
	f.Trouble = f.L.ProviderLost
	g.show(w, http.StatusBadGateway, "void.html", f)
}
