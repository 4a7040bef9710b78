package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// speedChains are so many that none of them is verified often.
const speedChains = 500

// speedCase is a file for benches/verify, which verifies the same chains.
type speedCase struct {
	Root   []byte     `json:"root"`
	Chains [][][]byte `json:"chains"`
}

// compareSpeed has go-spiffe verify the cases in a folder, made when it is empty, and prints what each chain costs.
func compareSpeed(folder string) error {
	at := time.Now()
	for _, kind := range []struct {
		name    string
		below   bool
		useless int
	}{{"leaf", false, 0}, {"intermediate", true, 0}, {"useless", true, 20}} {
		path := filepath.Join(folder, kind.name+".json")
		chains, err := readCase(path)
		if errors.Is(err, fs.ErrNotExist) {
			chains, err = mintCase(path, kind.below, kind.useless)
		}
		if err != nil {
			return err
		}
		root, err := x509.ParseCertificate(chains.Root)
		if err != nil {
			return err
		}
		bundle := x509bundle.FromX509Authorities(vectorDomain, []*x509.Certificate{root})
		verifyAll := func() error {
			for _, chain := range chains.Chains {
				if _, _, err := x509svid.ParseAndVerify(chain, bundle, x509svid.WithTime(at)); err != nil {
					return fmt.Errorf("go-spiffe: %w", err)
				}
			}
			return nil
		}
		if err := verifyAll(); err != nil { // the first time is slower
			return err
		}
		start := time.Now()
		if err := verifyAll(); err != nil {
			return err
		}
		fmt.Printf("go-spiffe %s %.2f us\n", kind.name, float64(time.Since(start).Nanoseconds())/1e3/speedChains)
	}
	return nil
}

func readCase(path string) (*speedCase, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var read speedCase
	return &read, json.Unmarshal(text, &read)
}

// mintCase writes chains of as many workloads, each below one intermediate or none, among others of no use.
func mintCase(path string, below bool, useless int) (*speedCase, error) {
	ca := func(parent *x509.Certificate, key *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey, error) {
		return mint(&x509.Certificate{IsCA: true, KeyUsage: x509.KeyUsageCertSign}, parent, key)
	}
	root, rootKey, err := ca(nil, nil)
	if err != nil {
		return nil, err
	}
	signer, signerKey := root, rootKey
	var sent [][]byte
	for range useless {
		one, _, err := ca(nil, nil)
		if err != nil {
			return nil, err
		}
		sent = append(sent, one.Raw)
	}
	if below {
		if signer, signerKey, err = ca(root, rootKey); err != nil {
			return nil, err
		}
		sent = append(sent, signer.Raw)
	}
	made := speedCase{Root: root.Raw}
	for i := range speedChains {
		id := &url.URL{Scheme: "spiffe", Host: vectorDomain.Name(), Path: fmt.Sprintf("/%d", i)}
		leaf, _, err := mint(&x509.Certificate{URIs: []*url.URL{id}, KeyUsage: x509.KeyUsageDigitalSignature}, signer, signerKey)
		if err != nil {
			return nil, err
		}
		made.Chains = append(made.Chains, append([][]byte{leaf.Raw}, sent...))
	}
	text, err := json.Marshal(made)
	if err != nil {
		return nil, err
	}
	return &made, os.WriteFile(path, text, 0o600)
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
