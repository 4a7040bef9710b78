package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"

	"github.com/spiffe/go-spiffe/v2/federation"
)

const (
	spirePage  = "docs/spire.md"
	spirePath  = "/tmp/spire-server/private/api.sock"
	objectPage = "docs/object-storage.md"
	bucketPath = "/bank-a"
	objectPath = "/bank-a/spiffe/bundle.json"
)

// checkSPIREServer runs a comity that has its keys from a SPIRE server, pushes what it accepts into it, and puts its
// own bundle into a bucket; configured as the pages say.
func checkSPIREServer(ctx context.Context, report *report, binary, folder string, peers *peers, moto string) error {
	s3, stopMoto, err := startMoto(ctx, moto)
	if err != nil {
		return fmt.Errorf("moto: %w", err)
	}
	defer stopMoto()
	c, stop, err := startSPIREChecks(ctx, binary, folder+"/spire", peers, s3)
	if err != nil {
		return fmt.Errorf("a SPIRE server: %w", err)
	}
	defer stop()
	report.record("SPIRE API: our keys of every type come from GetBundle", eventually(ctx, c.publishes))
	report.record("SPIRE API: a new CA of the server is published",
		errors.Join(c.setup.domain.addAuthority("next", certificateKeys[0].make), eventually(ctx, c.publishes)))
	report.record("SPIRE API: an accepted bundle is stored, keys of every type",
		eventually(ctx, func() error { return c.stores(peers.web) }))
	err = addAuthority(peers.web)
	peers.web.domain.changed()
	c.comity.refresh(ctx, peers.web.domain.name)
	report.record("SPIRE API: a rotated bundle replaces it",
		errors.Join(err, eventually(ctx, func() error { return c.stores(peers.web) })))
	report.record("object storage: moto has the bytes of the endpoint", eventually(ctx, func() error { return c.bucketHas(ctx) }))
	report.record("object storage: a newer bundle there is not overwritten", c.keepsNewer(ctx))
	err = c.configure(false)
	report.record("SPIRE API: the bundle of a relationship that ended is deleted, and entries stay",
		errors.Join(err, eventually(ctx, func() error { return c.lacks(peers.web) })))
	if err := c.comity.stop(); err != nil {
		report.record("SPIRE API: comity stops", err)
	}
	if report.hasFailure() {
		fmt.Printf("--- log of comity with a SPIRE server\n%s---\n", c.comity.log())
	}
	return nil
}

type spireChecks struct {
	setup  *setup
	server *spireServer
	comity *comity
	s3     string
}

func startSPIREChecks(ctx context.Context, binary, folder string, peers *peers, s3 string) (*spireChecks, func(), error) {
	domain, err := newDomain("spire.example")
	if err != nil {
		return nil, nil, err
	}
	s := &setup{folder: folder, domain: domain, peers: peers}
	if s.webAddress, err = freeAddress(); err != nil {
		return nil, nil, err
	}
	c := &spireChecks{setup: s, s3: s3}
	credentials := []byte("AWS_ACCESS_KEY_ID=interop\nAWS_SECRET_ACCESS_KEY=interop\n")
	err = errors.Join(os.Mkdir(folder, 0o700), s.writeEndpoints(), s.writePeers(), s.write("s3.env", credentials),
		c.configure(true), c.makeBucket(ctx))
	if err != nil {
		return nil, nil, err
	}
	server, stop, err := startSPIREServer(s.path("api.sock"), domain)
	if err != nil {
		return nil, nil, err
	}
	c.server = server
	if c.comity, err = startComity(ctx, binary, s); err != nil {
		stop()
		return nil, nil, err
	}
	return c, stop, nil
}

// configure takes the samples of the pages, with this run's places in place of theirs.
func (c *spireChecks) configure(federated bool) error {
	text := spireConfiguration
	for _, page := range []struct {
		page  string
		index int
	}{{spirePage, 1}, {spirePage, 0}, {objectPage, 0}} {
		block, err := sample(page.page, "toml", page.index)
		if err != nil {
			return err
		}
		text += block
	}
	text += "endpoint = \"" + c.s3 + "\"\n"
	if federated {
		text += spireRelationship
	}
	return c.setup.write("comity.toml", []byte(strings.NewReplacer(
		"{folder}", c.setup.folder, "{web}", c.setup.webAddress, "{go-web}", c.setup.peers.web.url,
		spirePath, c.setup.path("api.sock"), "/etc/comity/s3.env", c.setup.path("s3.env"),
	).Replace(text)))
}

