package fleet

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// MaxJWT is the longest user JWT, bytes. Those of boxes have about 700.
const MaxJWT = 8 << 10

// userJWT is what a box reads of its own user JWT. The library that writes them is
// not linked into the box: only the server judges the signature.
type userJWT struct {
	Name    string `json:"name"`
	Subject string `json:"sub"`
	NATS    struct {
		Type string   `json:"type"`
		Tags []string `json:"tags"`
	} `json:"nats"`
}

// TenantTag is the tag of a user JWT that names the tenant.
const TenantTag = "tenant:"

// checkUserJWT says whether a JWT can be that of a grant. With another name in it
// the box would be refused whatever it says.
func checkUserJWT(jwt string, g Grant) error {
	u, err := readUserJWT(jwt)
	switch {
	case err != nil:
		return err
	case u.NATS.Type != "user":
		return fmt.Errorf("jwt: type %.20q, want user", u.NATS.Type)
	case u.Subject != g.Key || u.Name != g.Name || !slices.Equal(u.NATS.Tags, []string{TenantTag + g.Tenant}):
		return fmt.Errorf("jwt: it is for %.60q, %.60q %.60q, and not for %s", u.Subject, u.Name, u.NATS.Tags, g.Address())
	}
	return nil
}

func readUserJWT(jwt string) (u userJWT, err error) {
	parts := strings.Split(jwt, ".")
	if len(jwt) > MaxJWT || len(parts) != 3 {
		return u, errors.New("jwt: want three parts between dots")
	}
	for _, p := range parts {
		// The client would take a line break in it for the end of its message.
		if strings.Trim(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" || p == "" {
			return u, errors.New("jwt: not base64")
		}
	}
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(claims, &u)
	}
	if err != nil {
		return u, fmt.Errorf("jwt: %w", err)
	}
	return u, nil
}
