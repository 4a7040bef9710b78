package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
)

// workloads are the programs that read bundles as docs/workload-api.md says, and the page.
type workloads struct {
	python, java, classpath, page string
}

// pageSocket is where the page has the socket.
const pageSocket = "/run/comity/workload.sock"

// checkWorkloadOutput has workloads follow a comity that polls one domain, through rotation, restart and the end of the
// relationship.
func checkWorkloadOutput(ctx context.Context, report *report, binary, folder string, workloads workloads) error {
	peers, err := startPeers()
	if err != nil {
		return err
	}
	defer peers.stop()
	odd, shown, err := startOdd(peers.webCA)
	if err != nil {
		return err
	}
	defer odd.server.Close()
	setup, key, err := outputSetup(folder, peers, workloads, odd)
	if err != nil {
		return fmt.Errorf("files for a comity with workloads: %w", err)
	}
	service, err := startComity(ctx, binary, setup)
	if err != nil {
		return err
	}
	client := workloadapi.WithAddr("unix://" + setup.path("workload.sock"))
	source, err := follow(ctx, client)
	if err != nil {
		return errors.Join(err, service.stop())
	}
	defer source.stop()
	watchers, stopWatchers, err := workloads.watchers(ctx, setup)
	if err != nil {
		return errors.Join(err, service.stop())
	}
	defer stopWatchers()
	foreign := peers.spiffe.domain
	follows := func() error {
		return eventually(ctx, func() error {
			return errors.Join(shows(source, setup.domain), shows(source, foreign), shows(source, shown))
		})
	}
	each := func(what string, domains ...*domain) {
		for _, watcher := range watchers {
			report.record("Workload API output: "+watcher.name+" "+what, watcher.follows(ctx, count(domains...)))
		}
	}
	report.record("Workload API output: go-spiffe has our bundle and foreign ones", follows())
	report.record("Workload API output: what other libraries can't read of a bundle is left out, and told", eventually(ctx, func() error {
		if !bytes.Contains(service.log(), []byte("unreadable-authority-not-shown")) {
			return errors.New("nothing is said of it")
		}
		return nil
	}))
	each("follows beside such a bundle", setup.domain, foreign, shown)
	service.refresh(ctx, foreign.name)
	err = addAuthority(peers.spiffe)
	foreign.changed()
	service.refresh(ctx, foreign.name)
	report.record("Workload API output: go-spiffe has a new foreign authority", errors.Join(err, follows()))
	each("has it as well", setup.domain, foreign, shown)
	report.record("Workload API output: go-spiffe has a token judged", judges(ctx, client, key, foreign.name))
	_, err = workloadapi.FetchX509SVID(ctx, client)
	report.record("Workload API output: go-spiffe gets no SVID", isDenied(err))
	report.record("Workload API output: Python's spiffe reads what the page says", workloads.readsPython(ctx, setup, count(setup.domain, foreign, shown)))
	report.record("Workload API output: java-spiffe reads what the page says", workloads.readsJava(ctx, setup, count(setup.domain, foreign, shown)))

	err = errors.Join(service.stop(), addAuthority(peers.spiffe))
	foreign.changed()
	if service, err = restarted(ctx, binary, setup, err); err != nil {
		return err
	}
	service.refresh(ctx, foreign.name)
	report.record("Workload API output: go-spiffe catches up after a restart", follows())
	each("catches up after a restart", setup.domain, foreign, shown)
	err = setup.forgets(foreign.name)
	report.record("Workload API output: go-spiffe drops a domain whose relationship ended",
		errors.Join(err, eventually(ctx, func() error { return lacks(source, foreign.name) })))
	each("drops it as well", setup.domain, shown)
	if report.hasFailure() {
		fmt.Printf("--- log of comity with workloads\n%s---\n", service.log())
	}
	return service.stop()
}

func restarted(ctx context.Context, binary string, setup *setup, err error) (*comity, error) {
	if err != nil {
		return nil, err
	}
	return startComity(ctx, binary, setup)
}

// followed keeps the newest bundles. go-spiffe's BundleSource would want an SVID as well, so X.509 bundles are watched by
// its client alone; its JWTSource wants none.
type followed struct {
	x509     atomic.Pointer[x509bundle.Set]
	jwt      *workloadapi.JWTSource
	watching sync.WaitGroup
	cancel   context.CancelFunc
}

