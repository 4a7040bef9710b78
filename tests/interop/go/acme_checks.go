package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
)

// acmeDomain is what comity has certified first; otherDomain joins it later, lostDomain leads to an address where
// nobody listens.
const (
	acmeDomain  = "bundle.comity.example"
	otherDomain = "other.comity.example"
	lostDomain  = "lost.comity.example"
)

// acmeLife is how long pebble's certificates last: comity renews them after two thirds of it.
const acmeLife = 100 * time.Second

// acmeGap is longer than comity leaves at least between two orders.
const acmeGap = 80 * time.Second

type acmeStory func(*acmeChecks, context.Context, *report)

// checkACME has pebble issue the certificates of comities. What comes after the first one takes a minute or more each
// time, so three go through it side by side, each with a pebble of its own.
func checkACME(ctx context.Context, report *report, binary, folder string, peers *peers, b acmeBinaries) error {
	stories := []acmeStory{(*acmeChecks).renewing, (*acmeChecks).joining, (*acmeChecks).losing}
	ended := make(chan error, len(stories))
	for at, story := range stories {
		go func() {
			c, err := startACME(ctx, binary, fmt.Sprintf("%s/acme-%d", folder, at), peers, b)
			if err != nil {
				ended <- fmt.Errorf("ACME: %w", err)
				return
			}
			defer c.server.stop()
			story(c, ctx, report)
			err = c.comity.stop()
			if report.hasFailure() {
				fmt.Printf("--- log of comity with ACME\n%s--- log of pebble\n%s---\n", c.comity.log(), c.server.log())
			}
			ended <- err
		}()
	}
	var err error
	for range stories {
		err = errors.Join(err, <-ended)
	}
	return err
}

func startACME(ctx context.Context, binary, folder string, peers *peers, b acmeBinaries) (*acmeChecks, error) {
	if err := os.Mkdir(folder, 0o700); err != nil {
		return nil, err
	}
	s, err := newACMESetup(folder, peers)
	if err != nil {
		return nil, fmt.Errorf("files: %w", err)
	}
	server, err := startPebble(ctx, b, s)
	if err != nil {
		return nil, fmt.Errorf("pebble: %w", err)
	}
	c := &acmeChecks{setup: s, server: server, binary: binary}
	if err := c.start(ctx, acmeDomain); err != nil {
		server.stop()
		return nil, err
	}
	return c, nil
}

func (c *acmeChecks) renewing(ctx context.Context, report *report) {
	report.record("ACME: pebble issues the first certificate after TLS-ALPN-01 on the endpoint's port", c.issued(ctx))
	report.record("ACME: a handshake of a validation is refused while nobody looks for proof", c.refusesValidation(ctx))
	report.record("ACME: a restart serves the stored certificate while pebble stands still", c.survivesRestart(ctx))
	report.record("ACME: the certificate is renewed before its end, and no fetch fails meanwhile", c.renewed(ctx))
}

func (c *acmeChecks) joining(ctx context.Context, report *report) {
	report.record("ACME: another domain is certified as soon as an order may follow the last",
		errors.Join(c.issued(ctx), c.joined(ctx)))
}

func (c *acmeChecks) losing(ctx context.Context, report *report) {
	report.record("ACME: a domain that leads elsewhere is told, and the old certificate stays",
		errors.Join(c.issued(ctx), c.lost(ctx)))
}

type acmeChecks struct {
	setup  *acmeSetup
	server *pebble
	binary string
	comity *comity
}

func (c *acmeChecks) start(ctx context.Context, domains ...string) error {
	if err := c.setup.configure(c.server.directory, domains); err != nil {
		return err
	}
	comity, err := startComity(ctx, c.binary, c.setup.setup)
	if err == nil {
		c.comity = comity
	}
	return err
}

func (c *acmeChecks) restart(ctx context.Context, domains ...string) error {
	return errors.Join(c.comity.stop(), c.start(ctx, domains...))
}

func (c *acmeChecks) issued(ctx context.Context) error {
	return eventually(ctx, func() error {
		leaf, err := c.fetch(ctx, acmeDomain)
		if err != nil {
			return err
		}
		return differ("names", strings.Join(leaf.DNSNames, " "), acmeDomain)
	})
}

