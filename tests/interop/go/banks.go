package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// bank is a trust domain with a comity of its own, which federates with one other bank, and an Envoy that has its
// bundles by SDS.
type bank struct {
	*setup
	comity *comity
	envoy  *proxy
	page   string
	// Whom it federates with besides, if it does.
	odd *publisher
}

// newBank has the files of a bank whose workload has this path, and three CAs of which only the first is in use.
func newBank(folder, name, path string, peers *peers) (*bank, error) {
	td, err := spiffeid.TrustDomainFromString(name)
	if err != nil {
		return nil, err
	}
	d := &domain{name: td}
	for _, kind := range certificateKeys[:3] {
		key, err := kind.make()
		if err != nil {
			return nil, err
		}
		authority, err := newAuthority(td, kind.name, key)
		if err != nil {
			return nil, err
		}
		d.authorities = append(d.authorities, authority)
	}
	b := &bank{setup: &setup{folder: filepath.Join(folder, name), domain: d, peers: peers}, page: "docs/envoy.md"}
	if b.webAddress, err = freeAddress(); err != nil {
		return nil, err
	}
	for _, folder := range []string{"", "ca", "svid"} {
		if err := os.Mkdir(b.path(folder), 0o700); err != nil {
			return nil, err
		}
	}
	web, err := peers.webCA.mintWebCertificate()
	if err != nil {
		return nil, err
	}
	return b, errors.Join(
		b.write("web-ca.pem", certificatePEM(peers.webCA.certificate)),
		b.writeIdentity("tls", web),
		b.publishes(d.authorities[:1]),
		b.shows(d.authorities[0], path),
	)
}

// publishes replaces the CA certificates of the bank.
func (b *bank) publishes(authorities []*authority) error {
	var all []byte
	for _, authority := range authorities {
		all = append(all, certificatePEM(authority.certificate)...)
	}
	return errors.Join(b.write("next.pem", all), os.Rename(b.path("next.pem"), b.path("ca/ca.pem")))
}

// shows replaces the SVID of the bank's Envoy, as Kubernetes replaces the files of a volume.
func (b *bank) shows(authority *authority, path string) error {
	svid, err := authority.mintSVID(b.domain.id(path))
	if err != nil {
		return err
	}
	version := fmt.Sprintf("svid/..%d", time.Now().UnixNano())
	err = errors.Join(os.Mkdir(b.path(version), 0o700), b.writeIdentity(version+"/svid", svid))
	for _, link := range [][2]string{
		{"..data/svid.pem", "svid/svid.pem"}, {"..data/svid.key", "svid/svid.key"}, {filepath.Base(version), "svid/..next"},
	} {
		if _, there := os.Lstat(b.path(link[1])); there != nil {
			err = errors.Join(err, os.Symlink(link[0], b.path(link[1])))
		}
	}
	return errors.Join(err, os.Rename(b.path("svid/..next"), b.path("svid/..data")))
}

// configure writes the page's configuration of comity for a federation with another bank; more changes it.
func (b *bank) configure(other *bank, more ...string) error {
	text, err := b.configuration(other, more...)
	return errors.Join(err, b.write("comity.toml", []byte(text)))
}

// configureAlone leaves out the relationship.
func (b *bank) configureAlone(other *bank) error {
	text, err := b.configuration(other)
	text, _, _ = strings.Cut(text, "[federation.")
	return errors.Join(err, b.write("comity.toml", []byte(text)))
}

func (b *bank) configuration(other *bank, more ...string) (string, error) {
	text, err := sample(b.page, "toml", 0)
	if err != nil {
		return "", err
	}
	known := fmt.Sprintf("%q", other.domain.name.Name())
	if b.odd != nil {
		known += fmt.Sprintf(", %q", b.odd.domain.name.Name())
	}
	text, err = replaced(text, append(more,
		"trust_domain = \"bank-b.example\"", fmt.Sprintf("trust_domain = %q\n%s", b.domain.name.Name(), b.rest()),
		"[\"bank-a.example\"]", "["+known+"]",
		"[federation.\"bank-a.example\"]", fmt.Sprintf("[federation.%q]", other.domain.name.Name()),
		"https://bundle.bank-a.example/", "https://"+other.webAddress+"/",
		"/run/comity-workloads/grpc.sock", b.grpcSocket(),
		"uid = 101", "uid = "+strconv.Itoa(os.Getuid()),
		"profile = \"https_web\"", fmt.Sprintf("profile = \"https_web\"\nroot_certificates = %q", b.path("web-ca.pem")),
	)...)
	if b.odd != nil {
		text += "\n" + oddRelationship(b.odd, b.path("web-ca.pem"))
	}
	return text, err
}