func (f *followed) OnX509BundlesUpdate(set *x509bundle.Set) { f.x509.Store(set) }

func (f *followed) OnX509BundlesWatchError(error) {}

func follow(ctx context.Context, client workloadapi.ClientOption) (*followed, error) {
	first, cancelFirst := context.WithTimeout(ctx, patience)
	defer cancelFirst()
	jwt, err := workloadapi.NewJWTSource(first, workloadapi.WithClientOptions(client))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	f := &followed{jwt: jwt, cancel: cancel}
	f.watching.Go(func() { _ = workloadapi.WatchX509Bundles(ctx, f, client) })
	return f, nil
}

func (f *followed) stop() {
	f.cancel()
	f.watching.Wait()
	_ = f.jwt.Close()
}

func (f *followed) x509Bundle(name spiffeid.TrustDomain) (*x509bundle.Bundle, error) {
	set := f.x509.Load()
	if set == nil {
		return nil, errors.New("no X.509 bundles yet")
	}
	return set.GetX509BundleForTrustDomain(name)
}

func shows(source *followed, domain *domain) error {
	x509, err := source.x509Bundle(domain.name)
	if err != nil {
		return err
	}
	jwt, err := source.jwt.GetJWTBundleForTrustDomain(domain.name)
	if err != nil {
		return err
	}
	got := spiffebundle.FromX509Authorities(domain.name, x509.X509Authorities())
	got.SetJWTAuthorities(jwt.JWTAuthorities())
	return sameAuthorities(got, domain.bundle)
}

func lacks(source *followed, name spiffeid.TrustDomain) error {
	if _, err := source.x509Bundle(name); err == nil {
		return fmt.Errorf("X.509 authorities of %s are still there", name)
	}
	if _, err := source.jwt.GetJWTBundleForTrustDomain(name); err == nil {
		return fmt.Errorf("JWT authorities of %s are still there", name)
	}
	return nil
}

func judges(ctx context.Context, client workloadapi.ClientOption, key *ecdsa.PrivateKey, name spiffeid.TrustDomain) error {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key},
		(&jose.SignerOptions{}).WithHeader("kid", outputKeyID))
	if err != nil {
		return err
	}
	id := spiffeid.RequireFromPath(name, "/web")
	token, err := jwt.Signed(signer).Claims(jwt.Claims{
		Subject: id.String(), Audience: jwt.Audience{audience}, Expiry: jwt.NewNumericDate(time.Now().Add(time.Hour)),
	}).Serialize()
	if err != nil {
		return err
	}
	svid, err := workloadapi.ValidateJWTSVID(ctx, token, audience, client)
	if err != nil {
		return err
	}
	_, err = workloadapi.ValidateJWTSVID(ctx, token, "another", client)
	if grpcstatus.Code(err) != codes.InvalidArgument {
		return fmt.Errorf("for another audience: %v", err)
	}
	return differ("ID", svid.ID, id)
}

func isDenied(err error) error {
	if grpcstatus.Code(err) != codes.PermissionDenied {
		return fmt.Errorf("not denied: %v", err)
	}
	return nil
}

// watchers are the programs of the page that run on, and what ends them.
func (w workloads) watchers(ctx context.Context, s *setup) ([]*program, func(), error) {
	var all []*program
	stop := func() {
		for _, watcher := range all {
			watcher.stop()
		}
	}
	for _, start := range []func(context.Context, *setup) (*program, error){w.watchPython, w.watchJava} {
		watcher, err := start(ctx, s)
		if err != nil {
			stop()
			return nil, nil, err
		}
		all = append(all, watcher)
	}
	return all, stop, nil
}

// readsPython runs the page's first program.
func (w workloads) readsPython(ctx context.Context, setup *setup, want []counted) error {
	return w.reads(ctx, setup, want, "python", "bundles.py", func(ctx context.Context, program string) *exec.Cmd {
		return exec.CommandContext(ctx, w.python, program)
	})
}

