package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// Paths of the two workloads of the page.
const (
	serverPath = "/ns/prod/sa/web"
	clientPath = "/ns/prod/sa/client"
)

// checkSDS lets two banks talk by mutual TLS through two Envoys, each of which has the bundles from its own comity, and
// changes one thing after the other about them.
func checkSDS(ctx context.Context, report *report, binary, folder string, peers *peers, b binaries) error {
	application, err := startApplication()
	if err != nil {
		return err
	}
	defer application.server.Close()
	odd, _, err := startOdd(peers.webCA)
	if err != nil {
		return err
	}
	defer odd.server.Close()
	pair, err := newPair(folder, peers, odd)
	if err != nil {
		return err
	}
	defer pair.stop()
	if err := pair.start(ctx, binary, b.envoy, application); err != nil {
		return err
	}
	report.record("envoy by SDS: a request passes from domain to domain by mutual TLS", pair.eventuallyAnswers(ctx, http.StatusOK))
	report.record("envoy by SDS: of a peer's CAs those that Envoy can read are shown, and it goes on with all domains",
		eventually(ctx, func() error { return pair.showsReadable(ctx) }))
	checkStrangers(ctx, report, pair, application)
	checkSDSClient(ctx, report, pair.client)
	report.record("envoy by SDS: a rotation at the other domain loses no request", pair.rotation(ctx))
	report.record("envoy by SDS: comity restarts, requests pass meanwhile, and Envoy catches up", pair.restart(ctx, binary))
	report.record("envoy by SDS: an SVID whose CA was removed is refused", pair.removal(ctx))
	report.record("envoy by SDS: a relationship that ends is refused, and let in when it comes back", pair.ending(ctx))
	report.record("envoy by SDS: a bundle that turns stale is refused", pair.staleness(ctx))
	report.record("envoy by SDS: no Secret was refused by Envoy", pair.noNacks(ctx))
	if report.hasFailure() {
		for _, bank := range []*bank{pair.client, pair.server} {
			fmt.Printf("--- comity of %s\n%s--- its envoy\n%s---\n", bank.domain.name, bank.comity.log(), bank.envoy.log())
		}
	}
	return nil
}

// pair are the two banks of the page.
type pair struct {
	client, server *bank
	// Where the server's Envoy takes TLS, and where the client's takes plain requests.
	tls, plain string
}

// newPair has the server federate with an odd domain besides, so that what becomes of its Envoy's Secret shows what such
// keys do to the others in it.
func newPair(folder string, peers *peers, odd *publisher) (*pair, error) {
	p := &pair{}
	var err error
	if p.client, err = newBank(folder, "bank-a.example", clientPath, peers); err != nil {
		return nil, err
	}
	if p.server, err = newBank(folder, "bank-b.example", serverPath, peers); err != nil {
		return nil, err
	}
	p.server.odd = odd
	if p.tls, err = freeAddress(); err != nil {
		return nil, err
	}
	p.plain, err = freeAddress()
	return p, errors.Join(err, p.client.configure(p.server, quick...), p.server.configure(p.client))
}

// quick has a relationship that nobody confirms lapse within a minute.
var quick = []string{"profile = \"https_web\"", `profile = "https_web"
minimum_interval = "1s"
maximum_interval = "5s"
maximum_staleness = "1m"`}

func (p *pair) start(ctx context.Context, comity, envoy string, application *application) error {
	err := errors.Join(p.client.startComity(ctx, comity), p.server.startComity(ctx, comity))
	if err != nil {
		return err
	}
	return errors.Join(
		p.server.startEnvoy(ctx, envoy, 0, p.tls,
			"address: 0.0.0.0, port_value: 8443", socketAddress(p.tls),
			"address: 127.0.0.1, port_value: 8080", socketAddress(application.address)),
		p.client.startEnvoy(ctx, envoy, 2, p.plain,
			"address: 127.0.0.1, port_value: 9001", socketAddress(p.plain),
			"address: web.bank-b.example, port_value: 8443", socketAddress(p.tls),
			// Each request over a connection of its own: a handshake by what Envoy has at that moment.
			"  - name: bank-b\n    connect_timeout: 5s\n", "  - name: bank-b\n    connect_timeout: 5s\n"+oneRequest),
	)
}

const oneRequest = `    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: { http_protocol_options: {} }
        common_http_protocol_options: { max_requests_per_connection: 1 }
`

func (p *pair) stop() {
	p.client.stop()
	p.server.stop()
}

// ask sends a request through both Envoys.
func (p *pair) ask(ctx context.Context) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.plain+"/", http.NoBody)
	if err != nil {
		return 0, err
	}
	response, err := (&http.Client{Timeout: patience}).Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, err
}

func (p *pair) answers(ctx context.Context, want int) error {
	status, err := p.ask(ctx)
	return errors.Join(err, differ("status", status, want))
}

func (p *pair) eventuallyAnswers(ctx context.Context, want int) error {
	return eventually(ctx, func() error { return p.answers(ctx, want) })
}