// rest is what a page about outputs has no need to say.
func (b *bank) rest() string {
	return strings.NewReplacer("{folder}", b.folder, "{web}", b.webAddress).Replace(`
store.url = "sqlite://{folder}/comity.db"
authorities.x509 = ["{folder}/ca/"]
admin.socket = "{folder}/admin.sock"
operations.listen = "127.0.0.1:0"

[endpoint.https_web]
listen = "{web}"
certificate = "{folder}/tls.pem"
private_key = "{folder}/tls.key"
`)
}

func (b *bank) grpcSocket() string { return b.path("grpc.sock") }

func (b *bank) startComity(ctx context.Context, binary string) (err error) {
	b.comity, err = startComity(ctx, binary, b.setup)
	return err
}

// startEnvoy runs the page's configuration number at, which listens at address.
func (b *bank) startEnvoy(ctx context.Context, binary string, at int, address string, pairs ...string) error {
	text, err := sample(b.page, "yaml", at)
	if err != nil {
		return err
	}
	text, err = replaced(text, append([]string{
		"/etc/envoy/svid.yaml", b.path("svid.yaml"), "/run/comity-workloads/grpc.sock", b.grpcSocket(),
	}, pairs...)...)
	if err != nil {
		return err
	}
	svid, err := sample(b.page, "yaml", 1)
	if err != nil {
		return err
	}
	svid, err = replaced(svid, "/etc/envoy/svid", b.path("svid"))
	if err != nil {
		return err
	}
	admin := "admin: { address: { pipe: { path: " + b.path("envoy-admin.sock") + " } } }\n"
	if err := errors.Join(b.write("svid.yaml", []byte(svid)), b.write("envoy.yaml", []byte(admin+text))); err != nil {
		return err
	}
	command := exec.CommandContext(ctx, binary, "--config-path", b.path("envoy.yaml"), "--concurrency", "1",
		"--disable-hot-restart", "--log-level", "warning")
	b.envoy, err = startProxy(ctx, &proxy{name: "envoy"}, command, b.setup, address)
	return err
}

// statistic is a counter of the bank's Envoy.
func (b *bank) statistic(ctx context.Context, name string) (int, error) {
	text, err := b.admin(ctx, "/stats?format=json&filter="+url.QueryEscape(name))
	if err != nil {
		return 0, err
	}
	var answer struct {
		Stats []struct{ Value *int }
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return 0, err
	}
	sum := 0
	for _, one := range answer.Stats {
		if one.Value != nil {
			sum += *one.Value
		}
	}
	return sum, nil
}

func (b *bank) admin(ctx context.Context, path string) ([]byte, error) {
	return overSocket(ctx, b.path("envoy-admin.sock"), path)
}

// output is what comity says of its SDS.
func (b *bank) output(ctx context.Context) (output, error) {
	text, err := overSocket(ctx, b.socket(), "/v1/status")
	if err != nil {
		return output{}, err
	}
	var answer struct{ Outputs []output }
	if err := json.Unmarshal(text, &answer); err != nil {
		return output{}, err
	}
	for _, one := range answer.Outputs {
		if one.Kind == "sds" {
			return one, nil
		}
	}
	return output{}, fmt.Errorf("no SDS in %s", text)
}

type output struct {
	Kind                       string
	Subscribers, Pushes, Nacks int
}

// overSocket asks a server on a Unix socket.
func overSocket(ctx context.Context, socket, path string) ([]byte, error) {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := (&http.Client{Transport: transport, Timeout: patience}).Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return text, errors.Join(err, differ("status of "+path, response.StatusCode, http.StatusOK))
}

func (b *bank) stop() {
	if b.envoy != nil {
		b.envoy.stop()
	}
	if b.comity != nil {
		_ = b.comity.stop()
	}
}
