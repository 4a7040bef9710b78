package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/federation"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// runAgainstItself puts go-spiffe on both sides: a check that fails here says nothing about Comity.
func runAgainstItself(ctx context.Context, report *report, peers *peers) error {
	target, stop, err := goTarget(peers)
	if err != nil {
		return err
	}
	defer stop()
	checkFetching(ctx, report, target)
	checkPolling(ctx, report, newGoPoller(peers), peers)
	return nil
}

// goTarget serves one domain with go-spiffe behind both profiles.
func goTarget(peers *peers) (*target, func(), error) {
	domain, err := newDomain("go-target.example")
	if err != nil {
		return nil, nil, err
	}
	webCertificate, err := peers.webCA.mintWebCertificate()
	if err != nil {
		return nil, nil, err
	}
	svid, err := domain.first().mintSVID(domain.id(endpointPath))
	if err != nil {
		return nil, nil, err
	}
	web, err := publish(domain, webCertificate)
	if err != nil {
		return nil, nil, err
	}
	spiffe, err := publish(domain, svid)
	if err != nil {
		return nil, nil, err
	}
	return &target{
		domain:     domain,
		webURL:     web.url,
		webRoots:   peers.webRoots(),
		spiffeURL:  spiffe.url,
		endpointID: domain.id(endpointPath),
		shown:      func(context.Context) (*spiffebundle.Bundle, error) { return domain.bundle, nil },
		rotate:     func() error { domain.changed(); return nil },
	}, func() { web.server.Close(); spiffe.server.Close() }, nil
}

// goPoller remembers the last bundle of each peer, as go-spiffe leaves to its caller.
type goPoller struct {
	sources  map[spiffeid.TrustDomain]*goSource
	statuses map[spiffeid.TrustDomain]status
}

type goSource struct {
	publisher *publisher
	roots     federation.FetchOption // https_web; https_spiffe otherwise
	accepted  *spiffebundle.Bundle
}

func newGoPoller(peers *peers) *goPoller {
	web := federation.WithWebPKIRoots(peers.webRoots())
	poller := &goPoller{map[spiffeid.TrustDomain]*goSource{}, map[spiffeid.TrustDomain]status{}}
	for _, source := range []*goSource{{peers.web, web, nil}, {peers.spiffe, nil, nil}, {peers.imposter, nil, nil}} {
		source.accepted = source.publisher.domain.bundle.Clone()
		poller.sources[source.publisher.domain.name] = source
	}
	return poller
}

func (p *goPoller) refresh(ctx context.Context, td spiffeid.TrustDomain) {
	source, status := p.sources[td], p.statuses[td]
	option := source.roots
	if option == nil {
		option = federation.WithSPIFFEAuth(source.accepted, source.publisher.endpointID())
	}
	bundle, err := federation.FetchBundle(ctx, td, source.publisher.url, option)
	if err == nil {
		now := time.Now().Format(time.RFC3339)
		source.accepted, status.LastSuccess, status.State = bundle, &now, "current"
	} else {
		status.State, status.LastError = "failing", &lastError{code(err), err.Error()}
	}
	p.statuses[td] = status
}

// code calls go-spiffe's errors by Comity's names.
func code(err error) string {
	for text, code := range map[string]string{
		"x509svid: could not verify leaf certificate": "certificate-rejected",
		"unexpected ID":        "endpoint-id-mismatch",
		"no authorities found": "no-keys",
	} {
		if strings.Contains(err.Error(), text) {
			return code
		}
	}
	return "unnamed"
}

func (p *goPoller) bundle(_ context.Context, td spiffeid.TrustDomain) (*spiffebundle.Bundle, error) {
	return p.sources[td].accepted, nil
}

func (p *goPoller) status(_ context.Context, td spiffeid.TrustDomain) (status, error) {
	status, polled := p.statuses[td]
	if !polled {
		return status, errors.New("never polled")
	}
	return status, nil
}
