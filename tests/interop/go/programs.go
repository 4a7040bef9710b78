package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"sync"
)

// program runs on and prints all bundles at each change, as those of docs/workload-api.md do.
type program struct {
	name    string
	process *exec.Cmd
	ended   chan error
	mutex   sync.Mutex
	// The line that was printed last, without its first word, by that word.
	newest map[string]string
}

func (w workloads) watchPython(ctx context.Context, s *setup) (*program, error) {
	return w.watch(s, "Python's spiffe", "python", "follow.py", func(program string) *exec.Cmd {
		return exec.CommandContext(ctx, w.python, program)
	})
}

func (w workloads) watchJava(ctx context.Context, s *setup) (*program, error) {
	return w.watch(s, "java-spiffe", "java", "Follow.java", func(program string) *exec.Cmd {
		return exec.CommandContext(ctx, w.java, "-cp", w.classpath, program)
	})
}

func (w workloads) watch(
	s *setup, name, language, file string, command func(string) *exec.Cmd,
) (*program, error) {
	if err := w.writeProgram(s, language, 1, file); err != nil {
		return nil, err
	}
	return startProgram(name, command(s.path(file)))
}

func startProgram(name string, process *exec.Cmd) (*program, error) {
	lines, err := process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := process.Start(); err != nil {
		return nil, err
	}
	p := &program{name: name, process: process, ended: make(chan error, 1), newest: map[string]string{}}
	go func() {
		p.read(lines)
		p.ended <- process.Wait()
	}()
	return p, nil
}

func (p *program) read(lines io.Reader) {
	for scanner := bufio.NewScanner(lines); scanner.Scan(); {
		kind, bundles, _ := strings.Cut(scanner.Text(), " ")
		p.mutex.Lock()
		p.newest[kind] = bundles
		p.mutex.Unlock()
	}
}

// follows waits until the program has told that these bundles are all.
func (p *program) follows(ctx context.Context, want []counted) error {
	return eventually(ctx, func() error {
		return errors.Join(
			p.says("x509", line(want, func(one counted) int { return one.x509 })),
			p.says("jwt", line(want, func(one counted) int { return one.jwt })),
		)
	})
}

// says is what the last line of this kind has.
func (p *program) says(kind, want string) error {
	select {
	case err := <-p.ended:
		p.ended <- err
		return fmt.Errorf("the program ended: %v", err)
	default:
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return differ(kind, p.newest[kind], want)
}

func (p *program) stop() {
	_ = p.process.Process.Kill()
	<-p.ended
}

// counted is how many authorities a reader must find of a domain.
type counted struct {
	domain    string
	x509, jwt int
}

func count(domains ...*domain) (all []counted) {
	for _, domain := range domains {
		all = append(all, counted{
			domain.name.Name(), len(domain.bundle.X509Authorities()), len(domain.bundle.JWTAuthorities()),
		})
	}
	return all
}

func line(all []counted, number func(counted) int) string {
	var words []string
	for _, one := range all {
		words = append(words, fmt.Sprintf("%s=%d", one.domain, number(one)))
	}
	slices.Sort(words)
	return strings.Join(words, " ")
}