// checkStrangers come to the server's Envoy by themselves.
func checkStrangers(ctx context.Context, report *report, p *pair, application *application) {
	a, b := p.client.domain, p.server.domain
	id := a.id(clientPath)
	for _, one := range []struct {
		name   string
		ca     *authority
		ids    []spiffeid.ID
		passes bool
	}{
		{"the workload that is named passes", a.first(), []spiffeid.ID{id}, true},
		{"our own CA can't name a workload of another domain", b.first(), []spiffeid.ID{id}, false},
		{"a federated CA can't name one of our workloads", a.first(), []spiffeid.ID{b.id(serverPath)}, false},
		{"a CA that its domain didn't publish can't", a.authorities[1], []spiffeid.ID{id}, false},
		{"another workload of the right domain is refused (SDS-09)", a.first(), []spiffeid.ID{a.id("/other")}, false},
		{"a certificate with two URIs passes (SDS-08, of which the page warns)", a.first(), []spiffeid.ID{a.id("/other"), id}, true},
	} {
		reached, before := application.reached.Load(), p.refusals(ctx)
		err := p.comesAs(ctx, one.ca, one.ids, one.passes)
		if !one.passes {
			err = errors.Join(err, differ("requests that reached the application", application.reached.Load(), reached),
				differ("certificates that envoy refused", p.refusals(ctx), before+1))
		}
		report.record("envoy by SDS: "+one.name, err)
	}
}

// refusals are how often the server's Envoy found a client's certificate wanting; -1 if it does not tell.
func (p *pair) refusals(ctx context.Context) int {
	count, err := p.server.statistic(ctx, `listener\..*ssl\.fail_verify_(error|san|cert_hash)$`)
	if err != nil {
		return -1
	}
	return count
}

// comesAs goes to the server's Envoy with a certificate of these IDs, whoever that is.
func (p *pair) comesAs(ctx context.Context, ca *authority, ids []spiffeid.ID, passes bool) error {
	var uris []*url.URL
	for _, id := range ids {
		uris = append(uris, id.URL())
	}
	certificate, err := ca.mintWithURIs(uris...)
	if err != nil {
		return err
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{
		InsecureSkipVerify: true, // the certificate of the client is what counts
		// Whether or not Envoy says that it knows its CA.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil },
	}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+p.tls+"/", http.NoBody)
	if err != nil {
		return err
	}
	response, err := (&http.Client{Transport: transport, Timeout: patience}).Do(request)
	if err != nil && !passes {
		return nil // how the connection ends depends on which side is faster; Envoy counts why
	}
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return differ("passes", response.StatusCode == http.StatusOK, passes)
}

// rotation replaces the server's CA, with overlap, while requests go on.
func (p *pair) rotation(ctx context.Context) error {
	server := p.server
	old, next := server.domain.authorities[0], server.domain.authorities[1]
	load := p.load(ctx)
	steps := func() error {
		if err := server.publishes([]*authority{old, next}); err != nil {
			return err
		}
		if err := p.reaches(ctx, 2); err != nil {
			return fmt.Errorf("both CAs: %w", err)
		}
		before := load.count()
		if err := server.shows(next, serverPath); err != nil {
			return err
		}
		if err := p.uses(ctx, next); err != nil {
			return err
		}
		if err := server.publishes([]*authority{next}); err != nil {
			return err
		}
		if err := p.reaches(ctx, 1); err != nil {
			return fmt.Errorf("the new CA alone: %w", err)
		}
		return eventually(ctx, func() error {
			if load.count() < before+100 {
				return errors.New("few requests were sent")
			}
			return nil
		})
	}
	err := steps()
	return errors.Join(err, load.stop())
}

// reaches waits until the client's Envoy has so many CAs of the server's domain.
func (p *pair) reaches(ctx context.Context, cas int) error {
	return eventually(ctx, func() error {
		p.client.comity.refresh(ctx, p.server.domain.name)
		found, err := p.client.cas(ctx)
		return errors.Join(err, differ("CAs that envoy has", found, cas))
	})
}

// showsReadable is of the server: one CA of each bank and the one good of the odd domain, none of them refused.
func (p *pair) showsReadable(ctx context.Context) error {
	cas, err := p.server.cas(ctx)
	if !bytes.Contains(p.server.comity.log(), []byte("unreadable-authority-not-shown")) {
		err = errors.Join(err, errors.New("nothing is said of what is not shown"))
	}
	rejected, unread := p.server.statistic(ctx, `sds\..*update_rejected`)
	return errors.Join(err, unread, differ("CAs that envoy has", cas, 3), differ("rejected updates", rejected, 0))
}

// cas are how many CA certificates the bank's Envoy verifies servers with.
func (b *bank) cas(ctx context.Context) (int, error) {
	text, err := b.admin(ctx, "/config_dump?resource=dynamic_active_secrets&include_eds=off")
	return strings.Count(string(text), "BEGIN CERTIFICATE"), err
}

