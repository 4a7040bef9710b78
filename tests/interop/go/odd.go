package main

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"errors"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

const oddDomain = "odd.example"

// startOdd publishes a bundle with a CA and a key for tokens that everybody can read, and beside them what Go, Java or
// Envoy refuse with all else that comes in the same message: certificates of version 4 and with a negative serial
// number, and an Ed25519 key for tokens. The domain has what is to be shown of it.
func startOdd(webCA *authority) (*publisher, *domain, error) {
	td := spiffeid.RequireTrustDomainFromString(oddDomain)
	shown := &domain{name: td, bundle: spiffebundle.New(td)}
	shown.bundle.SetSequenceNumber(1)
	if err := shown.addAuthority("P-256", certificateKeys[0].make); err != nil {
		return nil, nil, err
	}
	if err := shown.addTokenKey("jwt-p256", tokenKeys["jwt-p256"]); err != nil {
		return nil, nil, err
	}
	published := &domain{name: td, bundle: shown.bundle.Clone()}
	if err := addUnreadable(published); err != nil {
		return nil, nil, err
	}
	certificate, err := webCA.mintWebCertificate()
	if err != nil {
		return nil, nil, err
	}
	publisher, err := publish(published, certificate)
	return publisher, shown, err
}

func addUnreadable(d *domain) error {
	for name, change := range map[string]func(version []byte){
		"version 4":              func(version []byte) { version[4] = 3 },
		"negative serial number": func(version []byte) { version[7] = 0x80 }, // after its tag and its length
	} {
		key, err := certificateKeys[0].make()
		if err != nil {
			return err
		}
		good, err := newAuthority(d.name, name, key)
		if err != nil {
			return err
		}
		der := bytes.Clone(good.certificate.Raw)
		change(der[bytes.Index(der, []byte{0xa0, 3, 2, 1, 2}):])
		if _, err := x509.ParseCertificate(der); err == nil {
			return errors.New("Go reads a certificate with " + name)
		}
		d.bundle.AddX509Authority(&x509.Certificate{Raw: der, PublicKey: key.Public()})
	}
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	return d.bundle.AddJWTAuthority("jwt-ed25519", crypto.PublicKey(public))
}

// oddRelationship is the section that federates with it.
func oddRelationship(publisher *publisher, webCA string) string {
	return "[federation.\"" + oddDomain + "\"]\nendpoint_url = \"" + publisher.url +
		"\"\nprofile = \"https_web\"\nroot_certificates = \"" + webCA + "\"\n\n"
}
