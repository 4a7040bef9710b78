package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// checkIstio has Istio's own code (tests/interop/istio) fetch another domain's bundle from a comity, both configured as
// the pages say.
func checkIstio(ctx context.Context, report *report, binary, folder string, peers *peers, istio string) error {
	peer, err := start("bank-b.example", func(*domain) (*tls.Certificate, error) { return peers.webCA.mintWebCertificate() })
	if err != nil {
		return err
	}
	defer peer.server.Close()
	s, err := istioSetup(filepath.Join(folder, "istio"), peers, peer)
	if err != nil {
		return fmt.Errorf("files for a comity with Istio: %w", err)
	}
	service, err := startComity(ctx, binary, s)
	if err != nil {
		return err
	}
	istiod, err := startProgram("istiod", exec.CommandContext(ctx, istio, "-values", s.path("values.yaml"), "-roots", s.path("web-ca.pem")))
	if err != nil {
		return errors.Join(err, service.stop())
	}
	defer istiod.stop()
	// It tries for 10 s and longer before it gives up a fetch.
	has := func(want string) error {
		return eventuallyWithin(ctx, time.Minute, func() error { return istiod.says("roots", want) })
	}
	report.record("Istio: istiod's code has the CAs of another domain", has(fingerprints(peer.domain.bundle)))
	err = addAuthority(peer)
	peer.domain.changed()
	service.refresh(ctx, peer.domain.name)
	report.record("Istio: a rotation is taken over by the next fetch", errors.Join(err, has(fingerprints(peer.domain.bundle))))
	err = errors.Join(service.stop(), has(""))
	report.record("Istio: the CAs are dropped while comity is gone, as the page warns", err)
	err = addAuthority(peer)
	peer.domain.changed()
	if service, err = restarted(ctx, binary, s, err); err != nil {
		return err
	}
	service.refresh(ctx, peer.domain.name)
	report.record("Istio: after comity's restart the CAs of now are there", has(fingerprints(peer.domain.bundle)))
	report.record("Istio: a domain whose relationship ended is dropped", errors.Join(s.forgets(peer.domain.name), has("")))
	return service.stop()
}

func istioSetup(folder string, peers *peers, peer *publisher) (*setup, error) {
	s := &setup{folder: folder, peers: peers}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	output, err := sample("docs/http-output.md", "toml", 0)
	if err != nil {
		return nil, err
	}
	output, err = replaced(output, "0.0.0.0:9445", address,
		"/etc/comity/tls/inside.crt", s.path("tls.pem"), "/etc/comity/tls/inside.key", s.path("tls.key"))
	if err != nil {
		return nil, err
	}
	values, err := sample("docs/istio.md", "yaml", 0)
	if err != nil {
		return nil, err
	}
	values, err = replaced(values, "https://comity.bank-a.internal:9445/", "https://"+address+"/")
	if err != nil {
		return nil, err
	}
	web, err := peers.webCA.mintWebCertificate()
	if err != nil {
		return nil, err
	}
	text := strings.NewReplacer("{folder}", folder, "{url}", peer.url).Replace(istioConfiguration)
	return s, errors.Join(os.Mkdir(folder, 0o700), s.writeIdentity("tls", web),
		s.write("web-ca.pem", certificatePEM(peers.webCA.certificate)),
		s.write("values.yaml", []byte(values)), s.write("comity.toml", []byte(text+output)))
}

const istioConfiguration = `trust_domain = "bank-a.example"

[store]
url = "sqlite://{folder}/comity.db"

[admin]
socket = "{folder}/admin.sock"

[federation."bank-b.example"]
endpoint_url = "{url}"
profile = "https_web"
root_certificates = "{folder}/web-ca.pem"

`
