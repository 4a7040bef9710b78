package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net/url"
	"path/filepath"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// speedChains are enough that starting a program doesn't count.
const speedChains = 500

// compareSpeed verifies the same chains, each a new leaf under one intermediate, by both on one thread each, and prints
// what it finds. A debug build of Comity says nothing about its speed.
func compareSpeed(ctx context.Context, binary, folder string) error {
	chains, root, err := mintChains(speedChains)
	if err != nil {
		return err
	}
	path := filepath.Join(folder, "speed.pem")
	if err := writeAuthorities(path, []*x509.Certificate{root}); err != nil {
		return err
	}
	var questions []any
	at := time.Now()
	for i, chain := range chains {
		questions = append(questions, x509Question{fmt.Sprint(i), chain, at.UTC().Format(time.RFC3339)})
	}
	_, once, err := askAll(ctx, binary, "x509", path, questions[:1])
	if err != nil {
		return err
	}
	verdicts, all, err := askAll(ctx, binary, "x509", path, questions)
	if err != nil {
		return err
	}
	bundle := x509bundle.FromX509Authorities(vectorDomain, []*x509.Certificate{root})
	start := time.Now()
	for i, chain := range chains {
		if _, _, err := x509svid.ParseAndVerify(chain, bundle, x509svid.WithTime(at)); err != nil {
			return fmt.Errorf("go-spiffe: %w", err)
		}
		if err := differ("verdict", verdicts[i].code(), "accepted"); err != nil {
			return err
		}
	}
	theirs, ours := time.Since(start)/speedChains, (all-once)/(speedChains-1)
	fmt.Printf("note  a new leaf under one intermediate: go-spiffe %v, comity %v by `verify --batch` of this build, JSON included: %.2f times\n",
		theirs, ours, float64(theirs)/float64(max(ours, 1)))
	return nil
}

// mintChains makes leaves of as many workloads, each with the intermediate.
func mintChains(count int) ([][][]byte, *x509.Certificate, error) {
	root, rootKey, err := mint(&x509.Certificate{IsCA: true, KeyUsage: x509.KeyUsageCertSign}, nil, nil)
	if err != nil {
		return nil, nil, err
	}
	middle, middleKey, err := mint(&x509.Certificate{IsCA: true, KeyUsage: x509.KeyUsageCertSign}, root, rootKey)
	if err != nil {
		return nil, nil, err
	}
	var chains [][][]byte
	for i := range count {
		id := &url.URL{Scheme: "spiffe", Host: vectorDomain.Name(), Path: fmt.Sprintf("/%d", i)}
		leaf, _, err := mint(&x509.Certificate{URIs: []*url.URL{id}, KeyUsage: x509.KeyUsageDigitalSignature}, middle, middleKey)
		if err != nil {
			return nil, nil, err
		}
		chains = append(chains, [][]byte{leaf.Raw, middle.Raw})
	}
	return chains, root, nil
}

// mint signs a certificate for a new key, by itself if there is no parent.
func mint(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return nil, nil, err
	}
	template.SerialNumber, template.Subject = serial.Add(serial, big.NewInt(1)), pkix.Name{CommonName: serial.String()}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	template.BasicConstraintsValid = true
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	return certificate, key, err
}
