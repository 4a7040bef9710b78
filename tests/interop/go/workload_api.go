package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"

	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/federation"
	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	grpcstatus "google.golang.org/grpc/status"
)

// agent is a Workload API by grpc-go and the protocol of go-spiffe. It streams the domain's bundle, and beside it one
// of another domain, and an SVID.
type agent struct {
	workload.UnimplementedSpiffeWorkloadAPIServer
	domain, other *domain

	mutex   sync.Mutex
	svid    *x509svid.SVID
	changed chan struct{}
}

// renew issues the next SVID and has every stream say what now holds.
func (a *agent) renew() error {
	minted, err := a.domain.first().mintSVID(a.domain.id(endpointPath))
	if err != nil {
		return err
	}
	svid, err := x509svid.ParseRaw(minted.Certificate[0], mustPKCS8(minted.PrivateKey))
	if err != nil {
		return err
	}
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if a.changed != nil {
		close(a.changed)
	}
	a.svid, a.changed = svid, make(chan struct{})
	return nil
}

func mustPKCS8(key any) []byte {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err) // a key that was just made
	}
	return der
}

// stream sends what say makes of the newest SVID, now and after each change.
func (a *agent) stream(ctx context.Context, say func(*x509svid.SVID) error) error {
	if values := metadata.ValueFromIncomingContext(ctx, "workload.spiffe.io"); len(values) != 1 || values[0] != "true" {
		return grpcstatus.Error(codes.InvalidArgument, "security header missing from request")
	}
	for {
		a.mutex.Lock()
		svid, changed := a.svid, a.changed
		a.mutex.Unlock()
		if err := say(svid); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

func (a *agent) FetchX509SVID(_ *workload.X509SVIDRequest, stream grpc.ServerStreamingServer[workload.X509SVIDResponse]) error {
	return a.stream(stream.Context(), func(svid *x509svid.SVID) error {
		chain, key, err := svid.MarshalRaw()
		if err != nil {
			return err
		}
		return stream.Send(&workload.X509SVIDResponse{
			Svids: []*workload.X509SVID{{
				SpiffeId: svid.ID.String(), X509Svid: chain, X509SvidKey: key, Bundle: concatenated(a.domain),
			}},
			FederatedBundles: map[string][]byte{a.other.name.IDString(): concatenated(a.other)},
		})
	})
}

func (a *agent) FetchX509Bundles(_ *workload.X509BundlesRequest, stream grpc.ServerStreamingServer[workload.X509BundlesResponse]) error {
	return a.stream(stream.Context(), func(*x509svid.SVID) error {
		return stream.Send(&workload.X509BundlesResponse{Bundles: map[string][]byte{
			a.domain.name.IDString(): concatenated(a.domain),
			a.other.name.IDString():  concatenated(a.other),
		}})
	})
}

func (a *agent) FetchJWTBundles(_ *workload.JWTBundlesRequest, stream grpc.ServerStreamingServer[workload.JWTBundlesResponse]) error {
	return a.stream(stream.Context(), func(*x509svid.SVID) error {
		bundles := map[string][]byte{}
		for _, domain := range []*domain{a.domain, a.other} {
			jwks, err := jwtbundle.FromJWTAuthorities(domain.name, domain.bundle.JWTAuthorities()).Marshal()
			if err != nil {
				return err
			}
			bundles[domain.name.IDString()] = jwks
		}
		return stream.Send(&workload.JWTBundlesResponse{Bundles: bundles})
	})
}

// concatenated is the DER of a bundle's certificates, as the Workload API has it.
func concatenated(domain *domain) (der []byte) {
	for _, certificate := range domain.bundle.X509Authorities() {
		der = append(der, certificate.Raw...)
	}
	return der
}

// checkWorkloadAPI runs a comity that has all of its keys from an agent.
func checkWorkloadAPI(ctx context.Context, report *report, binary, folder string, peers *peers) error {
	setup, agent, stop, err := agentSetup(folder, peers)
	if err != nil {
		return fmt.Errorf("a Workload API: %w", err)
	}
	defer stop()
	service, err := startComity(ctx, binary, setup)
	if err != nil {
		return err
	}
	target := service.target()
	published := func() error {
		got, err := federation.FetchBundle(ctx, setup.domain.name, target.spiffeURL, target.spiffe())
		if err != nil {
			return err
		}
		return sameAuthorities(got, setup.domain.bundle)
	}
	report.record("Workload API: go-spiffe fetches our domain's streamed bundle, under a streamed SVID",
		eventually(ctx, published))
	err = setup.domain.addAuthority("next", certificateKeys[0].make)
	report.record("Workload API: a new CA and a new SVID are taken over from the stream",
		errors.Join(err, agent.renew(), eventually(ctx, published)))
	report.record("Workload API: the agent's end takes nothing away", func() error {
		stop()
		_, refreshed := service.run(ctx, "federation", "status")
		return errors.Join(refreshed, published())
	}())
	return service.stop()
}

func agentSetup(folder string, peers *peers) (*setup, *agent, func(), error) {
	domain, err := newDomain("agent.example")
	if err != nil {
		return nil, nil, nil, err
	}
	s := &setup{folder: folder + "/agent", domain: domain, peers: peers}
	if s.spiffeAddress, err = freeAddress(); err != nil {
		return nil, nil, nil, err
	}
	text := strings.NewReplacer("{folder}", s.folder, "{spiffe}", s.spiffeAddress).Replace(agentConfiguration)
	if err := errors.Join(os.Mkdir(s.folder, 0o700), s.write("comity.toml", []byte(text))); err != nil {
		return nil, nil, nil, err
	}
	agent := &agent{domain: domain, other: peers.spiffe.domain}
	if err := agent.renew(); err != nil {
		return nil, nil, nil, err
	}
	listener, err := net.Listen("unix", s.path("agent.sock"))
	if err != nil {
		return nil, nil, nil, err
	}
	server := grpc.NewServer()
	workload.RegisterSpiffeWorkloadAPIServer(server, agent)
	go func() { _ = server.Serve(listener) }()
	return s, agent, server.Stop, nil
}

const agentConfiguration = `trust_domain = "agent.example"

[store]
url = "sqlite://{folder}/comity.db"

[authorities]
workload_api = "unix://{folder}/agent.sock"

[endpoint.https_spiffe]
listen = "{spiffe}"
workload_api = "unix://{folder}/agent.sock"

[admin]
socket = "{folder}/admin.sock"
`