func (c *acmeChecks) refusesValidation(ctx context.Context) error {
	dialer := tls.Dialer{Config: &tls.Config{
		ServerName:         acmeDomain,
		NextProtos:         []string{"acme-tls/1"},
		InsecureSkipVerify: true, // only whether there is a handshake counts
	}}
	connection, err := dialer.DialContext(ctx, "tcp", c.setup.webAddress)
	if err != nil {
		return nil
	}
	return errors.Join(errors.New("the handshake succeeds"), connection.Close())
}

func (c *acmeChecks) survivesRestart(ctx context.Context) error {
	before, err := c.fetch(ctx, acmeDomain)
	if err != nil {
		return err
	}
	if err := c.server.process.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	defer c.server.process.Process.Signal(syscall.SIGCONT)
	if err := c.restart(ctx, acmeDomain); err != nil {
		return err
	}
	after, err := c.fetch(ctx, acmeDomain)
	if err != nil {
		return err
	}
	return differ("certificate", fingerprint(after), fingerprint(before))
}

func (c *acmeChecks) renewed(ctx context.Context) error {
	first, err := c.fetch(ctx, acmeDomain)
	if err != nil {
		return err
	}
	for {
		leaf, err := c.fetch(ctx, acmeDomain)
		switch {
		case err != nil:
			return fmt.Errorf("before the renewal: %w", err)
		case leaf.Equal(first):
			time.Sleep(50 * time.Millisecond)
			continue
		case time.Since(first.NotBefore) < acmeLife/2:
			return fmt.Errorf("renewed %v after it was issued", time.Since(first.NotBefore))
		}
		if slices.Equal(leaf.RawSubjectPublicKeyInfo, first.RawSubjectPublicKeyInfo) {
			return errors.New("the new certificate has the old key")
		}
		return nil
	}
}

func (c *acmeChecks) joined(ctx context.Context) error {
	if err := c.restart(ctx, acmeDomain, otherDomain); err != nil {
		return err
	}
	if _, err := c.fetch(ctx, acmeDomain); err != nil {
		return fmt.Errorf("before the new certificate: %w", err)
	}
	return eventuallyWithin(ctx, acmeGap, func() error {
		_, err := c.fetch(ctx, otherDomain)
		return err
	})
}

func (c *acmeChecks) lost(ctx context.Context) error {
	if err := c.server.leads(ctx, lostDomain, "127.0.0.2"); err != nil {
		return err
	}
	before, err := c.fetch(ctx, acmeDomain)
	if err := errors.Join(err, c.restart(ctx, acmeDomain, lostDomain)); err != nil {
		return err
	}
	if err := eventuallyWithin(ctx, acmeGap, func() error { return c.warns(ctx, "acme-not-proven") }); err != nil {
		return err
	}
	after, err := c.fetch(ctx, acmeDomain)
	if err != nil {
		return err
	}
	return differ("certificate", fingerprint(after), fingerprint(before))
}

// warns asks the admin API whether it does, with words that name the domain.
func (c *acmeChecks) warns(ctx context.Context, code string) error {
	var status struct {
		Warnings []struct{ Code, Detail string } `json:"warnings"`
	}
	text, err := c.comity.run(ctx, "health", "--live", "--output", "json")
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &status); err != nil {
		return err
	}
	for _, warning := range status.Warnings {
		if warning.Code == code && strings.Contains(warning.Detail, lostDomain) {
			return nil
		}
	}
	return fmt.Errorf("no warning %s in %s", code, text)
}

// fetch gets the bundle as go-spiffe would read it, under pebble's root and for this host.
func (c *acmeChecks) fetch(ctx context.Context, host string) (*x509.Certificate, error) {
	transport := &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{RootCAs: c.server.roots},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, c.setup.webAddress)
		},
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+host+"/", nil)
	if err != nil {
		return nil, err
	}
	answer, err := (&http.Client{Transport: transport, Timeout: patience}).Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	document, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	_, err = spiffebundle.Parse(c.setup.domain.name, document)
	return answer.TLS.PeerCertificates[0], err
}
