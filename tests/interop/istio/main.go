// Trustbundle is the part of istiod that fetches other domains' bundles: Istio's own code, with the mesh configuration of
// docs/istio.md. It prints the fingerprints of all CAs that istiod would send to its proxies, again when they change.
package main

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"slices"
	"strings"
	"time"

	"istio.io/api/mesh/v1alpha1"
	"istio.io/istio/pilot/pkg/trustbundle"
	"istio.io/istio/pkg/config/mesh"
	"sigs.k8s.io/yaml"
)

func main() {
	values := flag.String("values", "values.yaml", "values of istiod with a meshConfig")
	roots := flag.String("roots", "roots.pem", "in place of the system roots of istiod's image")
	// istiod has 30 minutes.
	interval := flag.Duration("interval", time.Second, "between two fetches")
	flag.Parse()
	if err := run(*values, *roots, *interval); err != nil {
		log.Fatal(err)
	}
}

func run(values, roots string, interval time.Duration) error {
	config, err := readConfig(values)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(roots)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return errors.New("no certificates in " + roots)
	}
	bundle := trustbundle.NewTrustBundle(pool, watcher{config})
	bundle.UpdateCb(func() { show(bundle) })
	go bundle.ProcessRemoteTrustAnchors(nil, interval)
	if err := bundle.AddMeshConfigUpdate(config); err != nil {
		return err
	}
	select {}
}

func readConfig(values string) (*v1alpha1.MeshConfig, error) {
	text, err := os.ReadFile(values)
	if err != nil {
		return nil, err
	}
	var all map[string]any
	if err := yaml.Unmarshal(text, &all); err != nil {
		return nil, err
	}
	config, err := yaml.Marshal(all["meshConfig"])
	if err != nil {
		return nil, err
	}
	return mesh.ApplyMeshConfigDefaults(string(config))
}

func show(bundle *trustbundle.TrustBundle) {
	var all []string
	for _, certificate := range bundle.GetTrustBundle() {
		block, _ := pem.Decode([]byte(certificate))
		digest := sha256.Sum256(block.Bytes)
		all = append(all, hex.EncodeToString(digest[:])[:16])
	}
	slices.Sort(all)
	fmt.Println("roots", strings.Join(all, " "))
}

// watcher holds a configuration that doesn't change.
type watcher struct{ config *v1alpha1.MeshConfig }

func (w watcher) Mesh() *v1alpha1.MeshConfig                             { return w.config }
func (w watcher) AddMeshHandler(func()) *mesh.WatcherHandlerRegistration { return nil }
func (w watcher) DeleteMeshHandler(*mesh.WatcherHandlerRegistration)     {}
