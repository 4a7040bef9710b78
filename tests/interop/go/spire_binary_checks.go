package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/federation"
)

// spireBinaryChecks are a comity at the admin socket of a SPIRE server of its own domain, and a SPIRE server of another
// domain with which it federates.
type spireBinaryChecks struct {
	setup       *setup
	comity      *comity
	near, far   *spireProcess
	isFederated bool
}

// checkSPIREBinary runs SPIRE's own servers: ours gives comity its keys and gets its bundles, the other polls comity's
// endpoint as comity polls its.
func checkSPIREBinary(ctx context.Context, report *report, binary, folder string, peers *peers, spire string) error {
	c, err := startSPIREBinaryChecks(ctx, binary, filepath.Join(folder, "spire-binary"), peers, spire)
	if c != nil {
		defer c.stop()
	}
	if err != nil {
		return fmt.Errorf("SPIRE's server: %w", err)
	}
	check := func(name string, first error, then func(context.Context) error) {
		report.record("SPIRE's server: "+name, errors.Join(first, eventually(ctx, func() error { return then(ctx) })))
	}
	check("our keys are those of its GetBundle", nil, c.publishes)
	check("another domain's server, polled by us, is federated there", nil, c.storesFar)
	check("a bundle with keys of every type is federated there", nil, c.storesWeb)
	check("another domain's server polls our endpoint", nil, c.reachesFar)
	_, prepared := c.near.run(ctx, "localauthority", "x509", "prepare")
	_, also := c.near.run(ctx, "localauthority", "jwt", "prepare")
	check("keys that it prepares are published before they sign", errors.Join(prepared, also), c.publishes)
	check("and reach the other domain's server", nil, c.reachesFar)
	_, err = c.far.run(ctx, "localauthority", "x509", "prepare")
	check("a rotation of the other domain reaches it", err, c.storesFar)
	check("a rotation while comity was gone reaches it after its restart", c.missesRotation(ctx, binary), c.storesFar)
	web := c.setup.peers.web.domain
	entry, err := c.near.run(ctx, "entry", "create", "-entryID", "interop", "-spiffeID", c.near.name.IDString()+"/workload",
		"-parentID", c.near.name.IDString()+"/agent", "-selector", "unix:uid:1", "-federatesWith", web.name.IDString())
	if err != nil {
		err = fmt.Errorf("%w: %s", err, entry)
	}
	c.isFederated = false
	check("the bundle of a relationship that ended is deleted, and entries stay", errors.Join(err, c.configure(ctx)), c.dropsWeb)
	c.isFederated = true
	check("it is there again when the relationship comes back", c.configure(ctx), c.storesWeb)
	if report.hasFailure() {
		fmt.Printf("--- log of comity at SPIRE's server\n%s--- %s\n%s--- %s\n%s---\n", c.comity.log(), c.near.name, c.near.log(),
			c.far.name, c.far.log())
	}
	return nil
}

// missesRotation restarts comity, and the other domain has one more key for tokens when it is back.
func (c *spireBinaryChecks) missesRotation(ctx context.Context, binary string) error {
	err := c.comity.stop()
	_, prepared := c.far.run(ctx, "localauthority", "jwt", "prepare")
	back, failed := startComity(ctx, binary, c.setup)
	if failed == nil {
		c.comity = back
	}
	return errors.Join(err, prepared, failed)
}

func startSPIREBinaryChecks(ctx context.Context, binary, folder string, peers *peers, spire string) (*spireBinaryChecks, error) {
	s := &setup{folder: folder, peers: peers}
	var err error
	if s.webAddress, err = freeAddress(); err != nil {
		return nil, err
	}
	web, err := peers.webCA.mintWebCertificate()
	if err != nil {
		return nil, err
	}
	err = errors.Join(os.Mkdir(folder, 0o700), s.writeIdentity("tls", web),
		s.write("web-ca.pem", certificatePEM(peers.webCA.certificate)))
	if err != nil {
		return nil, err
	}
	c := &spireBinaryChecks{setup: s, isFederated: true}
	roots := s.path("web-ca.pem")
	if c.near, err = startSPIREProcess(ctx, spire, folder, "near.example", roots, ""); err != nil {
		return c, err
	}
	polls := strings.NewReplacer("{name}", c.near.name.Name(), "{url}", "https://"+s.webAddress+"/").Replace(spireFederatesWith)
	if c.far, err = startSPIREProcess(ctx, spire, folder, "far.example", roots, polls); err != nil {
		return c, err
	}
	bootstrap, err := c.far.run(ctx, "bundle", "show", "-format", "spiffe")
	if err := errors.Join(err, s.write("far.jwks.json", bootstrap), c.configure(ctx)); err != nil {
		return c, err
	}
	c.comity, err = startComity(ctx, binary, s)
	return c, err
}

