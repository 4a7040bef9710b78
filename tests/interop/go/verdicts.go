package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// vectors are the chains that our own tests judge, too, all of this domain and as at this time.
const vectors = "tests/vectors"

var (
	vectorDomain = spiffeid.RequireTrustDomainFromString("a.test")
	vectorTime   = time.Unix(1_767_225_600, 0)
)

// verdictVector is one chain, and the code with which Comity judges it.
type verdictVector struct {
	File  string `json:"file"`
	Code  string `json:"code"`
	chain [][]byte
}

// checkVerdicts judges the same chains by `comity verify` and by go-spiffe.
func checkVerdicts(ctx context.Context, report *report, binary, folder string) {
	chains, authorities, err := readVectors()
	if err != nil {
		report.record("chains to verify", err)
		return
	}
	report.record("verdicts on chains are those of the index", sameCodes(ctx, binary, folder, chains, authorities))
	report.record("go-spiffe differs about chains where it is known to", sameDifferences(chains, authorities))
	report.record("verdicts on tokens, beside go-spiffe's", checkTokens(ctx, binary, folder))
}

func readVectors() ([]verdictVector, []*x509.Certificate, error) {
	raw, err := os.ReadFile(filepath.Join(vectors, "x509_authorities.der"))
	if err != nil {
		return nil, nil, err
	}
	authorities, err := x509.ParseCertificates(raw)
	if err != nil {
		return nil, nil, err
	}
	index, err := os.ReadFile(filepath.Join(vectors, "x509_chains", "index.json"))
	if err != nil {
		return nil, nil, err
	}
	var chains []verdictVector
	if err := json.Unmarshal(index, &chains); err != nil {
		return nil, nil, err
	}
	for i := range chains {
		der, err := os.ReadFile(filepath.Join(vectors, "x509_chains", chains[i].File))
		if err != nil {
			return nil, nil, err
		}
		chains[i].chain = split(der)
	}
	return chains, authorities, nil
}

// split takes elements one after the other, and whatever follows that is none.
func split(der []byte) [][]byte {
	var elements [][]byte
	for len(der) > 0 {
		var element asn1.RawValue
		rest, err := asn1.Unmarshal(der, &element)
		if err != nil {
			rest = nil
		}
		elements = append(elements, der[:len(der)-len(rest)])
		der = rest
	}
	return elements
}

func sameCodes(ctx context.Context, binary, folder string, chains []verdictVector, authorities []*x509.Certificate) error {
	var questions []any
	for _, vector := range chains {
		questions = append(questions, x509Question{vector.File, vector.chain, vectorTime.UTC().Format(time.RFC3339)})
	}
	bundle := filepath.Join(folder, "authorities.pem")
	if err := writeAuthorities(bundle, authorities); err != nil {
		return err
	}
	verdicts, _, err := askAll(ctx, binary, "x509", bundle, questions)
	if err != nil {
		return err
	}
	for i, vector := range chains {
		want := vector.Code
		if want == "foreign-trust-domain" {
			want = "unknown-trust-domain" // the index is of one domain's bundle, a command is of all that are given
		}
		err = errors.Join(err, differ(vector.File, verdicts[i].code(), want))
	}
	return err
}

// sameDifferences holds chainsGoDiffers against what go-spiffe says: each row occurs, and nothing else does.
func sameDifferences(chains []verdictVector, authorities []*x509.Certificate) error {
	bundle := x509bundle.FromX509Authorities(vectorDomain, authorities)
	var wrong error
	for _, vector := range chains {
		_, _, err := x509svid.ParseAndVerify(vector.chain, bundle, x509svid.WithTime(vectorTime))
		_, known := chainsGoDiffers[vector.File]
		if differs := (err == nil) != (vector.Code == "accepted"); differs != known {
			wrong = errors.Join(wrong, fmt.Errorf("%s: we say %s, go-spiffe %v, known: %v", vector.File, vector.Code, err, known))
		}
	}
	return wrong
}

// x509Question and tokenQuestion are lines of `comity verify --batch`.
type x509Question struct {
	ID    string   `json:"id"`
	Chain [][]byte `json:"chain"`
	At    string   `json:"at"`
}

type tokenQuestion struct {
	ID       string   `json:"id"`
	Token    string   `json:"token"`
	Audience []string `json:"audience"`
}

type batchVerdict struct {
	ID      string `json:"id"`
	Verdict string `json:"verdict"`
	Reason  *struct {
		Code string `json:"code"`
	} `json:"reason"`
}

func (v batchVerdict) code() string {
	if v.Reason == nil {
		return v.Verdict
	}
	return v.Reason.Code
}

// askAll also says how long it took, start and end of the program included.
func askAll(ctx context.Context, binary, kind, bundle string, questions []any) ([]batchVerdict, time.Duration, error) {
	var lines, stderr bytes.Buffer
	for _, question := range questions {
		if err := json.NewEncoder(&lines).Encode(question); err != nil {
			return nil, 0, err
		}
	}
	command := exec.CommandContext(ctx, binary, "verify", kind, "--batch", "-", "--bundle", vectorDomain.Name()+"="+bundle)
	command.Stdin, command.Stderr = &lines, &stderr
	start := time.Now()
	answers, err := command.Output()
	took := time.Since(start)
	if err != nil {
		return nil, 0, fmt.Errorf("comity verify %s: %w: %s", kind, err, stderr.Bytes())
	}
	var verdicts []batchVerdict
	for decoder := json.NewDecoder(bytes.NewReader(answers)); decoder.More(); {
		var verdict batchVerdict
		if err := decoder.Decode(&verdict); err != nil {
			return nil, 0, err
		}
		verdicts = append(verdicts, verdict)
	}
	return verdicts, took, differ("verdicts", len(verdicts), len(questions))
}

func writeAuthorities(path string, authorities []*x509.Certificate) error {
	var text bytes.Buffer
	for _, authority := range authorities {
		if err := pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: authority.Raw}); err != nil {
			return err
		}
	}
	return os.WriteFile(path, text.Bytes(), 0o600)
}
