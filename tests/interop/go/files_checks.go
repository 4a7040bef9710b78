package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"google.golang.org/grpc/credentials/tls/certprovider"
	"google.golang.org/grpc/credentials/tls/certprovider/pemfile"
)

// checkFiles has Envoy and gRPC read the files that comity writes, as the page tells, and changes what is trusted. Both
// go on.
func checkFiles(ctx context.Context, report *report, c *comity, b binaries) (*followers, error) {
	clients, err := newClients(c.setup)
	if err != nil {
		return nil, err
	}
	report.record("grpc-go: the bundle map has each domain's bundle under its own name", eventually(ctx, func() error {
		provider, err := readByGRPC(c.setup)
		if err != nil {
			return err
		}
		defer provider.Close()
		return grpcHas(ctx, provider, c.setup)
	}))
	f := &followers{}
	if f.grpc, err = readByGRPC(c.setup); err != nil {
		return nil, err
	}
	if f.envoy, err = startEnvoyByFiles(ctx, b, c.setup); err != nil {
		f.stop()
		return nil, err
	}
	check := func(name string, err error) { report.record("envoy by files: "+name, err) }
	admits := func(client *tls.Certificate) error { return f.envoy.answers(ctx, client, http.StatusOK) }
	refuses := func(client *tls.Certificate) error { return f.envoy.answers(ctx, client, noAnswer) }
	check("a client of a federated domain passes", admits(clients.proper))
	check("a client below an intermediate CA passes", admits(clients.below))
	check("our ID by a federated CA is refused", refuses(clients.forged))
	check("a federated ID by a strange CA is refused", refuses(clients.stranger))
	check("a key that the domain adds counts without a restart, one that it removes no longer",
		rotatedInFiles(ctx, c, clients, admits, refuses))
	return f, nil
}

// startEnvoyByFiles runs the page's configuration for the client that the other checks know.
func startEnvoyByFiles(ctx context.Context, b binaries, s *setup) (*proxy, error) {
	text, err := sample("docs/files.md", "yaml", 0)
	if err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	text, err = replaced(text,
		"address: 0.0.0.0, port_value: 8443", socketAddress(address),
		"/etc/envoy/tls.crt", s.path("tls.pem"),
		"/etc/envoy/tls.key", s.path("tls.key"),
		"/run/comity-bundles", s.path("bundles"),
		"spiffe://bank-b.example/ns/prod/sa/web", s.peers.spiffe.domain.id(allowedPath).String(),
	)
	if err != nil {
		return nil, err
	}
	if err := s.write("envoy-files.yaml", []byte(text)); err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, b.envoy, "--config-path", s.path("envoy-files.yaml"), "--concurrency", "1",
		"--disable-hot-restart", "--log-level", "warning")
	return startProxy(ctx, &proxy{name: "envoy-files"}, command, s, address)
}

// answers is the status of a request over a connection of its own; none if the handshake fails.
func (p *proxy) answers(ctx context.Context, client *tls.Certificate, want int) error {
	transport := &http.Transport{TLSClientConfig: &tls.Config{
		RootCAs:      p.setup.peers.webRoots(),
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{*client},
	}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := (&http.Client{Transport: transport, Timeout: patience}).Do(request)
	if want == noAnswer {
		if err == nil {
			return errors.Join(errors.New("it passes"), response.Body.Close())
		}
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(differ("status", response.StatusCode, want), response.Body.Close())
}

// rotatedInFiles replaces all CAs of go-spiffe's domain by a new one and puts them back.
func rotatedInFiles(ctx context.Context, c *comity, clients *clients, admits, refuses func(*tls.Certificate) error) error {
	publisher := c.setup.peers.spiffe
	next, err := newDomain(publisher.domain.name.Name())
	if err != nil {
		return err
	}
	svid, err := next.newest().mintSVID(clients.id)
	if err != nil {
		return err
	}
	added, all := next.newest().certificate, publisher.domain.bundle.X509Authorities()
	publisher.domain.bundle.AddX509Authority(added)
	publisher.domain.changed()
	c.refresh(ctx, publisher.domain.name)
	err = eventually(ctx, func() error { return admits(svid) })
	publisher.domain.bundle.SetX509Authorities(all)
	publisher.domain.changed()
	c.refresh(ctx, publisher.domain.name)
	return errors.Join(err, eventually(ctx, func() error { return refuses(svid) }), admits(clients.proper))
}

// readByGRPC has gRPC read the map, as its xDS bootstrap would, and again each second.
func readByGRPC(s *setup) (certprovider.Provider, error) {
	return pemfile.NewProvider(pemfile.Options{
		SPIFFEBundleMapFile: s.path("bundles/bundle-map.grpc.json"), RefreshDuration: time.Second,
	})
}

func grpcHas(ctx context.Context, provider certprovider.Provider, s *setup) error {
	within, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	material, err := provider.KeyMaterial(within)
	if err != nil {
		return err
	}
	known := s.peers.spiffe.domain
	bundle := material.SPIFFEBundleMap[known.name.Name()]
	if bundle == nil || material.SPIFFEBundleMap[s.domain.name.Name()] == nil {
		return errors.New("domains are missing")
	}
	_, err = os.Stat(s.path("bundles/" + known.name.Name() + ".trust-bundle.pem"))
	// All but the one with an Ed25519 key, which gRPC's C++ can't read.
	var want []*x509.Certificate
	for _, certificate := range known.bundle.X509Authorities() {
		if certificate.PublicKeyAlgorithm != x509.Ed25519 {
			want = append(want, certificate)
		}
	}
	return errors.Join(err, differ("JWT keys", len(bundle.JWTAuthorities()), 0),
		differ("CAs", fingerprints(bundle), fingerprints(spiffebundle.FromX509Authorities(known.name, want))))
}

// nginxByFile names what belongs to the nginx with the CA file of one domain.
const nginxByFile = "nginx-by-file"

// checkNginxByFile has nginx verify clients by the CA file of one domain, and ask Comity besides. It goes on.
func checkNginxByFile(
	ctx context.Context, report *report, s *setup, b binaries, a *application, clients *clients,
) (*proxy, error) {
	lines, err := sample("docs/files.md", "nginx", 0)
	if err != nil {
		return nil, err
	}
	nginx, err := startNginx(ctx, nginxByFile, b, s, a, func(text string) (string, error) {
		lines, err := replaced(lines, "/run/comity-bundles/bank-b.example", s.path("bundles/"+clients.id.TrustDomain().Name()))
		if err != nil {
			return "", err
		}
		text, err = replaced(text, "        ssl_verify_client optional_no_ca;    # asks for a certificate and proves its key, no more\n", lines)
		if err != nil {
			return "", err
		}
		return bySocket(s)(text)
	})
	if err != nil {
		return nil, err
	}
	check := func(name string, err error) { report.record("nginx by file: "+name, err) }
	check("a client of the domain passes as who it is", passes(ctx, nginx, clients.proper, clients.id, nil))
	check("a strange CA is refused by nginx itself", isRefused(ctx, nginx, a, clients.stranger, nil, http.StatusBadRequest))
	check("our ID by the domain's CA, which nginx believes, is refused by Comity",
		isRefused(ctx, nginx, a, clients.forged, nil, http.StatusForbidden))
	return nginx, nil
}
