package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// binaries are the proxies that ask Comity about their clients; page has their configurations.
type binaries struct {
	envoy, nginx, page string
}

// application stands behind a proxy and answers with the headers that it was sent.
type application struct {
	address string
	reached atomic.Int64
	server  *http.Server
}

func startApplication() (*application, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	a := &application{address: listener.Addr().String()}
	a.server = &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			a.reached.Add(1)
			_ = json.NewEncoder(w).Encode(r.Header)
		}),
	}
	go a.server.Serve(listener)
	return a, nil
}

// proxy is a running Envoy or nginx.
type proxy struct {
	name    string
	url     string
	setup   *setup
	process *exec.Cmd
	ended   chan error
	// What it answers while comity is gone.
	withoutComity int
}

// startEnvoy runs the page's configuration, changed by edit.
func startEnvoy(
	ctx context.Context, name string, b binaries, s *setup, a *application, edit func(string) (string, error),
) (*proxy, error) {
	text, err := sample(b.page, "yaml", 0)
	if err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	if text, err = edit(text); err != nil {
		return nil, err
	}
	text, err = replaced(text,
		"address: 0.0.0.0, port_value: 8443", socketAddress(address),
		"address: 127.0.0.1, port_value: 8080", socketAddress(a.address),
		"/etc/envoy/tls.crt", s.path("tls.pem"),
		"/etc/envoy/tls.key", s.path("tls.key"),
	)
	if err != nil {
		return nil, err
	}
	file := name + ".yaml"
	if err := s.write(file, []byte(text)); err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, b.envoy, "--config-path", s.path(file), "--concurrency", "1",
		"--disable-hot-restart", "--log-level", "warning")
	p := &proxy{name: name, withoutComity: http.StatusServiceUnavailable}
	return startProxy(ctx, p, command, s, address)
}

// startNginx runs the page's configuration, changed by edit.
func startNginx(
	ctx context.Context, name string, b binaries, s *setup, a *application, edit func(string) (string, error),
) (*proxy, error) {
	text, err := sample(b.page, "nginx", 0)
	if err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	text, err = replaced(text,
		"listen 8443 ssl", "listen "+address+" ssl",
		"http://127.0.0.1:8080", "http://"+a.address,
		"/etc/nginx/tls.crt", s.path("tls.pem"),
		"/etc/nginx/tls.key", s.path("tls.key"),
		"http {\n", "http {\n    access_log off;\n",
	)
	if err != nil {
		return nil, err
	}
	if text, err = edit(text); err != nil {
		return nil, err
	}
	if err := s.write(name+".conf", []byte(text)); err != nil {
		return nil, err
	}
	// As the user of Comity, as whom the socket can be opened.
	globals := "daemon off; user root; error_log stderr; pid " + s.path(name+".pid") + ";"
	command := exec.CommandContext(ctx, b.nginx, "-e", "stderr", "-c", s.path(name+".conf"), "-g", globals)
	p := &proxy{name: name, withoutComity: http.StatusInternalServerError}
	return startProxy(ctx, p, command, s, address)
}

func startProxy(ctx context.Context, p *proxy, command *exec.Cmd, s *setup, address string) (*proxy, error) {
	log, err := os.OpenFile(s.path(p.name+".log"), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.url, p.setup, p.process, p.ended = "https://"+address+"/any/path", s, command, make(chan error, 1)
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		return nil, err
	}
	go func() { p.ended <- command.Wait() }()
	err = eventually(ctx, func() error {
		connection, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		return connection.Close()
	})
	if err != nil {
		p.stop()
		return nil, fmt.Errorf("%s does not come up: %w\n%s", p.name, err, p.log())
	}
	return p, nil
}

func (p *proxy) stop() {
	_ = p.process.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(5 * time.Second):
		_ = p.process.Process.Kill()
		<-p.ended
	}
}

func (p *proxy) log() []byte {
	log, _ := os.ReadFile(p.setup.path(p.name + ".log"))
	return log
}

// ask sends a request as a client, over a connection of its own: the status, and what the application was sent.
func (p *proxy) ask(ctx context.Context, client *tls.Certificate, headers http.Header) (int, http.Header, error) {
	transport := &http.Transport{TLSClientConfig: &tls.Config{
		RootCAs:    p.setup.peers.webRoots(),
		MinVersion: tls.VersionTLS12,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return client, nil
		},
	}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, http.NoBody)
	if err != nil {
		return 0, nil, err
	}
	request.Header = headers.Clone()
	response, err := (&http.Client{Transport: transport, Timeout: patience}).Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return response.StatusCode, nil, nil
	}
	var seen http.Header
	return response.StatusCode, seen, json.NewDecoder(response.Body).Decode(&seen)
}

// samplesSocket is where the page has the socket.
const samplesSocket = "/run/comity-authorization/authorization.sock"

func socketAddress(address string) string {
	host, port, _ := net.SplitHostPort(address)
	return "address: " + host + ", port_value: " + port
}

// sample is a block of a page in this language, counted from 0.
func sample(page, language string, index int) (string, error) {
	text, err := os.ReadFile(page)
	if err != nil {
		return "", err
	}
	blocks := strings.Split(string(text), "\n```"+language+"\n")[1:]
	if index >= len(blocks) {
		return "", fmt.Errorf("%s has %d blocks of %s", page, len(blocks), language)
	}
	block, _, ends := strings.Cut(blocks[index], "\n```\n")
	if !ends {
		return "", errors.New(page + " has a block without end")
	}
	return block + "\n", nil
}

// bySocket has Envoy ask over the Unix socket.
func bySocket(s *setup) func(string) (string, error) {
	return func(text string) (string, error) {
		return replaced(text, samplesSocket, s.path("authorization.sock"))
	}
}

// byTLS has Envoy ask over the network, as whoever has the SVID in these files.
func byTLS(s *setup, b binaries, svid string) func(string) (string, error) {
	return func(text string) (string, error) {
		tls, err := sample(b.page, "yaml", 1)
		if err != nil {
			return "", err
		}
		tls, err = replaced(tls,
			"/etc/envoy/svid.pem", s.path(svid+".pem"),
			"/etc/envoy/svid.key", s.path(svid+".key"),
			"/etc/envoy/ca.pem", s.path("own.pem"),
			"spiffe://bank-a.example/comity", s.domain.id(endpointPath).String(),
		)
		if err != nil {
			return "", err
		}
		return replaced(text,
			"pipe: { path: "+samplesSocket+" }", "socket_address: { "+socketAddress(s.authorizationAddress)+" }",
			"  - name: comity\n", "  - name: comity\n"+tls,
		)
	}
}

// replaced replaces texts that must be there, given in pairs.
func replaced(text string, pairs ...string) (string, error) {
	for at := 0; at < len(pairs); at += 2 {
		if !strings.Contains(text, pairs[at]) {
			return "", fmt.Errorf("the sample has no %q", pairs[at])
		}
		text = strings.ReplaceAll(text, pairs[at], pairs[at+1])
	}
	return text, nil
}