func (c *spireChecks) publishes() error {
	got, err := federation.FetchBundle(context.Background(), c.setup.domain.name, c.url(),
		federation.WithWebPKIRoots(c.setup.peers.webRoots()))
	if err != nil {
		return err
	}
	return sameAuthorities(got, c.setup.domain.bundle)
}

func (c *spireChecks) url() string { return "https://" + c.setup.webAddress + "/" }

func (c *spireChecks) stores(publisher *publisher) error {
	got, err := c.server.bundle(publisher.domain.name)
	switch {
	case err != nil:
		return err
	case got == nil:
		return errors.New("the server has no bundle")
	}
	return sameAuthorities(got, publisher.domain.bundle)
}

func (c *spireChecks) lacks(publisher *publisher) error {
	got, err := c.server.bundle(publisher.domain.name)
	if got != nil {
		return errors.New("the server still has the bundle")
	}
	return err
}

func (c *spireChecks) bucketHas(ctx context.Context) error {
	client := &http.Client{Timeout: patience, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: c.setup.peers.webRoots()},
	}}
	served, _, err := request(ctx, client, http.MethodGet, c.url(), nil)
	if err != nil {
		return err
	}
	object, header, err := request(ctx, client, http.MethodGet, c.s3+objectPath, nil)
	if err != nil {
		return err
	}
	if !bytes.Equal(served, object) {
		return fmt.Errorf("the endpoint serves %d bytes, the bucket has %d others", len(served), len(object))
	}
	return errors.Join(
		differ("content type", header.Get("Content-Type"), "application/json"),
		differ("cache control", header.Get("Cache-Control"), "public, max-age=30, must-revalidate"),
	)
}

// keepsNewer puts a bundle with a higher number there, and has the service publish another key.
func (c *spireChecks) keepsNewer(ctx context.Context) error {
	client := &http.Client{Timeout: patience}
	domain := c.setup.domain
	domain.bundle.SetSequenceNumber(1 << 40)
	newer, err := domain.bundle.Marshal()
	if err != nil {
		return err
	}
	if _, _, err := request(ctx, client, http.MethodPut, c.s3+objectPath, newer); err != nil {
		return err
	}
	if err := domain.addAuthority("after it", certificateKeys[0].make); err != nil {
		return err
	}
	err = eventually(ctx, func() error {
		text, err := c.comity.run(ctx, "health", "--live", "--output", "json")
		if err == nil && !bytes.Contains(c.comity.log(), []byte("object-newer")) {
			err = fmt.Errorf("nothing is said of it; health is %s", text)
		}
		return err
	})
	object, _, fetched := request(ctx, client, http.MethodGet, c.s3+objectPath, nil)
	if !bytes.Equal(object, newer) {
		err = errors.Join(err, errors.New("it was overwritten"))
	}
	return errors.Join(err, fetched)
}

// startMoto starts an S3 server on loopback; where it is.
func startMoto(ctx context.Context, binary string) (string, func(), error) {
	address, err := freeAddress()
	if err != nil {
		return "", nil, err
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", nil, err
	}
	process := exec.CommandContext(ctx, binary, "-H", host, "-p", port)
	if err := process.Start(); err != nil {
		return "", nil, err
	}
	return "http://" + address, func() { _, _ = process.Process.Kill(), process.Wait() }, nil
}

func (c *spireChecks) makeBucket(ctx context.Context) error {
	where := "<CreateBucketConfiguration><LocationConstraint>eu-central-1</LocationConstraint></CreateBucketConfiguration>"
	return eventually(ctx, func() error {
		_, _, err := request(ctx, http.DefaultClient, http.MethodPut, c.s3+bucketPath, []byte(where))
		return err
	})
}

func request(ctx context.Context, client *http.Client, method, url string, body []byte) ([]byte, http.Header, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	if strings.HasPrefix(url, "http:") { // by which moto knows the region; it checks no signature
		request.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=interop/20260101/eu-central-1/s3/aws4_request")
	}
	answer, err := client.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if answer.StatusCode != http.StatusOK {
		err = errors.Join(err, fmt.Errorf("%s %s: %s: %s", method, url, answer.Status, text))
	}
	return text, answer.Header, err
}

const spireConfiguration = `trust_domain = "spire.example"

[store]
url = "sqlite://{folder}/comity.db"

[admin]
socket = "{folder}/admin.sock"

[endpoint.https_web]
listen = "{web}"
certificate = "{folder}/tls.pem"
private_key = "{folder}/tls.key"

`

const spireRelationship = `
[federation."go-web.example"]
endpoint_url = "{go-web}"
profile = "https_web"
root_certificates = "{folder}/web-ca.pem"
`
