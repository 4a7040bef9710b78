package main

import (
	"context"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/federation"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// target is a publisher under test: one trust domain behind both profiles.
type target struct {
	domain     *domain // what it must publish, its sequence aside
	webURL     string
	webRoots   *x509.CertPool
	spiffeURL  string
	endpointID spiffeid.ID
	// shown is what the publisher itself says it publishes.
	shown func(context.Context) (*spiffebundle.Bundle, error)
	// rotate has the publisher publish what the domain now holds.
	rotate func() error
}

func (t *target) web() federation.FetchOption { return federation.WithWebPKIRoots(t.webRoots) }

func (t *target) spiffe() federation.FetchOption {
	return federation.WithSPIFFEAuth(t.domain.bundle, t.endpointID)
}

// checkFetching has go-spiffe fetch and watch the target's endpoints.
func checkFetching(ctx context.Context, report *report, target *target) {
	fetch := func(url string, option federation.FetchOption) (*spiffebundle.Bundle, error) {
		return federation.FetchBundle(ctx, target.domain.name, url, option)
	}
	published := func(url string, option federation.FetchOption) error {
		got, err := fetch(url, option)
		if err != nil {
			return err
		}
		return isPublished(ctx, got, target)
	}
	report.record("go-spiffe fetches over https_web: all key types, sequence and hint",
		eventually(ctx, func() error { return published(target.webURL, target.web()) }))
	report.record("go-spiffe fetches over https_spiffe: all key types, sequence and hint",
		eventually(ctx, func() error { return published(target.spiffeURL, target.spiffe()) }))
	checkRefusals(report, target, fetch)
	checkRawReader(ctx, report, target)
	report.record("go-spiffe watches over https_web and sees a rotation",
		watches(ctx, target, target.webURL, target.web()))
	report.record("go-spiffe watches over https_spiffe and sees a rotation",
		watches(ctx, target, target.spiffeURL, target.spiffe()))
}

func isPublished(ctx context.Context, got *spiffebundle.Bundle, target *target) error {
	shown, err := target.shown(ctx)
	if err != nil {
		return err
	}
	sequence, numbered := got.SequenceNumber()
	if !numbered || sequence == 0 {
		return errors.New("the bundle has no sequence of at least 1 (SEQ-01)")
	}
	hint, _ := got.RefreshHint()
	return errors.Join(sameAuthorities(got, target.domain.bundle), same(got, shown), differ("hint", hint, 5*time.Minute))
}

func checkRefusals(report *report, target *target,
	fetch func(string, federation.FetchOption) (*spiffebundle.Bundle, error),
) {
	stranger, err := newDomain(target.domain.name.Name())
	if err != nil {
		report.record("a stranger's domain", err)
		return
	}
	other := target.domain.id("/another")
	for _, refusal := range []struct {
		name, url string
		option    federation.FetchOption
		reason    string
	}{
		{"another endpoint ID", target.spiffeURL, federation.WithSPIFFEAuth(target.domain.bundle, other), "unexpected ID"},
		{"the right endpoint ID under a bundle of strangers", target.spiffeURL,
			federation.WithSPIFFEAuth(stranger.bundle, target.endpointID), "certificate signed by unknown authority"},
		{"the https_spiffe listener under https_web", target.spiffeURL, target.web(), "x509: "},
		{"the https_web listener under https_spiffe", target.webURL, target.spiffe(), "x509svid: "},
		{"https_web under strange roots", target.webURL, federation.WithWebPKIRoots(x509.NewCertPool()), "unknown authority"},
	} {
		_, err := fetch(refusal.url, refusal.option)
		report.record("go-spiffe refuses "+refusal.name, failsWith(err, refusal.reason))
	}
}

func failsWith(err error, reason string) error {
	switch {
	case err == nil:
		return errors.New("accepted")
	case !strings.Contains(err.Error(), reason):
		return fmt.Errorf("refused for another reason: %w", err)
	default:
		return nil
	}
}

// watcher hands updates over and polls ten times a second.
type watcher struct {
	updates chan *spiffebundle.Bundle
	last    error
}

func (w *watcher) NextRefresh(time.Duration) time.Duration { return 100 * time.Millisecond }
func (w *watcher) OnUpdate(bundle *spiffebundle.Bundle)    { w.updates <- bundle }
func (w *watcher) OnError(err error)                       { w.last = err }

// watches sees the bundle of now, then one more authority under a higher sequence.
func watches(ctx context.Context, target *target, url string, option federation.FetchOption) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	watcher := &watcher{updates: make(chan *spiffebundle.Bundle, 100)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		federation.WatchBundle(ctx, target.domain.name, url, watcher, option)
	}()
	first, err := awaitUpdate(ctx, watcher, ended, target.domain.bundle)
	if err != nil {
		return fmt.Errorf("first bundle: %w", err)
	}
	if err := target.domain.addAuthority("P-521, next", ec(elliptic.P521())); err != nil {
		return err
	}
	if err := target.rotate(); err != nil {
		return err
	}
	second, err := awaitUpdate(ctx, watcher, ended, target.domain.bundle)
	if err != nil {
		return fmt.Errorf("rotated bundle: %w", err)
	}
	before, _ := first.SequenceNumber()
	after, _ := second.SequenceNumber()
	if after <= before {
		return fmt.Errorf("sequence went from %d to %d (SEQ-02)", before, after)
	}
	return nil
}

func awaitUpdate(ctx context.Context, watcher *watcher, ended <-chan struct{}, want *spiffebundle.Bundle,
) (*spiffebundle.Bundle, error) {
	difference := errors.New("no update")
	for {
		select {
		case got := <-watcher.updates:
			if difference = sameAuthorities(got, want); difference == nil {
				return got, nil
			}
		case <-ctx.Done():
			<-ended
			return nil, errors.Join(difference, watcher.last)
		}
	}
}
