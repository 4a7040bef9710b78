package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
)

// setup is the folder of files from which comity serves: nobody else may read it.
type setup struct {
	folder                    string
	domain                    *domain
	peers                     *peers
	webAddress, spiffeAddress string
	// Where comity answers proxies over TLS; empty while it does so on a Unix socket.
	authorizationAddress string
	requireHash          bool
	// The trust domain whose relationship has ended, if one has.
	ended string
}

func newSetup(folder string, peers *peers) (*setup, error) {
	domain, err := newDomain("comity.example")
	if err != nil {
		return nil, err
	}
	s := &setup{folder: folder, domain: domain, peers: peers, requireHash: true}
	if s.webAddress, err = freeAddress(); err != nil {
		return nil, err
	}
	if s.spiffeAddress, err = freeAddress(); err != nil {
		return nil, err
	}
	return s, errors.Join(s.writeAuthorities(), s.writeEndpoints(), s.writePeers(), s.writeConfiguration())
}

// freeAddress is an address on loopback that was free a moment ago.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

func (s *setup) writeAuthorities() error {
	for _, folder := range []string{"ca", "bundles"} {
		if err := os.Mkdir(s.path(folder), 0o700); err != nil {
			return err
		}
	}
	for at, authority := range s.domain.authorities {
		if err := s.write(fmt.Sprintf("ca/%02d.pem", at), certificatePEM(authority.certificate)); err != nil {
			return err
		}
	}
	return s.writeTokenKeys()
}

// writeTokenKeys replaces the watched file of keys for tokens, complete at once.
func (s *setup) writeTokenKeys() error {
	jwks, err := spiffebundle.FromJWTAuthorities(s.domain.name, s.domain.bundle.JWTAuthorities()).Marshal()
	if err != nil {
		return err
	}
	return errors.Join(s.write("next.jwks.json", jwks), os.Rename(s.path("next.jwks.json"), s.path("jwt.jwks.json")))
}

// writeNewest adds the newest authority to the watched folder, complete at once.
func (s *setup) writeNewest() error {
	at := len(s.domain.authorities) - 1
	if err := s.write("newest.pem", certificatePEM(s.domain.newest().certificate)); err != nil {
		return err
	}
	return os.Rename(s.path("newest.pem"), s.path(fmt.Sprintf("ca/%02d.pem", at)))
}

func (s *setup) writeEndpoints() error {
	web, err := s.peers.webCA.mintWebCertificate()
	if err != nil {
		return err
	}
	svid, err := s.domain.first().mintSVID(s.domain.id(endpointPath))
	if err != nil {
		return err
	}
	return errors.Join(s.writeIdentity("tls", web), s.writeIdentity("svid", svid))
}