// uses waits until the server's Envoy shows an SVID of this CA.
func (p *pair) uses(ctx context.Context, authority *authority) error {
	return eventually(ctx, func() error {
		connection, err := tls.Dial("tcp", p.tls, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			return err
		}
		defer connection.Close()
		issuer := connection.ConnectionState().PeerCertificates[0].Issuer.CommonName
		return differ("issuer", issuer, authority.certificate.Subject.CommonName)
	})
}

// load sends requests one after the other until it is stopped.
type load struct {
	cancel context.CancelFunc
	ended  sync.WaitGroup
	mutex  sync.Mutex
	sent   int
	failed []error
}

func (p *pair) load(ctx context.Context) *load {
	ctx, cancel := context.WithCancel(ctx)
	l := &load{cancel: cancel}
	for range 2 {
		l.ended.Go(func() {
			for ctx.Err() == nil {
				err := p.answers(context.WithoutCancel(ctx), http.StatusOK)
				l.mutex.Lock()
				l.sent++
				if err != nil {
					l.failed = append(l.failed, err)
				}
				l.mutex.Unlock()
			}
		})
	}
	return l
}

func (l *load) count() int {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.sent
}

func (l *load) stop() error {
	l.cancel()
	l.ended.Wait()
	if len(l.failed) > 0 {
		return fmt.Errorf("%d of %d requests failed, the first: %w", len(l.failed), l.sent, l.failed[0])
	}
	return nil
}

// restart takes comity away from both Envoys and brings it back, with a change that came meanwhile.
func (p *pair) restart(ctx context.Context, binary string) error {
	load := p.load(ctx)
	server := p.server
	err := errors.Join(p.client.comity.stop(), server.comity.stop())
	before := load.count()
	err = errors.Join(err, eventually(ctx, func() error {
		if load.count() < before+20 {
			return errors.New("few requests were sent")
		}
		return nil
	}))
	err = errors.Join(err, server.publishes(server.domain.authorities[1:]),
		p.client.startComity(ctx, binary), server.startComity(ctx, binary), p.reachesAfterBackoff(ctx, 2))
	return errors.Join(err, load.stop())
}

// reachesAfterBackoff is reaches with the time that Envoy waits between two tries to connect.
func (p *pair) reachesAfterBackoff(ctx context.Context, cas int) error {
	return eventuallyWithin(ctx, time.Minute, func() error { return p.reaches(ctx, cas) })
}

// removal has the client's domain go over to another CA before its SVID does, so that this proves nothing any more.
func (p *pair) removal(ctx context.Context) error {
	client, server := p.client, p.server
	old, next := client.domain.authorities[0], client.domain.authorities[1]
	refreshed := func(want int) error {
		return eventually(ctx, func() error {
			server.comity.refresh(ctx, client.domain.name)
			return p.answers(ctx, want)
		})
	}
	overlap := errors.Join(client.publishes([]*authority{old, next}), eventually(ctx, func() error {
		server.comity.refresh(ctx, client.domain.name)
		bundle, err := server.comity.bundle(ctx, client.domain.name)
		if err != nil {
			return err
		}
		return differ("CAs", len(bundle.X509Authorities()), 2)
	}))
	err := errors.Join(overlap, client.publishes([]*authority{next}), refreshed(http.StatusServiceUnavailable))
	return errors.Join(err, client.shows(next, clientPath), refreshed(http.StatusOK))
}

// ending takes the relationship out of the client's configuration and puts it back.
func (p *pair) ending(ctx context.Context) error {
	err := errors.Join(p.client.configureAlone(p.server), p.eventuallyAnswers(ctx, http.StatusServiceUnavailable))
	return errors.Join(err, p.client.configure(p.server, quick...), p.eventuallyAnswers(ctx, http.StatusOK))
}

// staleness takes the server's comity away, so that nobody confirms its bundle any more.
func (p *pair) staleness(ctx context.Context) error {
	if err := errors.Join(p.server.comity.stop(), p.answers(ctx, http.StatusOK)); err != nil {
		return err
	}
	err := eventuallyWithin(ctx, 2*time.Minute, func() error { return p.answers(ctx, http.StatusServiceUnavailable) })
	return errors.Join(err, p.server.startComity(ctx, p.server.comity.binary), p.eventuallyAnswers(ctx, http.StatusOK))
}

// noNacks by what both sides count.
func (p *pair) noNacks(ctx context.Context) error {
	// Envoy may wait half a minute before it connects again.
	return eventuallyWithin(ctx, time.Minute, func() error { return p.agrees(ctx) })
}

func (p *pair) agrees(ctx context.Context) error {
	var err error
	for _, bank := range []*bank{p.client, p.server} {
		output, failed := bank.output(ctx)
		rejected, unread := bank.statistic(ctx, `sds\..*update_rejected`)
		updates, unread2 := bank.statistic(ctx, `sds\..*update_success`)
		err = errors.Join(err, failed, unread, unread2,
			differ("NACKs", output.Nacks, 0), differ("rejected updates", rejected, 0))
		if output.Subscribers == 0 || updates == 0 {
			err = errors.Join(err, fmt.Errorf("%s: %+v, %d updates", bank.domain.name, output, updates))
		}
	}
	return err
}
