package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// acmeBinaries are Let's Encrypt's test server and the DNS that it asks.
type acmeBinaries struct {
	pebble, challtestsrv string
}

// acmeSetup is the folder of files of pebble and of the comity that it certifies.
type acmeSetup struct {
	*setup
	eabKey string
}

const eabKeyID = "interop-key"

func newACMESetup(folder string, peers *peers) (*acmeSetup, error) {
	domain, err := newDomain("comity.example")
	if err != nil {
		return nil, err
	}
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return nil, err
	}
	s := &acmeSetup{&setup{folder: folder, domain: domain, peers: peers}, base64.RawURLEncoding.EncodeToString(secret)}
	if s.webAddress, err = freeAddress(); err != nil {
		return nil, err
	}
	directory, err := peers.webCA.mintWebCertificate()
	if err != nil {
		return nil, err
	}
	return s, errors.Join(
		s.writeAuthorities(),
		s.writeIdentity("pebble", directory),
		s.write("web-ca.pem", certificatePEM(peers.webCA.certificate)),
		s.write("eab.key", []byte(s.eabKey+"\n")),
	)
}

func (s *acmeSetup) configure(directory string, domains []string) error {
	return s.write("comity.toml", []byte(strings.NewReplacer(
		"{folder}", s.folder,
		"{socket}", s.socket(),
		"{web}", s.webAddress,
		"{domains}", `"`+strings.Join(domains, `", "`)+`"`,
		"{directory}", directory,
		"{kid}", eabKeyID,
	).Replace(acmeConfiguration)))
}

const acmeConfiguration = `trust_domain = "comity.example"

[store]
url = "sqlite://{folder}/comity.db"

[authorities]
x509 = ["{folder}/ca/"]
jwt = ["{folder}/jwt.jwks.json"]

[endpoint.https_web]
listen = "{web}"

[endpoint.https_web.acme]
domains = [{domains}]
contact = ["ops@comity.example"]
terms_of_service_agreed = true
directory = "{directory}"
directory_root_certificates = "{folder}/web-ca.pem"
eab_kid = "{kid}"
eab_hmac_key_file = "{folder}/eab.key"

[admin]
socket = "{socket}"
`

// pebble is a running ACME server; every name leads it to loopback.
type pebble struct {
	setup     *acmeSetup
	process   *exec.Cmd
	names     *exec.Cmd
	directory string
	naming    string
	// What its certificates are anchored in.
	roots *x509.CertPool
}

func startPebble(ctx context.Context, b acmeBinaries, s *acmeSetup) (*pebble, error) {
	var addresses [4]string
	for at := range addresses {
		address, err := freeAddress()
		if err != nil {
			return nil, err
		}
		addresses[at] = address
	}
	listen, management, dns, naming := addresses[0], addresses[1], addresses[2], addresses[3]
	if err := s.writePebble(listen, management); err != nil {
		return nil, err
	}
	p := &pebble{setup: s, directory: "https://" + listen + "/dir", naming: "http://" + naming}
	p.names = exec.CommandContext(ctx, b.challtestsrv, "-dnsserver", dns, "-management", naming,
		"-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", "")
	p.process = exec.CommandContext(ctx, b.pebble, "-config", s.path("pebble.json"), "-dnsserver", dns, "-strict")
	// It would refuse one good nonce in twenty, and once in a while three in a row, after which comity waits a minute.
	p.process.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0")
	log, err := os.Create(s.path("pebble.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	for _, process := range []*exec.Cmd{p.names, p.process} {
		process.Stdout, process.Stderr = log, log
		if err := process.Start(); err != nil {
			p.stop()
			return nil, err
		}
	}
	err = eventually(ctx, func() error {
		return errors.Join(p.learnRoots(ctx, management), p.leads(ctx, "a.example", "127.0.0.1"))
	})
	if err != nil {
		p.stop()
		return nil, fmt.Errorf("%w\n%s", err, p.log())
	}
	return p, nil
}

// writePebble has it demand an external account, issue for half a minute, and look for proof at comity's port.
func (s *acmeSetup) writePebble(listen, management string) error {
	_, port, err := net.SplitHostPort(s.webAddress)
	if err != nil {
		return err
	}
	tlsPort, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	text, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress":                  listen,
		"managementListenAddress":        management,
		"certificate":                    s.path("pebble.pem"),
		"privateKey":                     s.path("pebble.key"),
		"httpPort":                       1,
		"tlsPort":                        tlsPort,
		"externalAccountBindingRequired": true,
		"externalAccountMACKeys":         map[string]string{eabKeyID: s.eabKey},
		"retryAfter":                     map[string]int{"authz": 1, "order": 1},
		"keyAlgorithm":                   "ecdsa",
		"profiles": map[string]any{
			"default": map[string]any{"description": "short", "validityPeriod": int(acmeLife / time.Second)},
		},
	}})
	if err != nil {
		return err
	}
	return s.write("pebble.json", text)
}

// learnRoots gets the root that pebble makes anew at each start.
func (p *pebble) learnRoots(ctx context.Context, management string) error {
	tlsConfig := &tls.Config{RootCAs: p.setup.peers.webRoots()}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: tlsConfig, DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+management+"/roots/0", nil)
	if err != nil {
		return err
	}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	p.roots = x509.NewCertPool()
	if !p.roots.AppendCertsFromPEM(text) {
		return fmt.Errorf("pebble's root is %q", text)
	}
	return nil
}

// leads has the DNS lead a name to another address.
func (p *pebble) leads(ctx context.Context, name, address string) error {
	body := fmt.Sprintf(`{"host": %q, "addresses": [%q]}`, name+".", address)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.naming+"/add-a", strings.NewReader(body))
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	return errors.Join(differ("answer of the DNS", answer.StatusCode, http.StatusOK), answer.Body.Close())
}

func (p *pebble) stop() {
	for _, process := range []*exec.Cmd{p.process, p.names} {
		if process.Process != nil {
			_ = process.Process.Kill()
			_ = process.Wait()
		}
	}
}

func (p *pebble) log() []byte {
	log, _ := os.ReadFile(p.setup.path("pebble.log"))
	return log
}
