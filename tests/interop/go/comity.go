package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// runAgainstComity starts one `comity serve` that publishes to go-spiffe, polls its publishers and answers proxies.
func runAgainstComity(ctx context.Context, report *report, binary, folder string, peers *peers, proxies binaries) error {
	setup, err := newSetup(folder, peers)
	if err != nil {
		return fmt.Errorf("files for comity: %w", err)
	}
	service, err := startComity(ctx, binary, setup)
	if err != nil {
		return err
	}
	checkFetching(ctx, report, service.target())
	checkPolling(ctx, report, service, peers)
	checkVerdicts(ctx, report, binary, folder)
	err = checkOutputs(ctx, report, service, proxies)
	err = errors.Join(err, checkWorkloadAPI(ctx, report, binary, folder, peers))
	if report.hasFailure() || err != nil {
		fmt.Printf("--- log of comity\n%s---\n", service.log())
	}
	return err
}

// checkOutputs are those of the service that have the same readers from here to the end, also while it restarts.
func checkOutputs(ctx context.Context, report *report, service *comity, proxies binaries) error {
	followers, err := checkFiles(ctx, report, service, proxies)
	if err != nil {
		return err
	}
	defer followers.stop()
	followers.cloud = checkOIDC(ctx, report, service)
	return checkProxies(ctx, report, service, proxies, followers)
}

// comity is a running service and the CLI that talks to it.
type comity struct {
	binary  string
	setup   *setup
	process *exec.Cmd
	ended   chan error
}

func startComity(ctx context.Context, binary string, setup *setup) (*comity, error) {
	log, err := os.OpenFile(setup.path("comity.log"), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	c := &comity{binary: binary, setup: setup, ended: make(chan error, 1)}
	c.process = exec.CommandContext(ctx, binary, "serve", "--config", setup.path("comity.toml"))
	c.process.Stdout, c.process.Stderr = log, log
	if err := c.process.Start(); err != nil {
		return nil, err
	}
	go func() { c.ended <- c.process.Wait() }()
	err = eventually(ctx, func() error {
		_, err := c.run(ctx, "federation", "status", "--output", "json")
		return err
	})
	if err != nil {
		_ = c.stop()
		return nil, fmt.Errorf("comity does not come up: %w\n%s", err, c.log())
	}
	return c, nil
}

func (c *comity) stop() error {
	_ = c.process.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-c.ended:
		return err
	case <-time.After(5 * time.Second):
		_ = c.process.Process.Kill()
		return errors.Join(errors.New("still running after 5 s"), <-c.ended)
	}
}

func (c *comity) log() []byte {
	log, _ := os.ReadFile(c.setup.path("comity.log"))
	return log
}

func (c *comity) run(ctx context.Context, arguments ...string) ([]byte, error) {
	var stderr bytes.Buffer
	command := exec.CommandContext(ctx, c.binary, append(arguments, "--socket", c.setup.socket())...)
	command.Stderr = &stderr
	stdout, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("comity %v: %w: %s", arguments, err, stderr.Bytes())
	}
	return stdout, nil
}

// refresh polls now; what came of it is told by the status.
func (c *comity) refresh(ctx context.Context, td spiffeid.TrustDomain) {
	_, _ = c.run(ctx, "federation", "refresh", td.Name())
}

func (c *comity) bundle(ctx context.Context, td spiffeid.TrustDomain) (*spiffebundle.Bundle, error) {
	document, err := c.run(ctx, "bundle", "list", "--id", td.Name(), "--format", "spiffe")
	if err != nil {
		return nil, err
	}
	return spiffebundle.Parse(td, document)
}

func (c *comity) status(ctx context.Context, td spiffeid.TrustDomain) (status, error) {
	text, err := c.run(ctx, "federation", "status", "--output", "json")
	if err != nil {
		return status{}, err
	}
	var answer struct {
		Relationships []status `json:"relationships"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return status{}, err
	}
	for _, status := range answer.Relationships {
		if status.TrustDomain == td.Name() {
			return status, nil
		}
	}
	return status{}, fmt.Errorf("no relationship with %s in %s", td, text)
}

func (c *comity) target() *target {
	s := c.setup
	return &target{
		domain:     s.domain,
		webURL:     "https://" + s.webAddress + "/",
		webRoots:   s.peers.webRoots(),
		spiffeURL:  "https://" + s.spiffeAddress + "/",
		endpointID: s.domain.id(endpointPath),
		shown:      c.shown,
		rotate:     s.writeNewest,
	}
}

func (c *comity) shown(ctx context.Context) (*spiffebundle.Bundle, error) {
	document, err := c.run(ctx, "bundle", "show", "--format", "spiffe")
	if err != nil {
		return nil, err
	}
	return spiffebundle.Parse(c.setup.domain.name, document)
}

func (s *setup) path(name string) string { return filepath.Join(s.folder, name) }
func (s *setup) socket() string          { return s.path("admin.sock") }