// readsJava runs the page's first program.
func (w workloads) readsJava(ctx context.Context, setup *setup, want []counted) error {
	return w.reads(ctx, setup, want, "java", "Bundles.java", func(ctx context.Context, program string) *exec.Cmd {
		return exec.CommandContext(ctx, w.java, "-cp", w.classpath, program)
	})
}

func (w workloads) reads(
	ctx context.Context, setup *setup, want []counted, language, file string,
	command func(context.Context, string) *exec.Cmd,
) error {
	if err := w.writeProgram(setup, language, 0, file); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	out, err := command(ctx, setup.path(file)).Output()
	if err != nil {
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			return fmt.Errorf("%w: %s", err, failed.Stderr)
		}
		return err
	}
	var lines []string
	for _, one := range want {
		lines = append(lines, fmt.Sprintf("%s jwt %d", one.domain, one.jwt), fmt.Sprintf("%s x509 %d", one.domain, one.x509))
	}
	got := strings.Split(strings.TrimSpace(strings.ReplaceAll(string(out), "spiffe://", "")), "\n")
	slices.Sort(got)
	slices.Sort(lines)
	return differ("bundles", strings.Join(got, "; "), strings.Join(lines, "; "))
}

// writeProgram writes the page's program number at in this language.
func (w workloads) writeProgram(s *setup, language string, at int, file string) error {
	text, err := sample(w.page, language, at)
	if err != nil {
		return err
	}
	text, err = replaced(text, pageSocket, s.path("workload.sock"))
	return errors.Join(err, s.write(file, []byte(text)))
}

// outputSetup has a comity that polls go-spiffe.example and serves workloads by the page's configuration, with this
// process's user in place of the page's; the key is one of go-spiffe.example for tokens.
func outputSetup(
	folder string, peers *peers, workloads workloads, odd *publisher,
) (*setup, *ecdsa.PrivateKey, error) {
	domain, err := newDomain("output.example")
	if err != nil {
		return nil, nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	foreign := peers.spiffe.domain
	if err := foreign.bundle.AddJWTAuthority(outputKeyID, crypto.PublicKey(key.Public())); err != nil {
		return nil, nil, err
	}
	s := &setup{folder: folder + "/output", domain: domain, peers: peers}
	if err := errors.Join(os.Mkdir(s.folder, 0o700), s.writeAuthorities(), s.writePeers()); err != nil {
		return nil, nil, err
	}
	output, err := sample(workloads.page, "toml", 0)
	if err != nil {
		return nil, nil, err
	}
	output, err = replaced(output, pageSocket, s.path("workload.sock"), "uid = 1000", fmt.Sprintf("uid = %d", os.Getuid()))
	if err != nil {
		return nil, nil, err
	}
	text := strings.NewReplacer("{folder}", s.folder, "{url}", peers.spiffe.url, "{path}", endpointPath,
		"{odd}", oddRelationship(odd, s.path("web-ca.pem"))).Replace(outputConfiguration)
	return s, key, s.write("comity.toml", []byte(text+output))
}

// forgets ends a relationship: its section is the last.
func (s *setup) forgets(name spiffeid.TrustDomain) error {
	text, err := os.ReadFile(s.path("comity.toml"))
	if err != nil {
		return err
	}
	before, rest, _ := strings.Cut(string(text), fmt.Sprintf("[federation.%q]", name.Name()))
	_, after, _ := strings.Cut(rest, "\n\n")
	other := "[federation.\"later.example\"]\nendpoint_url = \"https://127.0.0.1:1/\"\nprofile = \"https_web\"\n\n"
	if err := s.write("next.toml", []byte(before+other+after)); err != nil {
		return err
	}
	return os.Rename(s.path("next.toml"), s.path("comity.toml"))
}

const outputKeyID = "output"

const outputConfiguration = `trust_domain = "output.example"

[store]
url = "sqlite://{folder}/comity.db"

[authorities]
x509 = ["{folder}/ca/"]
jwt = ["{folder}/jwt.jwks.json"]

[admin]
socket = "{folder}/admin.sock"

{odd}[federation."go-spiffe.example"]
endpoint_url = "{url}"
profile = "https_spiffe"
endpoint_spiffe_id = "spiffe://go-spiffe.example{path}"
bootstrap_bundle = "{folder}/go-spiffe.example.jwks.json"

`
