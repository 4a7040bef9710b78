package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// spireProcess is SPIRE's own server.
type spireProcess struct {
	name           spiffeid.TrustDomain
	binary, folder string
	// Where it publishes its bundle, by https_spiffe.
	endpoint string
	process  *exec.Cmd
	ended    chan error
}

// startSPIREProcess runs a server with a CA of its own that believes these roots about web servers; federation is what
// its configuration has besides its bundle endpoint.
func startSPIREProcess(ctx context.Context, binary, folder, name, roots, federation string) (*spireProcess, error) {
	td, err := spiffeid.TrustDomainFromString(name)
	if err != nil {
		return nil, err
	}
	s := &spireProcess{name: td, binary: binary, folder: filepath.Join(folder, name), ended: make(chan error, 1)}
	bind, err := freeAddress()
	if err != nil {
		return nil, err
	}
	if s.endpoint, err = freeAddress(); err != nil {
		return nil, err
	}
	text := strings.NewReplacer("{name}", name, "{folder}", s.folder, "{bind}", port(bind), "{endpoint}", port(s.endpoint),
		"{federation}", federation).Replace(spireServerConfiguration)
	err = errors.Join(os.Mkdir(s.folder, 0o700), os.Mkdir(s.path("private"), 0o700),
		os.WriteFile(s.path("server.conf"), []byte(text), 0o600))
	if err != nil {
		return nil, err
	}
	log, err := os.Create(s.path("server.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s.process = exec.CommandContext(ctx, binary, "run", "-config", s.path("server.conf"))
	s.process.Stdout, s.process.Stderr = log, log
	s.process.Env = append(os.Environ(), "SSL_CERT_FILE="+roots)
	if err := s.process.Start(); err != nil {
		return nil, err
	}
	go func() { s.ended <- s.process.Wait() }()
	err = eventually(ctx, func() error { _, err := s.run(ctx, "healthcheck"); return err })
	if err != nil {
		s.stop()
		return nil, fmt.Errorf("%s does not come up: %w\n%s", name, err, s.log())
	}
	return s, nil
}

func port(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

func (s *spireProcess) path(name string) string { return filepath.Join(s.folder, name) }
func (s *spireProcess) socket() string          { return s.path("private/api.sock") }

func (s *spireProcess) stop() {
	_ = s.process.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.ended:
	case <-time.After(5 * time.Second):
		_ = s.process.Process.Kill()
		<-s.ended
	}
}

func (s *spireProcess) log() []byte {
	log, _ := os.ReadFile(s.path("server.log"))
	return log
}

// run is a command of its CLI.
func (s *spireProcess) run(ctx context.Context, arguments ...string) ([]byte, error) {
	var said bytes.Buffer
	command := exec.CommandContext(ctx, s.binary, append(arguments, "-socketPath", s.socket())...)
	command.Stderr = &said
	out, err := command.Output()
	if err != nil {
		err = fmt.Errorf("spire-server %v: %w: %s", arguments, err, said.Bytes())
	}
	return out, err
}

// own is its own bundle.
func (s *spireProcess) own(ctx context.Context) (*spiffebundle.Bundle, error) {
	document, err := s.run(ctx, "bundle", "show", "-format", "spiffe")
	if err != nil {
		return nil, err
	}
	return spiffebundle.Parse(s.name, document)
}

// federated is what its workloads get of another domain.
func (s *spireProcess) federated(ctx context.Context, td spiffeid.TrustDomain) (*spiffebundle.Bundle, error) {
	document, err := s.run(ctx, "bundle", "list", "-id", td.IDString(), "-format", "spiffe")
	if err != nil {
		return nil, err
	}
	return spiffebundle.Parse(td, document)
}

const spireServerConfiguration = `server {
    bind_address = "127.0.0.1"
    bind_port = "{bind}"
    socket_path = "{folder}/private/api.sock"
    trust_domain = "{name}"
    data_dir = "{folder}"
    log_level = "INFO"
    federation {
        bundle_endpoint {
            address = "127.0.0.1"
            port = {endpoint}
            profile "https_spiffe" {}
        }
{federation}
    }
}

plugins {
    DataStore "sql" {
        plugin_data {
            database_type = "sqlite3"
            connection_string = "{folder}/datastore.sqlite3"
        }
    }
    KeyManager "memory" {
        plugin_data {}
    }
    NodeAttestor "join_token" {
        plugin_data {}
    }
}
`
