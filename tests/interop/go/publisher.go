package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/spiffe/go-spiffe/v2/federation"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// publisher serves a domain's bundle with go-spiffe's own handler.
type publisher struct {
	domain      *domain
	url         string
	certificate atomic.Pointer[tls.Certificate]
	server      *http.Server
}

func publish(domain *domain, certificate *tls.Certificate) (*publisher, error) {
	handler, err := federation.NewHandler(domain.name, domain.bundle)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &publisher{domain: domain, url: fmt.Sprintf("https://%s/", listener.Addr())}
	p.certificate.Store(certificate)
	p.server = &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{
			MinVersion:     tls.VersionTLS12,
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return p.certificate.Load(), nil },
		},
	}
	go p.server.ServeTLS(listener, "", "")
	return p, nil
}

// peers are go-spiffe publishers, one of each profile, and one that shows another SPIFFE ID than configured.
type peers struct {
	webCA    *authority
	web      *publisher
	spiffe   *publisher
	imposter *publisher
}

const endpointPath = "/bundle-endpoint"

func startPeers() (*peers, error) {
	webCA, err := newWebAuthority()
	if err != nil {
		return nil, err
	}
	p := &peers{webCA: webCA}
	mintWeb := func(*domain) (*tls.Certificate, error) { return webCA.mintWebCertificate() }
	if p.web, err = start("go-web.example", mintWeb); err != nil {
		return nil, err
	}
	if p.spiffe, err = start("go-spiffe.example", mintAs(endpointPath)); err != nil {
		return nil, err
	}
	p.imposter, err = start("go-imposter.example", mintAs("/another"))
	return p, err
}

func start(name string, mint func(*domain) (*tls.Certificate, error)) (*publisher, error) {
	domain, err := newDomain(name)
	if err != nil {
		return nil, err
	}
	certificate, err := mint(domain)
	if err != nil {
		return nil, err
	}
	return publish(domain, certificate)
}

func mintAs(path string) func(*domain) (*tls.Certificate, error) {
	return func(d *domain) (*tls.Certificate, error) { return d.first().mintSVID(d.id(path)) }
}

func (p *peers) stop() {
	for _, publisher := range []*publisher{p.web, p.spiffe, p.imposter} {
		publisher.server.Close()
	}
}

func (p *peers) webRoots() *x509.CertPool {
	roots := x509.NewCertPool()
	roots.AddCert(p.webCA.certificate)
	return roots
}

func (p *publisher) endpointID() spiffeid.ID { return p.domain.id(endpointPath) }
