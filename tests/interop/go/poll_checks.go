package main

import (
	"context"
	"crypto/elliptic"
	"errors"
	"fmt"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// poller is a client of bundle endpoints with a memory: Comity, or go-spiffe itself.
type poller interface {
	refresh(ctx context.Context, td spiffeid.TrustDomain)
	bundle(ctx context.Context, td spiffeid.TrustDomain) (*spiffebundle.Bundle, error)
	status(ctx context.Context, td spiffeid.TrustDomain) (status, error)
}

// status is the part of a relationship's status that the checks read.
type status struct {
	TrustDomain string     `json:"trust_domain"`
	State       string     `json:"state"`
	LastSuccess *string    `json:"last_success"`
	LastError   *lastError `json:"last_error"`
}

type lastError struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// checkPolling has the poller follow go-spiffe's publishers through the life of a bundle.
func checkPolling(ctx context.Context, report *report, poller poller, peers *peers) {
	for _, publisher := range []*publisher{peers.web, peers.spiffe} {
		name := publisher.domain.name
		report.record(fmt.Sprintf("polls %s: current, all key types, sequence and hint", name),
			follows(ctx, poller, publisher))
		report.record(fmt.Sprintf("polls %s: a new authority after a refresh", name),
			followsAfter(ctx, poller, publisher, addAuthority))
		report.record(fmt.Sprintf("polls %s: a retired authority is gone after a refresh", name),
			followsAfter(ctx, poller, publisher, retireAuthority))
	}
	report.record("polls go-spiffe.example: the endpoint's SVID moves to a new authority, the old one is retired",
		followsAfter(ctx, poller, peers.spiffe, moveEndpoint))
	report.record("polls go-spiffe.example: an endpoint SVID by a retired authority is refused (FEC-11)",
		refusesRetired(ctx, poller, peers.spiffe))
	report.record("polls go-imposter.example: another endpoint ID than configured is refused (FEC-10)",
		refusesImposter(ctx, poller, peers.imposter))
	report.record(`polls go-web.example: go-spiffe's empty bundle, "keys":null, changes nothing (BND-03)`,
		keepsThroughNull(ctx, poller, peers.web))
}

func follows(ctx context.Context, poller poller, publisher *publisher) error {
	td := publisher.domain.name
	poller.refresh(ctx, td)
	return eventually(ctx, func() error {
		status, err := poller.status(ctx, td)
		if err != nil {
			return err
		}
		bundle, err := poller.bundle(ctx, td)
		if err != nil {
			return err
		}
		return errors.Join(differ("state", status.State, "current"), same(bundle, publisher.domain.bundle))
	})
}

func followsAfter(ctx context.Context, poller poller, publisher *publisher, change func(*publisher) error) error {
	if err := change(publisher); err != nil {
		return err
	}
	publisher.domain.changed()
	return follows(ctx, poller, publisher)
}

func addAuthority(p *publisher) error {
	return p.domain.addAuthority("P-384, next", ec(elliptic.P384()))
}

// retireAuthority drops an authority in the middle; the endpoint doesn't rest on it.
func retireAuthority(p *publisher) error {
	p.domain.bundle.RemoveX509Authority(p.domain.authorities[1].certificate)
	return nil
}

// moveEndpoint retires both certificates of the key that signed the endpoint's SVID so far.
func moveEndpoint(p *publisher) error {
	certificate, err := p.domain.newest().mintSVID(p.endpointID())
	if err != nil {
		return err
	}
	p.certificate.Store(certificate)
	for _, authority := range p.domain.authorities {
		if authority.key == p.domain.first().key {
			p.domain.bundle.RemoveX509Authority(authority.certificate)
		}
	}
	return nil
}

func refusesRetired(ctx context.Context, poller poller, publisher *publisher) error {
	retired, err := publisher.domain.first().mintSVID(publisher.endpointID())
	if err != nil {
		return err
	}
	good := publisher.certificate.Swap(retired)
	defer publisher.certificate.Store(good)
	return refuses(ctx, poller, publisher.domain.name, "certificate-rejected")
}

func refusesImposter(ctx context.Context, poller poller, publisher *publisher) error {
	td := publisher.domain.name
	poller.refresh(ctx, td)
	status, err := poller.status(ctx, td)
	if err != nil {
		return err
	}
	if status.LastSuccess != nil {
		err = fmt.Errorf("last success at %s", *status.LastSuccess)
	}
	return errors.Join(err, isFailing(status, "endpoint-id-mismatch"))
}

func isFailing(status status, code string) error {
	if status.LastError == nil {
		return errors.New("no error is reported")
	}
	return errors.Join(
		differ("state", status.State, "failing"),
		differ("code for "+status.LastError.Detail, status.LastError.Code, code),
	)
}

func keepsThroughNull(ctx context.Context, poller poller, publisher *publisher) error {
	bundle := publisher.domain.bundle
	kept := bundle.Clone()
	bundle.SetX509Authorities(nil)
	bundle.SetJWTAuthorities(nil)
	publisher.domain.changed()
	defer func() {
		bundle.SetX509Authorities(kept.X509Authorities())
		bundle.SetJWTAuthorities(kept.JWTAuthorities())
	}()
	return refuses(ctx, poller, publisher.domain.name, "no-keys")
}

// refuses has the next fetch fail for one reason and the accepted bundle stay.
func refuses(ctx context.Context, poller poller, td spiffeid.TrustDomain, code string) error {
	before, err := poller.bundle(ctx, td)
	if err != nil {
		return err
	}
	poller.refresh(ctx, td)
	status, err := poller.status(ctx, td)
	if err != nil {
		return err
	}
	after, err := poller.bundle(ctx, td)
	if err != nil {
		return err
	}
	return errors.Join(isFailing(status, code), same(after, before))
}
