package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
)

const audience = "payments"

// tokenVector is one token and our code for it.
type tokenVector struct {
	name, code string
	header     map[jose.HeaderKey]any
	claims     jwt.Claims
}

func tokenVectors(now time.Time) []tokenVector {
	claims := func(change func(*jwt.Claims)) jwt.Claims {
		good := jwt.Claims{
			Subject:  "spiffe://a.test/x",
			Audience: jwt.Audience{audience},
			Expiry:   jwt.NewNumericDate(now.Add(time.Hour)),
		}
		change(&good)
		return good
	}
	good := claims(func(*jwt.Claims) {})
	header := func(more map[jose.HeaderKey]any) map[jose.HeaderKey]any {
		all := map[jose.HeaderKey]any{"kid": "k"}
		for name, value := range more {
			all[name] = value
		}
		return all
	}
	kid := header(nil)
	return []tokenVector{
		{"good", "accepted", kid, good},
		{"typ JWT", "accepted", header(map[jose.HeaderKey]any{"typ": "JWT"}), good},
		{"typ JOSE", "accepted", header(map[jose.HeaderKey]any{"typ": "JOSE"}), good},
		{"typ at+jwt", "wrong-token-type", header(map[jose.HeaderKey]any{"typ": "at+jwt"}), good},
		{"typ wit+jwt", "wit-token", header(map[jose.HeaderKey]any{"typ": "wit+jwt"}), good},
		{"no kid", "accepted", nil, good},
		{"another kid", "unknown-key-id", map[jose.HeaderKey]any{"kid": "other"}, good},
		{"another header", "extra-header", header(map[jose.HeaderKey]any{"cty": "x"}), good},
		{"expired", "expired", kid, claims(func(c *jwt.Claims) { c.Expiry = jwt.NewNumericDate(now.Add(-time.Hour)) })},
		{"no expiry", "missing-claim", kid, claims(func(c *jwt.Claims) { c.Expiry = nil })},
		{"not yet", "not-yet-valid", kid, claims(func(c *jwt.Claims) { c.NotBefore = jwt.NewNumericDate(now.Add(time.Hour)) })},
		{"issued tomorrow", "accepted", kid, claims(func(c *jwt.Claims) { c.IssuedAt = jwt.NewNumericDate(now.Add(24 * time.Hour)) })},
		{"another audience", "wrong-audience", kid, claims(func(c *jwt.Claims) { c.Audience = jwt.Audience{"other"} })},
		{"two audiences", "accepted", kid, claims(func(c *jwt.Claims) { c.Audience = jwt.Audience{"other", audience} })},
		{"no audience", "missing-claim", kid, claims(func(c *jwt.Claims) { c.Audience = nil })},
		{"no subject", "missing-claim", kid, claims(func(c *jwt.Claims) { c.Subject = "" })},
		{"a root ID", "root-spiffe-id", kid, claims(func(c *jwt.Claims) { c.Subject = "spiffe://a.test" })},
		{"no SPIFFE ID", "invalid-spiffe-id", kid, claims(func(c *jwt.Claims) { c.Subject = "x" })},
		{"another domain", "unknown-trust-domain", kid, claims(func(c *jwt.Claims) { c.Subject = "spiffe://b.test/x" })},
	}
}

// checkTokens judges tokens by both, and holds tokensGoDiffers against what go-spiffe says.
func checkTokens(ctx context.Context, binary, folder string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	bundle := jwtbundle.FromJWTAuthorities(vectorDomain, map[string]crypto.PublicKey{"k": key.Public()})
	path := filepath.Join(folder, "tokens.jwks.json")
	if err := writeTokenBundle(path, bundle); err != nil {
		return err
	}
	vectors := tokenVectors(time.Now())
	var questions []any
	for i, vector := range vectors {
		options := &jose.SignerOptions{ExtraHeaders: vector.header}
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, options)
		if err != nil {
			return err
		}
		token, err := jwt.Signed(signer).Claims(vector.claims).Serialize()
		if err != nil {
			return err
		}
		questions = append(questions, tokenQuestion{vectors[i].name, token, []string{audience}})
	}
	verdicts, _, err := askAll(ctx, binary, "jwt", path, questions)
	if err != nil {
		return err
	}
	for i, vector := range vectors {
		err = errors.Join(err, differ(vector.name, verdicts[i].code(), vector.code))
		_, goSays := jwtsvid.ParseAndValidate(questions[i].(tokenQuestion).Token, bundle, []string{audience})
		_, known := tokensGoDiffers[vector.name]
		if differs := (goSays == nil) != (vector.code == "accepted"); differs != known {
			err = errors.Join(err, fmt.Errorf("%s: we say %s, go-spiffe %v, known: %v", vector.name, vector.code, goSays, known))
		}
	}
	return err
}

func writeTokenBundle(path string, tokens *jwtbundle.Bundle) error {
	bundle := spiffebundle.New(vectorDomain)
	bundle.SetJWTAuthorities(tokens.JWTAuthorities())
	document, err := bundle.Marshal()
	if err != nil {
		return err
	}
	return os.WriteFile(path, document, 0o600)
}