func (s *setup) writeIdentity(name string, identity *tls.Certificate) error {
	key, err := x509.MarshalPKCS8PrivateKey(identity.PrivateKey)
	if err != nil {
		return err
	}
	return errors.Join(
		s.write(name+".pem", certificatePEM(identity.Leaf)),
		s.write(name+".key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})),
	)
}

func (s *setup) writePeers() error {
	err := s.write("web-ca.pem", certificatePEM(s.peers.webCA.certificate))
	for _, publisher := range []*publisher{s.peers.spiffe, s.peers.imposter} {
		document, marshalErr := publisher.domain.bundle.Marshal()
		err = errors.Join(err, marshalErr, s.write(publisher.domain.name.Name()+".jwks.json", document))
	}
	return err
}

func (s *setup) writeConfiguration() error {
	outputs, err := s.outputs()
	if err != nil {
		return err
	}
	text := strings.NewReplacer(
		"{folder}", s.folder,
		"{socket}", s.socket(),
		"{web}", s.webAddress,
		"{spiffe}", s.spiffeAddress,
		"{go-web}", s.peers.web.url,
		"{go-spiffe}", s.peers.spiffe.url,
		"{go-imposter}", s.peers.imposter.url,
		"{path}", endpointPath,
		"{hash}", strconv.FormatBool(s.requireHash),
		"{transport}", s.transport(),
	).Replace(configuration)
	if s.ended != "" {
		before, rest, _ := strings.Cut(text, fmt.Sprintf("[federation.%q]", s.ended))
		_, after, _ := strings.Cut(rest, "\n\n")
		text = before + after
	}
	return errors.Join(s.write("next.toml", []byte(text+outputs)), os.Rename(s.path("next.toml"), s.path("comity.toml")))
}

// outputs are the samples of the pages, with this run's places in place of theirs.
func (s *setup) outputs() (string, error) {
	files, err := sample("docs/files.md", "toml", 0)
	if err != nil {
		return "", err
	}
	// As systemctl does it, once there is an nginx.
	reload := fmt.Sprintf(`["/bin/sh", "-c", "if [ -e %[1]s ]; then kill -HUP $(cat %[1]s); fi"]`, s.path(nginxByFile+".pid"))
	files, err = replaced(files,
		"/run/comity-bundles", s.path("bundles"),
		`["bank-a.example", "bank-b.example"]`, `["comity.example", "go-spiffe.example", "go-web.example"]`,
		`["/usr/bin/systemctl", "reload", "nginx"]`, reload)
	if err != nil {
		return "", err
	}
	clouds, err := sample("docs/oidc-output.md", "toml", 0)
	if err != nil {
		return "", err
	}
	clouds, err = replaced(clouds, "https://bundle.bank-a.example/oidc", s.issuer())
	return files + clouds, err
}

// issuer is what our tokens name as theirs.
func (s *setup) issuer() string { return "https://" + s.webAddress + "/oidc" }

// overTLS has the next comity answer proxies over TLS.
func (s *setup) overTLS() (err error) {
	if s.authorizationAddress, err = freeAddress(); err != nil {
		return err
	}
	return s.writeConfiguration()
}

func (s *setup) transport() string {
	if s.authorizationAddress == "" {
		return fmt.Sprintf("socket = %q", s.path("authorization.sock"))
	}
	return fmt.Sprintf("listen = %q\nsvid = %q\nprivate_key = %q\nproxies = [%q]",
		s.authorizationAddress, s.path("svid.pem"), s.path("svid.key"), s.domain.id(proxyPath))
}

const configuration = `trust_domain = "comity.example"

[store]
url = "sqlite://{folder}/comity.db"

[authorities]
x509 = ["{folder}/ca/"]
jwt = ["{folder}/jwt.jwks.json"]
refresh_hint = "5m"

[endpoint.https_web]
listen = "{web}"
path = "/"
certificate = "{folder}/tls.pem"
private_key = "{folder}/tls.key"

[endpoint.https_spiffe]
listen = "{spiffe}"
svid = "{folder}/svid.pem"
private_key = "{folder}/svid.key"

[operations]
listen = "127.0.0.1:0"

[admin]
socket = "{socket}"

[authorization]
{transport}
allow = ["spiffe://go-spiffe.example/ns/prod/**", "spiffe://comity.example/admin"]
require_hash = {hash}

[federation."go-web.example"]
endpoint_url = "{go-web}"
profile = "https_web"
root_certificates = "{folder}/web-ca.pem"

[federation."go-spiffe.example"]
endpoint_url = "{go-spiffe}"
profile = "https_spiffe"
endpoint_spiffe_id = "spiffe://go-spiffe.example{path}"
bootstrap_bundle = "{folder}/go-spiffe.example.jwks.json"

[federation."go-imposter.example"]
endpoint_url = "{go-imposter}"
profile = "https_spiffe"
endpoint_spiffe_id = "spiffe://go-imposter.example{path}"
bootstrap_bundle = "{folder}/go-imposter.example.jwks.json"

`

func certificatePEM(certificate *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})
}

func (s *setup) write(name string, contents []byte) error {
	return os.WriteFile(s.path(name), contents, 0o600)
}
