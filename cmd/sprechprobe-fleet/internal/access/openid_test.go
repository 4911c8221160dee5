package access_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/access"
)

// provider is an OpenID provider: discovery, keys, code flow with PKCE.
type provider struct {
	*httptest.Server
	t      *testing.T
	key    *ecdsa.PrivateKey
	public *ecdsa.PublicKey // that it tells of

	mu     sync.Mutex
	codes  map[string]url.Values    // of the question, by code
	claims map[string]any           // of the next ID token, besides what must be in it
	sign   func(data []byte) string // of the next ID token; nil: with the key
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{t: t, key: key, public: &key.PublicKey, codes: map[string]url.Values{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		tell(w, map[string]any{"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token",
			"jwks_uri": p.URL + "/keys", "id_token_signing_alg_values_supported": []string{"ES256"}})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		tell(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: p.public, KeyID: "k1", Algorithm: "ES256", Use: "sig"}}})
	})
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("POST /token", p.token)
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

func tell(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func (p *provider) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("client_id") != "fleet" || q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" ||
		!strings.Contains(q.Get("scope"), "openid") || q.Get("nonce") == "" || q.Get("state") == "" {
		p.t.Errorf("question without its parts: %v", q)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	code := rand.Text()
	p.codes[code] = q
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+url.Values{"code": {code}, "state": {q.Get("state")}}.Encode(), http.StatusFound)
}

func (p *provider) token(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	q, ok := p.codes[r.PostFormValue("code")]
	delete(p.codes, r.PostFormValue("code"))
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if id, secret, _ := r.BasicAuth(); !ok || id != "fleet" || secret != "s3cret" || base64.RawURLEncoding.EncodeToString(sum[:]) != q.Get("code_challenge") {
		w.WriteHeader(http.StatusBadRequest)
		tell(w, map[string]string{"error": "invalid_grant"})
		return
	}
	now := time.Now()
	claims := map[string]any{"iss": p.URL, "aud": "fleet", "sub": "1", "nonce": q.Get("nonce"), "iat": now.Unix(), "exp": now.Add(time.Minute).Unix()}
	for k, v := range p.claims {
		claims[k] = v
	}
	data, err := json.Marshal(claims)
	if err != nil {
		p.t.Error(err)
	}
	sign := p.sign
	if sign == nil {
		sign = p.by(p.key)
	}
	tell(w, map[string]any{"access_token": "x", "token_type": "Bearer", "id_token": sign(data)})
}

