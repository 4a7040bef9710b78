package main

import (
	"bytes"
	"context"
	"crypto/elliptic"
	"errors"
	"fmt"
	"net/http"
	"time"

	"google.golang.org/grpc/credentials/tls/certprovider"
)

// followers read what comity puts out, and are never restarted themselves.
type followers struct {
	envoy, nginx *proxy // by files
	grpc         certprovider.Provider
	cloud        *cloud
}

func (f *followers) stop() {
	if f.envoy != nil {
		f.envoy.stop()
	}
	if f.nginx != nil {
		f.nginx.stop()
	}
	if f.grpc != nil {
		f.grpc.Close()
	}
}

// restart is comity with all that goes on while it is away: proxies that ask it, and who reads its outputs.
type restart struct {
	comity      *comity
	application *application
	clients     *clients
	proxies     []*proxy
	followers   *followers
}

// checkRestart takes comity away, has a peer and ourselves rotate meanwhile, and brings it back on the same socket; then
// it ends the relationship for a while.
func checkRestart(ctx context.Context, report *report, r *restart) error {
	c, old := r.comity, r.clients
	report.record("comity stops on SIGTERM within 5 s, with exit code 0", c.stop())
	for _, proxy := range r.proxies {
		report.record(proxy.name+": nobody passes once comity is gone",
			isRefused(ctx, proxy, r.application, old.proper, nil, proxy.withoutComity))
	}
	report.record("envoy by files: a client passes while comity is gone", r.followers.envoy.answers(ctx, old.proper, http.StatusOK))
	domain := c.setup.peers.spiffe.domain
	err := errors.Join(rotateAway(c.setup.peers.spiffe), c.setup.domain.addTokenKey("jwt-meanwhile", ec(elliptic.P256())),
		c.setup.writeTokenKeys())
	if err != nil {
		return err
	}
	back, err := startComity(ctx, c.binary, c.setup)
	if err != nil {
		return err
	}
	c.process, c.ended = back.process, back.ended
	c.refresh(ctx, domain.name)
	if r.clients, err = newClients(c.setup); err != nil {
		return err
	}
	r.catchesUp(ctx, report, old)
	return errors.Join(r.ending(ctx, report), c.stop())
}

// catchesUp is of each, that a client of the new CA passes, and one of the CA that went meanwhile no longer.
func (r *restart) catchesUp(ctx context.Context, report *report, old *clients) {
	f, news := r.followers, r.clients
	for _, proxy := range r.proxies {
		report.record(proxy.name+": after comity's restart the new CA of a peer counts, its old one no longer", errors.Join(
			eventually(ctx, func() error { return passes(ctx, proxy, news.proper, news.id, nil) }),
			isRefused(ctx, proxy, r.application, old.proper, nil, proxy.ofOldCA()),
		))
	}
	report.record("envoy by files: after comity's restart the new CA of a peer counts, its old one no longer", errors.Join(
		eventually(ctx, func() error { return f.envoy.answers(ctx, news.proper, http.StatusOK) }),
		eventually(ctx, func() error { return f.envoy.answers(ctx, old.proper, noAnswer) }),
	))
	report.record("grpc-go: after comity's restart it has the new bundle",
		eventually(ctx, func() error { return grpcHas(ctx, f.grpc, r.comity.setup) }))
	report.record("go-oidc: after comity's restart it verifies by the new key", eventually(ctx, func() error {
		return f.cloud.believes(ctx, "jwt-meanwhile")
	}))
}

// ofOldCA is what the proxy answers to a client whose CA its domain took back.
func (p *proxy) ofOldCA() int {
	if p.name == nginxByFile {
		return http.StatusBadRequest // nginx itself, once it has read the file again
	}
	return http.StatusForbidden
}

// ending takes the relationship out of the configuration and puts it back. The domain's file goes with it, so that nginx
// can't load its configuration again and goes on with the old one: then it is Comity that refuses.
func (r *restart) ending(ctx context.Context, report *report) error {
	setup, clients := r.comity.setup, r.clients
	setup.ended = clients.id.TrustDomain().Name()
	if err := setup.writeConfiguration(); err != nil {
		return err
	}
	for _, proxy := range r.proxies {
		report.record(proxy.name+": a domain whose relationship ended is refused", eventually(ctx, func() error {
			return isRefused(ctx, proxy, r.application, clients.proper, nil, http.StatusForbidden)
		}))
	}
	f := r.followers
	report.record("nginx by file: it can't load its configuration again without the file, as the page warns", eventually(ctx, func() error {
		if !bytes.Contains(f.nginx.log(), []byte("[emerg]")) || !bytes.Contains(f.nginx.log(), []byte(setup.ended+".trust-bundle.pem")) {
			return fmt.Errorf("nginx says %s", f.nginx.log())
		}
		return nil
	}))
	report.record("envoy by files: a domain whose relationship ended is refused",
		eventually(ctx, func() error { return f.envoy.answers(ctx, clients.proper, noAnswer) }))
	report.record("grpc-go: a domain whose relationship ended is gone", eventually(ctx, func() error {
		within, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		material, err := f.grpc.KeyMaterial(within)
		if err == nil && material.SPIFFEBundleMap[setup.ended] != nil {
			err = errors.New("it is still there")
		}
		return err
	}))
	setup.ended = ""
	if err := setup.writeConfiguration(); err != nil {
		return err
	}
	for _, proxy := range r.proxies {
		report.record(proxy.name+": it is let in when it comes back",
			eventually(ctx, func() error { return passes(ctx, proxy, clients.proper, clients.id, nil) }))
	}
	return nil
}

// rotateAway has a publisher take back the CA that signs its clients, whose place a new one takes.
func rotateAway(p *publisher) error {
	old := p.domain.newest()
	certificate, err := p.domain.authorities[2].mintSVID(p.endpointID())
	if err != nil {
		return err
	}
	p.certificate.Store(certificate)
	if err := addAuthority(p); err != nil {
		return err
	}
	p.domain.bundle.RemoveX509Authority(old.certificate)
	p.domain.changed()
	return nil
}