func (c *spireBinaryChecks) stop() {
	if c.comity != nil {
		_ = c.comity.stop()
	}
	for _, server := range []*spireProcess{c.near, c.far} {
		if server != nil {
			server.stop()
		}
	}
}

// configure takes the samples of the page, with the server's socket in place of theirs.
func (c *spireBinaryChecks) configure(context.Context) error {
	text := strings.Replace(spireConfiguration, "spire.example", "near.example", 1)
	for _, index := range []int{1, 0} {
		block, err := sample(spirePage, "toml", index)
		if err != nil {
			return err
		}
		text += block
	}
	text += spireFar
	if c.isFederated {
		text += spireRelationship
	}
	text = strings.NewReplacer(
		"{folder}", c.setup.folder, "{web}", c.setup.webAddress, "{go-web}", c.setup.peers.web.url,
		"{far}", "https://"+c.far.endpoint+"/", spirePath, c.near.socket(),
	).Replace(text)
	return errors.Join(c.setup.write("next.toml", []byte(text)), os.Rename(c.setup.path("next.toml"), c.setup.path("comity.toml")))
}

func (c *spireBinaryChecks) publishes(ctx context.Context) error {
	own, err := c.near.own(ctx)
	if err != nil {
		return err
	}
	got, err := federation.FetchBundle(ctx, c.near.name, "https://"+c.setup.webAddress+"/",
		federation.WithWebPKIRoots(c.setup.peers.webRoots()))
	if err != nil {
		return err
	}
	return sameAuthorities(got, own)
}

// stores is that our server has this bundle of another domain.
func (c *spireBinaryChecks) stores(ctx context.Context, want func(context.Context) (*spiffebundle.Bundle, error)) error {
	wanted, err := want(ctx)
	if err != nil {
		return err
	}
	got, err := c.near.federated(ctx, wanted.TrustDomain())
	if err != nil {
		return err
	}
	return sameAuthorities(got, wanted)
}

func (c *spireBinaryChecks) storesFar(ctx context.Context) error {
	c.comity.refresh(ctx, c.far.name)
	return c.stores(ctx, c.far.own)
}

func (c *spireBinaryChecks) storesWeb(ctx context.Context) error {
	return c.stores(ctx, func(context.Context) (*spiffebundle.Bundle, error) { return c.setup.peers.web.domain.bundle, nil })
}

// reachesFar is that the other server has our server's keys, which it can have from comity alone.
func (c *spireBinaryChecks) reachesFar(ctx context.Context) error {
	_, refreshed := c.far.run(ctx, "federation", "refresh", "-id", c.near.name.IDString())
	own, err := c.near.own(ctx)
	if err != nil {
		return err
	}
	got, err := c.far.federated(ctx, c.near.name)
	if err != nil {
		return errors.Join(refreshed, err)
	}
	return errors.Join(refreshed, sameAuthorities(got, own))
}

func (c *spireBinaryChecks) dropsWeb(ctx context.Context) error {
	all, err := c.near.run(ctx, "bundle", "list", "-format", "spiffe")
	if err == nil && strings.Contains(string(all), c.setup.peers.web.domain.name.Name()) {
		err = errors.New("the server still has the bundle")
	}
	entry, shown := c.near.run(ctx, "entry", "show", "-entryID", "interop")
	if !strings.Contains(string(entry), c.near.name.IDString()+"/workload") {
		err = errors.Join(err, fmt.Errorf("the entry is gone: %s", entry))
	}
	return errors.Join(err, shown)
}

const spireFederatesWith = `        federates_with "{name}" {
            bundle_endpoint_url = "{url}"
            bundle_endpoint_profile "https_web" {}
        }`

const spireFar = `
[federation."far.example"]
endpoint_url = "{far}"
profile = "https_spiffe"
endpoint_spiffe_id = "spiffe://far.example/spire/server"
bootstrap_bundle = "{folder}/far.jwks.json"
`