// by signs with a key that says it is the provider's.
func (p *provider) by(key *ecdsa.PrivateKey) func([]byte) string {
	return func(data []byte) string {
		return p.signed(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k1"}}, data)
	}
}

func (p *provider) signed(key jose.SigningKey, data []byte) string {
	s, err := jose.NewSigner(key, nil)
	if err != nil {
		p.t.Error(err)
		return ""
	}
	signed, err := s.Sign(data)
	if err != nil {
		p.t.Error(err)
		return ""
	}
	out, err := signed.CompactSerialize()
	if err != nil {
		p.t.Error(err)
	}
	return out
}

func (p *provider) next(claims map[string]any, sign func([]byte) string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.claims, p.sign = claims, sign
}

func withProvider(t *testing.T, p *provider) *world {
	return newWorld(t, func(c *access.Config) {
		c.OpenID = &access.Provider{Issuer: p.URL, ClientID: "fleet", ClientSecret: "s3cret", Scopes: []string{"email"},
			NameClaim: "email", GroupClaim: "groups", Grants: []access.Grant{
				{Group: "hotline", Right: right(t, "support", "acme")}, {Group: "guests", Right: right(t, "viewer", "zoo")},
				{Group: "ops", Right: right(t, "admin", "*")}}}
	})
}

// trip goes to the provider and back, and returns the answer to the way back.
func (b *browser) trip(next string) roundTrip {
	b.Helper()
	there := b.get("/openid?next=" + url.QueryEscape(next))
	at, err := url.Parse(there.Get("Location"))
	if err != nil || there.code != 303 {
		b.Fatalf("sent to %q: %v", there.Get("Location"), err)
	}
	resp, err := b.http.Get(at.String())
	if err != nil {
		b.Fatal(err)
	}
	resp.Body.Close()
	back, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || resp.StatusCode != 302 {
		b.Fatalf("back to %q: %v", resp.Header.Get("Location"), err)
	}
	return roundTrip{b.get("/openid/callback?" + back.RawQuery), back.RawQuery}
}

// roundTrip is the answer to the way back, and what the provider sent along.
type roundTrip struct {
	answer
	query string
}

func TestOpenID(t *testing.T) {
	p := newProvider(t)
	w := withProvider(t, p)
	// Rights of several groups are not mixed.
	p.next(map[string]any{"email": "kim@vendor.example", "email_verified": true, "groups": []string{"staff", "hotline", "guests"}}, nil)
	b := w.browser()
	if a := b.trip("/?q=nord"); a.code != 303 || a.Get("Location") != "/?q=nord" {
		t.Fatalf("after the login: %d %s %s", a.code, a.Get("Location"), a.body)
	}
	if a := b.wants("/api", 200); !strings.Contains(a.body, `for "kim@vendor.example" by openid, sees acme true, zoo true`) {
		t.Error(a.body)
	}
	for path, want := range map[string]int{"/do/acme": 200, "/do/zoo": 403, "/do/third": 404} {
		if a := b.do(http.MethodPost, path, url.Values{}); a.code != want {
			t.Errorf("POST %s: %d, want %d", path, a.code, want)
		}
	}
	b.wants("/admin", 403)
	w.pass(13 * time.Hour)
	b.wants("/api", 401)
	p.next(map[string]any{"email": "op@vendor.example", "groups": "ops"}, nil)
	op := w.browser()
	op.trip("/")
	op.wants("/admin", 200)
}

func TestOpenIDRefuses(t *testing.T) {
	p := newProvider(t)
	w := withProvider(t, p)
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	unsigned := func(data []byte) string {
		b64 := base64.RawURLEncoding
		return b64.EncodeToString([]byte(`{"alg":"none"}`)) + "." + b64.EncodeToString(data) + "."
	}
	// The provider's public key as if it were a shared secret.
	confused := func(data []byte) string {
		shared, err := p.public.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		return p.signed(jose.SigningKey{Algorithm: jose.HS256, Key: shared}, data)
	}
	good := func(more map[string]any) map[string]any {
		c := map[string]any{"email": "kim@vendor.example", "groups": []string{"ops"}}
		for k, v := range more {
			c[k] = v
		}
		return c
	}
	tests := []struct {
		name   string
		claims map[string]any
		sign   func([]byte) string
		want   int
	}{
		{"another key", good(nil), p.by(other), 502},
		{"no signature", good(nil), unsigned, 502},
		{"another algorithm", good(nil), confused, 502},
		{"no token", good(nil), func([]byte) string { return "" }, 502},
		{"for another program", good(map[string]any{"aud": "other"}), nil, 502},
		{"of another issuer", good(map[string]any{"iss": "https://evil.example"}), nil, 502},
		{"too old", good(map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}), nil, 502},
		{"of another login", good(map[string]any{"nonce": "replayed"}), nil, 502},
		{"of nobody", good(map[string]any{"email": ""}), nil, 502},
		{"address not verified", good(map[string]any{"email_verified": false}), nil, 502},
		{"no group", good(map[string]any{"groups": []any{"staff", 7}}), nil, 403},
		{"groups of another kind", good(map[string]any{"groups": map[string]any{"ops": true}}), nil, 403},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p.next(tt.claims, tt.sign)
			b := w.browser()
			if a := b.trip("/"); a.code != tt.want {
				t.Errorf("%d, want %d: %s", a.code, tt.want, a.body)
			}
			b.wants("/api", 401)
		})
	}

	// Somebody else's answer is no use in this browser, nor one's own twice.
	p.next(good(nil), nil)
	victim, attacker := w.browser(), w.browser()
	theirs := attacker.trip("/")
	if a := victim.get("/openid/callback?" + theirs.query); a.code != 502 {
		t.Errorf("an answer without a question: %d", a.code)
	}
	victim.get("/openid")
	if a := victim.get("/openid/callback?" + theirs.query); a.code != 502 {
		t.Errorf("the answer to somebody else's question: %d", a.code)
	}
	victim.wants("/api", 401)
	if a := attacker.get("/openid/callback?" + theirs.query); a.code != 502 {
		t.Errorf("an answer a second time: %d", a.code)
	}
	p.Close()
	gone := withProvider(t, p)
	if a := gone.browser().get("/openid"); a.code != 502 || !strings.Contains(a.body, "Anmeldung bei Ihrer Firma") {
		t.Errorf("a provider that is away: %d %s", a.code, a.body)
	}
}
