package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/url"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// certificateKeys makes one key of every type that a CA of a bundle may have, by name.
var certificateKeys = []struct {
	name string
	make func() (crypto.Signer, error)
}{
	{"P-256", ec(elliptic.P256())},
	{"P-384", ec(elliptic.P384())},
	{"P-521", ec(elliptic.P521())},
	{"P-256 with a leading zero octet", shortCoordinate},
	{"RSA-2048", rsa2048},
	{"Ed25519", func() (crypto.Signer, error) { _, key, err := ed25519.GenerateKey(rand.Reader); return key, err }},
}

// tokenKeys makes the key types of JWT authorities, by key ID.
var tokenKeys = map[string]func() (crypto.Signer, error){
	"jwt-p256":    ec(elliptic.P256()),
	"jwt-p384":    ec(elliptic.P384()),
	"jwt-p521":    ec(elliptic.P521()),
	"jwt-rsa2048": rsa2048,
}

func ec(curve elliptic.Curve) func() (crypto.Signer, error) {
	return func() (crypto.Signer, error) { return ecdsa.GenerateKey(curve, rand.Reader) }
}

func rsa2048() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) }

// shortCoordinate makes a key whose x begins with a zero octet, which RFC 7518 §6.2.1.2 keeps.
func shortCoordinate() (crypto.Signer, error) {
	for {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		point, err := key.PublicKey.Bytes()
		if err != nil {
			return nil, err
		}
		if point[1] == 0 {
			return key, nil
		}
	}
}

// authority is a CA of a trust domain, with its private key.
type authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

func newAuthority(td spiffeid.TrustDomain, name string, key crypto.Signer) (*authority, error) {
	return selfSigned(name, key, []*url.URL{td.ID().URL()})
}

func newWebAuthority() (*authority, error) {
	key, err := ec(elliptic.P256())()
	if err != nil {
		return nil, err
	}
	return selfSigned("interop web CA", key, nil)
}

func selfSigned(name string, key crypto.Signer, uris []*url.URL) (*authority, error) {
	template := template(name, 365*24*time.Hour)
	template.IsCA = true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	template.URIs = uris
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	return &authority{certificate, key}, err
}

// renewed is another certificate for the same key (BND-10).
func (a *authority) renewed(name string) (*authority, error) {
	return selfSigned(name, a.key, a.certificate.URIs)
}

// mintSVID issues an X509-SVID.
func (a *authority) mintSVID(id spiffeid.ID) (*tls.Certificate, error) {
	template := template("interop workload", time.Hour)
	template.URIs = []*url.URL{id.URL()}
	return a.issue(template)
}

// mintWebCertificate issues a certificate for a server on loopback.
func (a *authority) mintWebCertificate() (*tls.Certificate, error) {
	template := template("interop web server", time.Hour)
	template.DNSNames = []string{"localhost"}
	template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	return a.issue(template)
}

func (a *authority) issue(template *x509.Certificate) (*tls.Certificate, error) {
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	key, err := ec(elliptic.P256())()
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}

func template(name string, lifetime time.Duration) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		panic(err) // no randomness: nothing can be tested
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-time.Minute),
		NotAfter:              now.Add(lifetime),
		BasicConstraintsValid: true,
	}
}
