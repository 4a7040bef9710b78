// Interop runs Comity against implementations nobody here wrote: go-spiffe, SPIRE's SDK, Envoy, nginx, pebble, moto,
// go-oidc, Istio's code, and what reads the Workload API in Python and Java.
//
// It prints one line per check and a closing count, and fails if a check does.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// patience bounds each wait for something that must become true.
const patience = 20 * time.Second

func main() {
	comity := flag.String("comity", "", "the comity binary")
	var proxies binaries
	flag.StringVar(&proxies.envoy, "envoy", "envoy", "the envoy binary")
	flag.StringVar(&proxies.nginx, "nginx", "nginx", "the nginx binary")
	flag.StringVar(&proxies.page, "page", "docs/authorization.md", "the page with the configurations of the proxies")
	var workloads workloads
	flag.StringVar(&workloads.python, "python", "python3", "a Python that has spiffe")
	flag.StringVar(&workloads.java, "java", "java", "a JDK's java")
	flag.StringVar(&workloads.classpath, "classpath", "", "java-spiffe and what it needs")
	flag.StringVar(&workloads.page, "workload-page", "docs/workload-api.md", "the page with what workloads need")
	var acme acmeBinaries
	flag.StringVar(&acme.pebble, "pebble", "pebble", "the pebble binary")
	flag.StringVar(&acme.challtestsrv, "challtestsrv", "pebble-challtestsrv", "the binary of pebble's DNS")
	moto := flag.String("moto", "moto_server", "the binary of moto, an S3 server")
	istio := flag.String("istio", "", "the program of tests/interop/istio")
	spire := flag.String("spire", "", "SPIRE's own server; without it, its SDK alone")
	speed := flag.String("speed", "", "only time go-spiffe with the chains in this folder, made if it has none")
	itself := flag.Bool("itself", false, "run go-spiffe against itself: proves the checks, needs no comity")
	flag.Parse()
	if *speed != "" {
		if err := compareSpeed(*speed); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	report := &report{}
	if err := run(ctx, report, *comity, *itself, proxies, acme, workloads, *moto, *istio, *spire); err != nil {
		report.record("the run itself", err)
	}
	fmt.Printf("%d passed, %d failed\n", report.passed, report.failed)
	if report.hasFailure() {
		stop()
		os.Exit(1)
	}
}

func run(
	ctx context.Context, report *report, comity string, itself bool, proxies binaries, acme acmeBinaries,
	workloads workloads, moto, istio, spire string,
) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	folder, err := os.MkdirTemp("", "comity-interop-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	peers, err := startPeers()
	if err != nil {
		return fmt.Errorf("go-spiffe publishers: %w", err)
	}
	defer peers.stop()
	switch {
	case itself:
		return runAgainstItself(ctx, report, peers)
	case comity == "":
		return errors.New("give -comity PATH or -itself")
	default:
		// Most of the time with pebble passes between two orders, with SDS until a bundle is stale, and with Istio until it
		// gives up.
		beside := make(chan error, 3)
		go func() { beside <- checkACME(ctx, report, comity, folder, peers, acme) }()
		go func() { beside <- checkSDS(ctx, report, comity, folder, peers, proxies) }()
		go func() { beside <- checkIstio(ctx, report, comity, folder, peers, istio) }()
		err = errors.Join(
			runAgainstComity(ctx, report, comity, folder, peers, proxies),
			checkWorkloadOutput(ctx, report, comity, folder, workloads),
			checkSPIREServer(ctx, report, comity, folder, peers, moto),
		)
		if spire != "" {
			err = errors.Join(err, checkSPIREBinary(ctx, report, comity, folder, peers, spire))
		}
		return errors.Join(err, <-beside, <-beside, <-beside)
	}
}

// report counts checks and prints each, also those that run at the same time.
type report struct {
	lock           sync.Mutex
	passed, failed int
}

func (r *report) hasFailure() bool {
	r.lock.Lock()
	defer r.lock.Unlock()
	return r.failed > 0
}

func (r *report) record(name string, err error) {
	r.lock.Lock()
	defer r.lock.Unlock()
	if err == nil {
		r.passed++
		fmt.Printf("ok    %s\n", name)
		return
	}
	r.failed++
	fmt.Printf("FAIL  %s: %v\n", name, err)
}

// eventually asks until there is no error or patience ends.
func eventually(ctx context.Context, ask func() error) error {
	return eventuallyWithin(ctx, patience, ask)
}

func eventuallyWithin(ctx context.Context, limit time.Duration, ask func() error) error {
	deadline := time.Now().Add(limit)
	for {
		err := ask()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
