package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// cloud is a relying party by go-oidc that knows our issuer's URL and nothing else.
type cloud struct {
	domain   *domain
	issuer   string
	verifier *oidc.IDTokenVerifier
}

// checkOIDC has go-oidc discover our issuer over TLS, configured as docs/oidc-output.md says, and verify JWT-SVIDs.
func checkOIDC(ctx context.Context, report *report, c *comity) *cloud {
	s := c.setup
	client := &http.Client{Timeout: patience, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: s.peers.webRoots(), MinVersion: tls.VersionTLS12},
	}}
	cloud := &cloud{domain: s.domain, issuer: s.issuer()}
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, client), cloud.issuer)
	report.record("go-oidc: the issuer is discovered over TLS", err)
	if err != nil {
		return cloud
	}
	cloud.verifier = provider.Verifier(&oidc.Config{ClientID: audience})
	keyIDs := slices.Sorted(maps.Keys(s.domain.tokenKeys))
	for _, keyID := range keyIDs {
		err = errors.Join(err, cloud.believes(ctx, keyID))
	}
	report.record("go-oidc: JWT-SVIDs by every kind of key are verified", errors.Join(err, differ("kinds", len(keyIDs), len(tokenKeys))))
	report.record("go-oidc: a token by a key of another domain is refused", cloud.refuses(ctx, s.peers.web.domain, audience))
	report.record("go-oidc: a token for another audience is refused", cloud.refuses(ctx, s.domain, "another"))
	err = errors.Join(s.domain.addTokenKey("jwt-next", tokenKeys["jwt-p256"]), s.writeTokenKeys())
	report.record("go-oidc: a key that is added counts",
		errors.Join(err, eventually(ctx, func() error { return cloud.believes(ctx, "jwt-next") })))
	return cloud
}

// believes is that a JWT-SVID by this key of ours is verified.
func (c *cloud) believes(ctx context.Context, keyID string) error {
	if c.verifier == nil {
		return errors.New("the issuer was not discovered")
	}
	id := c.domain.id("/workload")
	token, err := c.token(c.domain, keyID, id, audience)
	if err != nil {
		return err
	}
	verified, err := c.verifier.Verify(ctx, token)
	if err != nil {
		return fmt.Errorf("%s: %w", keyID, err)
	}
	return differ("subject", verified.Subject, id.String())
}

// refuses is of a token by this domain's key of a name that we have, too.
func (c *cloud) refuses(ctx context.Context, signer *domain, audience string) error {
	if c.verifier == nil {
		return errors.New("the issuer was not discovered")
	}
	token, err := c.token(signer, "jwt-p256", c.domain.id("/workload"), audience)
	if err != nil {
		return err
	}
	if _, err := c.verifier.Verify(ctx, token); err == nil {
		return errors.New("it is believed")
	}
	return nil
}

func (c *cloud) token(signer *domain, keyID string, id spiffeid.ID, audience string) (string, error) {
	key := signer.tokenKeys[keyID]
	by, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm(key), Key: key},
		(&jose.SignerOptions{}).WithHeader("kid", keyID))
	if err != nil {
		return "", err
	}
	return jwt.Signed(by).Claims(jwt.Claims{
		Issuer: c.issuer, Subject: id.String(), Audience: jwt.Audience{audience},
		IssuedAt: jwt.NewNumericDate(time.Now()), Expiry: jwt.NewNumericDate(time.Now().Add(time.Hour)),
	}).Serialize()
}

// algorithm is what SPIRE signs with by a key of this kind.
func algorithm(key crypto.Signer) jose.SignatureAlgorithm {
	switch key := key.(type) {
	case *rsa.PrivateKey:
		return jose.RS256
	case *ecdsa.PrivateKey:
		return map[int]jose.SignatureAlgorithm{256: jose.ES256, 384: jose.ES384, 521: jose.ES512}[key.Params().BitSize]
	default:
		return ""
	}
}
