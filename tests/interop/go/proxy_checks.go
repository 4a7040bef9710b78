package main

import (
	"context"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// allowedPath is below what comity's configuration allows of go-spiffe.example.
const allowedPath = "/ns/prod/web"

// clients have certificates of go-spiffe.example's CA: one that it may issue, and others.
type clients struct {
	id                                       spiffeid.ID
	proper, below, twoURIs, forged, stranger *tls.Certificate
}

func newClients(s *setup) (*clients, error) {
	foreign := s.peers.spiffe.domain
	ca, id, admin := foreign.newest(), foreign.id(allowedPath), s.domain.id("/admin")
	stranger, err := newDomain(foreign.name.Name())
	if err != nil {
		return nil, err
	}
	c := &clients{id: id}
	mints := []struct {
		to   **tls.Certificate
		mint func() (*tls.Certificate, error)
	}{
		{&c.proper, func() (*tls.Certificate, error) { return ca.mintSVID(id) }},
		{&c.below, func() (*tls.Certificate, error) { return ca.mintBelow(id) }},
		{&c.twoURIs, func() (*tls.Certificate, error) { return ca.mintWithURIs(id.URL(), admin.URL()) }},
		{&c.forged, func() (*tls.Certificate, error) { return ca.mintSVID(admin) }},
		{&c.stranger, func() (*tls.Certificate, error) { return stranger.first().mintSVID(id) }},
	}
	for _, one := range mints {
		certificate, err := one.mint()
		if err != nil {
			return nil, err
		}
		*one.to = certificate
	}
	return c, nil
}

// mintWithURIs issues what no CA should.
func (a *authority) mintWithURIs(uris ...*url.URL) (*tls.Certificate, error) {
	template := template("interop workload", time.Hour)
	template.URIs = uris
	return a.issue(template)
}

// mintBelow issues an X509-SVID by an intermediate CA.
func (a *authority) mintBelow(id spiffeid.ID) (*tls.Certificate, error) {
	key, err := ec(elliptic.P256())()
	if err != nil {
		return nil, err
	}
	template := template("interop intermediate", time.Hour)
	template.IsCA = true
	template.KeyUsage = x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	svid, err := (&authority{certificate, key}).mintSVID(id)
	if err == nil {
		svid.Certificate = append(svid.Certificate, der)
	}
	return svid, err
}

// checkProxies puts the proxies of the page before an application, then takes comity away from them, and from what else
// follows it, for a while.
func checkProxies(ctx context.Context, report *report, c *comity, b binaries, f *followers) error {
	application, err := startApplication()
	if err != nil {
		return err
	}
	defer application.server.Close()
	clients, err := newClients(c.setup)
	if err != nil {
		return err
	}
	checkEnvoyAlone(ctx, report, c.setup, b, application, clients)
	envoy, err := startEnvoy(ctx, "envoy", b, c.setup, application, bySocket(c.setup))
	if err != nil {
		return err
	}
	defer envoy.stop()
	nginx, err := startNginx(ctx, "nginx", b, c.setup, application, bySocket(c.setup))
	if err != nil {
		return err
	}
	defer nginx.stop()
	report.record("nginx: nobody passes while a hash is required, which nginx has not",
		isRefused(ctx, nginx, application, clients.proper, nil, http.StatusForbidden))
	report.record("comity takes over require_hash = false without a restart", withoutHash(ctx, c.setup, nginx, clients))
	for _, proxy := range []*proxy{envoy, nginx} {
		checkProxy(ctx, report, proxy, application, clients)
	}
	if f.nginx, err = checkNginxByFile(ctx, report, c.setup, b, application, clients); err != nil {
		return err
	}
	report.record("envoy: a client below an intermediate CA passes", passes(ctx, envoy, clients.below, clients.id, nil))
	report.record("nginx: a client below an intermediate CA, which nginx keeps to itself, is refused",
		isRefused(ctx, nginx, application, clients.below, nil, http.StatusForbidden))
	err = checkRestart(ctx, report, &restart{c, application, clients, []*proxy{envoy, nginx, f.nginx}, f})
	if report.hasFailure() {
		fmt.Printf("--- log of envoy\n%s--- log of nginx\n%s---\n", envoy.log(), nginx.log())
	}
	if err != nil {
		return err
	}
	if clients, err = newClients(c.setup); err != nil {
		return err
	}
	return checkOverTLS(ctx, report, c, b, application, clients)
}

// checkOverTLS starts comity anew, for proxies that prove who they are.
func checkOverTLS(
	ctx context.Context, report *report, c *comity, b binaries, application *application, clients *clients,
) error {
	s := c.setup
	for file, path := range map[string]string{"proxy": proxyPath, "other": "/other"} {
		svid, err := s.domain.first().mintSVID(s.domain.id(path))
		if err != nil {
			return err
		}
		if err := s.writeIdentity(file, svid); err != nil {
			return err
		}
	}
	if err := s.overTLS(); err != nil {
		return err
	}
	service, err := startComity(ctx, c.binary, s)
	if err != nil {
		return err
	}
	known, err := startEnvoy(ctx, "envoy-tls", b, s, application, byTLS(s, b, "proxy"))
	if err != nil {
		return err
	}
	defer known.stop()
	other, err := startEnvoy(ctx, "envoy-other", b, s, application, byTLS(s, b, "other"))
	if err != nil {
		return err
	}
	defer other.stop()
	report.record("envoy over mutual TLS: a client passes as who it is",
		eventually(ctx, func() error { return passes(ctx, known, clients.proper, clients.id, lies(clients)) }))
	report.record("envoy over mutual TLS: a certificate with two URIs is refused (SDS-08)",
		isRefused(ctx, known, application, clients.twoURIs, nil, http.StatusForbidden))
	report.record("envoy over mutual TLS: a proxy that may not ask lets nobody pass",
		isRefused(ctx, other, application, clients.proper, nil, other.withoutComity))
	report.record("comity stops again", service.stop())
	return nil
}

// proxyPath is that of the one proxy that may ask over TLS.
const proxyPath = "/proxy"

func checkProxy(ctx context.Context, report *report, proxy *proxy, application *application, clients *clients) {
	check := func(name string, err error) { report.record(proxy.name+": "+name, err) }
	check("a client of a federated domain passes as who it is", passes(ctx, proxy, clients.proper, clients.id, nil))
	check("what a client says of itself is overwritten", passes(ctx, proxy, clients.proper, clients.id, lies(clients)))
	for _, one := range []struct {
		name   string
		client *tls.Certificate
	}{
		{"a certificate with two URIs, one of them ours, is refused (SDS-08)", clients.twoURIs},
		{"our ID by a federated CA is refused", clients.forged},
		{"a federated ID by a strange CA is refused", clients.stranger},
		{"a client without a certificate is refused", &tls.Certificate{}},
	} {
		check(one.name, isRefused(ctx, proxy, application, one.client, nil, http.StatusForbidden))
		check(one.name+", whatever it says of itself", isRefused(ctx, proxy, application, one.client, lies(clients), http.StatusForbidden))
	}
	thief := &tls.Certificate{Certificate: clients.proper.Certificate, PrivateKey: clients.stranger.PrivateKey}
	check("a certificate without its key is refused", isRefused(ctx, proxy, application, thief, nil, noAnswer))
	check("a name with underscores never reaches the application", underscores(ctx, proxy, clients))
}

// lies are headers by which a client would be somebody else, if they were believed.
func lies(clients *clients) http.Header {
	pem := certificatePEM(clients.proper.Leaf)
	element := fmt.Sprintf("Hash=%s;Chain=\"%s\"", fingerprint(clients.proper.Leaf), url.QueryEscape(string(pem)))
	element = strings.ReplaceAll(element, "+", "%20")
	return http.Header{
		"X-Spiffe-Id":             {"spiffe://comity.example/admin", "spiffe://comity.example/root"},
		"X-Forwarded-Client-Cert": {element, element},
	}
}

func passes(ctx context.Context, proxy *proxy, client *tls.Certificate, id spiffeid.ID, headers http.Header) error {
	status, seen, err := proxy.ask(ctx, client, headers)
	return errors.Join(
		err,
		differ("status", status, http.StatusOK),
		differ("X-Spiffe-Id", strings.Join(seen["X-Spiffe-Id"], " and "), id.String()),
		differ("lines of X-Forwarded-Client-Cert", len(seen["X-Forwarded-Client-Cert"]), 0),
	)
}

// isRefused is an answer with this status, and an application that sees nothing.
func isRefused(
	ctx context.Context, proxy *proxy, application *application, client *tls.Certificate, headers http.Header, want int,
) error {
	before := application.reached.Load()
	status, _, err := proxy.ask(ctx, client, headers)
	if want == noAnswer && err != nil {
		err = nil
	}
	return errors.Join(
		err,
		differ("status", status, want),
		differ("requests that reached the application", application.reached.Load(), before),
	)
}

// noAnswer is the status of a request whose connection failed.
const noAnswer = 0

func withoutHash(ctx context.Context, s *setup, nginx *proxy, clients *clients) error {
	s.requireHash = false
	if err := s.writeConfiguration(); err != nil {
		return err
	}
	return eventually(ctx, func() error { return passes(ctx, nginx, clients.proper, clients.id, nil) })
}

func underscores(ctx context.Context, proxy *proxy, clients *clients) error {
	status, seen, err := proxy.ask(ctx, clients.proper, http.Header{"X_Spiffe_Id": {"spiffe://comity.example/admin"}})
	if err != nil || status != http.StatusOK {
		return err
	}
	for name := range seen {
		if strings.Contains(name, "_") {
			return errors.New("the application was sent " + name)
		}
	}
	return nil
}

// checkEnvoyAlone shows what the page says of Envoy's own validator: should this fail, the page is out of date.
func checkEnvoyAlone(ctx context.Context, report *report, s *setup, b binaries, a *application, clients *clients) {
	alone, err := startEnvoy(ctx, "envoy-alone", b, s, a, func(text string) (string, error) {
		return withOwnValidator(text, s)
	})
	if err != nil {
		report.record("envoy alone", err)
		return
	}
	defer alone.stop()
	status, _, err := alone.ask(ctx, clients.twoURIs, nil)
	report.record("envoy alone: a certificate with two URIs passes as ours (SDS-08, the reason for all this)",
		errors.Join(err, differ("status", status, http.StatusOK)))
	report.record("envoy alone: its validator and its matcher are in force", errors.Join(
		isRefused(ctx, alone, a, clients.proper, nil, noAnswer),
		isRefused(ctx, alone, a, clients.forged, nil, noAnswer),
		isRefused(ctx, alone, a, clients.stranger, nil, noAnswer),
	))
}

// withOwnValidator has Envoy verify SVIDs by itself, for our admin alone, and ask nobody.
func withOwnValidator(text string, s *setup) (string, error) {
	foreign := s.peers.spiffe.domain
	err := errors.Join(
		s.write("foreign.pem", certificatePEM(foreign.newest().certificate)),
		s.write("own.pem", certificatePEM(s.domain.first().certificate)),
	)
	if err != nil {
		return "", err
	}
	if text, err = bySocket(s)(text); err != nil {
		return "", err
	}
	before, rest, _ := strings.Cut(text, "          - name: envoy.filters.http.ext_authz\n")
	_, after, found := strings.Cut(rest, "          - name: envoy.filters.http.router\n")
	if !found {
		return "", errors.New("the sample has no filters ext_authz and router")
	}
	text = before + "          - name: envoy.filters.http.router\n" + after
	return replaced(text, "              trust_chain_verification: ACCEPT_UNTRUSTED", strings.NewReplacer(
		"{foreign}", foreign.name.Name(), "{own}", s.domain.name.Name(), "{folder}", s.folder,
	).Replace(validator))
}

const validator = `              match_typed_subject_alt_names:
              - { san_type: URI, matcher: { exact: "spiffe://{own}/admin" } }
              custom_validator_config:
                name: envoy.tls.cert_validator.spiffe
                typed_config:
                  "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig
                  trust_domains:
                  - { name: "{foreign}", trust_bundle: { filename: "{folder}/foreign.pem" } }
                  - { name: "{own}", trust_bundle: { filename: "{folder}/own.pem" } }
`
