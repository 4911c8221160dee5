package authority

import (
	"path/filepath"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/sprechprobe/sprechprobe/agent/atomicfile"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// What a box's connection may use.
const (
	maxSubs    = 32
	maxPayload = 64 << 10
	// A box answers commands only where it was asked, and only so long.
	answers    = 8
	answerTime = 2 * time.Minute
)

// connections are the ways on which a box may come.
var connections = jwt.StringList{jwt.ConnectionTypeStandard, jwt.ConnectionTypeWebsocket}

// rights are what the box at an address may publish and subscribe to. Tenant and
// box may be templates of the server, so the address is not checked here.
func rights(a fleet.Address) (pub, sub []string) {
	return []string{a.Up(), a.DirectGet()}, []string{a.Inbox() + ".>", a.Command("*"), a.Hint()}
}

// template is an address that the server fills in from a user JWT.
var template = fleet.Address{Tenant: "{{tag(tenant)}}", Box: "{{name()}}"}

// encode signs an account.
func (a *Authority) encode(c *jwt.AccountClaims) (string, error) {
	return c.Encode(a.keys[operatorKey])
}

// centre is the account with the streams and the settings. Boxes reach it through
// its services only: in one account with them they could make the server write
// for them, into each other's settings, by the reply subject of what they publish.
func (a *Authority) centre() (string, error) {
	c := jwt.NewAccountClaims(a.public(centreKey))
	c.Name = "VENDOR"
	c.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: jwt.NoLimit, DiskStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit,
		MaxAckPending: jwt.NoLimit}
	for _, s := range []string{fleet.AllUp, fleet.AllDirectGets} {
		c.Exports.Add(&jwt.Export{Name: s, Subject: jwt.Subject(s), Type: jwt.Service})
	}
	c.Exports.Add(&jwt.Export{Name: fleet.AllHints, Subject: fleet.AllHints, Type: jwt.Stream})
	c.Imports.Add(a.imports(fleet.AllCommands, boxesKey, jwt.Service))
	return a.encode(c)
}

// VendorAccount is the public key of the account with the streams and the settings.
func (a *Authority) VendorAccount() string { return a.public(centreKey) }

func (a *Authority) imports(subject, from string, t jwt.ExportType) *jwt.Import {
	return &jwt.Import{Name: subject, Subject: jwt.Subject(subject), Account: a.public(from), Type: t}
}

// boxes is the account of the boxes. What a box may do hangs on the key that signs
// it, so that whoever gets hold of that key can make boxes and nothing else.
func (a *Authority) boxes() (string, error) {
	c := a.boxClaims()
	c.Exports.Add(&jwt.Export{Name: fleet.AllCommands, Subject: fleet.AllCommands, Type: jwt.Service})
	for _, s := range []string{fleet.AllUp, fleet.AllDirectGets} {
		c.Imports.Add(a.imports(s, centreKey, jwt.Service))
	}
	c.Imports.Add(a.imports(fleet.AllHints, centreKey, jwt.Stream))
	return a.encode(c)
}

// boxesOnly is the same without a way to the vendor's account.
func (a *Authority) boxesOnly() (string, error) { return a.encode(a.boxClaims()) }

func (a *Authority) boxClaims() *jwt.AccountClaims {
	c := jwt.NewAccountClaims(a.public(boxesKey))
	c.Name = "BOX"
	scope := jwt.NewUserScope()
	scope.Key, scope.Role = a.public(signerKey), "box"
	t := &scope.Template
	pub, sub := rights(template)
	t.Pub.Allow.Add(pub...)
	t.Sub.Allow.Add(sub...)
	t.Resp = &jwt.ResponsePermission{MaxMsgs: answers, Expires: answerTime}
	t.Subs, t.Payload, t.AllowedConnectionTypes = maxSubs, maxPayload, connections
	c.SigningKeys.AddScopedSigner(scope)
	for key, at := range a.book.Revoked {
		c.RevokeAt(key, at)
	}
	return c
}

// claims is the account of boxes that belong to nobody. It imports and exports
// nothing. Who comes without a JWT is judged by the fleet program, and while that
// is away, by nobody; boxes that have been claimed do not need it.
func (a *Authority) claims() (string, error) {
	c := jwt.NewAccountClaims(a.public(claimsKey))
	c.Name = "CLAIM"
	c.SigningKeys.Add(a.public(filepath.Join(ServeDir, DeskKey)))
	c.EnableExternalAuthorization(a.public(filepath.Join(ServeDir, FleetKey)))
	return a.encode(c)
}

func (a *Authority) system() (string, error) {
	c := jwt.NewAccountClaims(a.public(systemKey))
	c.Name = "SYS"
	return a.encode(c)
}

func (a *Authority) operator() (string, error) {
	c := jwt.NewOperatorClaims(a.public(operatorKey))
	c.Name, c.SystemAccount = "sprechprobe", a.public(systemKey)
	return c.Encode(a.keys[operatorKey])
}

// Accounts are the JWTs of all accounts, by their keys.
func (a *Authority) Accounts() (map[string]string, error) {
	all := map[string]string{}
	for key, make := range map[string]func() (string, error){centreKey: a.centre, boxesKey: a.boxes, claimsKey: a.claims, systemKey: a.system} {
		text, err := make()
		if err != nil {
			return nil, err
		}
		all[a.public(key)] = text
	}
	return all, nil
}

// BoxAccount is the JWT of the boxes' account: what a server has to be told after
// a box was revoked.
func (a *Authority) BoxAccount() (string, error) { return a.boxes() }

// sentinel is the JWT that the server takes for those who come without one. It may
// do nothing; the fleet program gives it rights, or none.
func (a *Authority) sentinel() (string, error) {
	k, err := nkeys.CreateUser() // whose seed nobody needs
	if err != nil {
		return "", err
	}
	public, err := k.PublicKey()
	if err != nil {
		return "", err
	}
	u := jwt.NewUserClaims(public)
	u.Name, u.BearerToken = "nobody", true
	u.Pub.Deny.Add(">")
	u.Sub.Deny.Add(">")
	return u.Encode(a.keys[claimsKey])
}

// writeCreds writes the credentials of the fleet program: one key, known to three
// accounts.
func (a *Authority) writeCreds() error {
	user := a.keys[filepath.Join(ServeDir, FleetKey)]
	seed, err := user.Seed()
	if err != nil {
		return err
	}
	for file, account := range map[string]string{FleetCreds: centreKey, SystemCreds: systemKey, DeskCreds: claimsKey} {
		path := filepath.Join(a.dir, ServeDir, file)
		if known(path) {
			continue
		}
		u := jwt.NewUserClaims(a.public(filepath.Join(ServeDir, FleetKey)))
		u.Name = "sprechprobe-fleet"
		token, err := u.Encode(a.keys[account])
		if err != nil {
			return err
		}
		text, err := jwt.FormatUserConfig(token, seed)
		if err != nil {
			return err
		}
		if err := atomicfile.Replace(path, text); err != nil {
			return err
		}
	}
	return nil
}
