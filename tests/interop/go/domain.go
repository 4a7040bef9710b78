package main

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// domain is a trust domain made for one run: its CAs, and its bundle with every key type in it.
type domain struct {
	name        spiffeid.TrustDomain
	authorities []*authority
	bundle      *spiffebundle.Bundle
	// What signs its tokens, by key ID.
	tokenKeys map[string]crypto.Signer
}

func newDomain(name string) (*domain, error) {
	td, err := spiffeid.TrustDomainFromString(name)
	if err != nil {
		return nil, err
	}
	d := &domain{name: td, bundle: spiffebundle.New(td)}
	d.bundle.SetSequenceNumber(1)
	d.bundle.SetRefreshHint(5 * time.Minute)
	for _, kind := range certificateKeys {
		if err := d.addAuthority(kind.name, kind.make); err != nil {
			return nil, err
		}
	}
	renewed, err := d.authorities[0].renewed("P-256, renewed")
	if err != nil {
		return nil, err
	}
	d.add(renewed)
	return d, d.addTokenKeys()
}

func (d *domain) addAuthority(name string, make func() (crypto.Signer, error)) error {
	key, err := make()
	if err != nil {
		return err
	}
	authority, err := newAuthority(d.name, name, key)
	if err != nil {
		return err
	}
	d.add(authority)
	return nil
}

func (d *domain) add(authority *authority) {
	d.authorities = append(d.authorities, authority)
	d.bundle.AddX509Authority(authority.certificate)
}

func (d *domain) addTokenKeys() error {
	for keyID, make := range tokenKeys {
		if err := d.addTokenKey(keyID, make); err != nil {
			return err
		}
	}
	return nil
}

func (d *domain) addTokenKey(keyID string, make func() (crypto.Signer, error)) error {
	key, err := make()
	if err != nil {
		return err
	}
	if d.tokenKeys == nil {
		d.tokenKeys = map[string]crypto.Signer{}
	}
	d.tokenKeys[keyID] = key
	return d.bundle.AddJWTAuthority(keyID, key.Public())
}

// first is the authority that signs the domain's endpoint SVID.
func (d *domain) first() *authority { return d.authorities[0] }

// newest is the authority added last.
func (d *domain) newest() *authority { return d.authorities[len(d.authorities)-1] }

// changed raises the published sequence, after the bundle's contents changed.
func (d *domain) changed() {
	sequence, _ := d.bundle.SequenceNumber()
	d.bundle.SetSequenceNumber(sequence + 1)
}

func (d *domain) id(path string) spiffeid.ID { return spiffeid.RequireFromPath(d.name, path) }

// same says in what two bundles differ; the order of authorities does not count.
func same(got, want *spiffebundle.Bundle) error {
	gotSequence, gotNumbered := got.SequenceNumber()
	wantSequence, wantNumbered := want.SequenceNumber()
	gotHint, _ := got.RefreshHint()
	wantHint, _ := want.RefreshHint()
	return errors.Join(
		sameAuthorities(got, want),
		differ("trust domain", got.TrustDomain(), want.TrustDomain()),
		differ("numbered", gotNumbered, wantNumbered),
		differ("sequence", gotSequence, wantSequence),
		differ("refresh hint", gotHint, wantHint),
	)
}

func sameAuthorities(got, want *spiffebundle.Bundle) error {
	return errors.Join(
		differ("X.509 authorities", fingerprints(got), fingerprints(want)),
		sameTokenKeys(got.JWTAuthorities(), want.JWTAuthorities()),
	)
}

func sameTokenKeys(got, want map[string]crypto.PublicKey) error {
	err := differ("number of JWT authorities", len(got), len(want))
	for keyID, key := range want {
		equal, comparable := got[keyID].(interface{ Equal(crypto.PublicKey) bool })
		if !comparable || !equal.Equal(key) {
			err = errors.Join(err, fmt.Errorf("JWT authority %s differs or is missing", keyID))
		}
	}
	return err
}

func fingerprints(bundle *spiffebundle.Bundle) string {
	var all []string
	for _, certificate := range bundle.X509Authorities() {
		all = append(all, fingerprint(certificate)[:16])
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func fingerprint(certificate *x509.Certificate) string {
	digest := sha256.Sum256(certificate.Raw)
	return hex.EncodeToString(digest[:])
}

func differ[T comparable](what string, got, want T) error {
	if got == want {
		return nil
	}
	return fmt.Errorf("%s: got %v, want %v", what, got, want)
}
