package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/go-jose/go-jose/v4"
)

// checkRawReader reads the served bytes with go-jose alone, and looks at what go-spiffe overlooks.
func checkRawReader(ctx context.Context, report *report, target *target) {
	response, body, err := get(ctx, target)
	report.record("go-jose: the endpoint answers 200 with JSON in ASCII", errors.Join(err, isPlain(response, body)))
	if err != nil {
		return
	}
	var set jose.JSONWebKeySet
	err = json.Unmarshal(body, &set)
	report.record("go-jose reads the served JWK Set", err)
	if err != nil {
		return
	}
	report.record("go-jose: each key is public, valid, and of one SVID type (BND-09 to BND-17)", eachKey(body, set))
	report.record("go-jose: certificates and keys are the published ones", publishedKeys(set, target.domain))
}

func get(ctx context.Context, target *target) (*http.Response, []byte, error) {
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: target.webRoots, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.webURL, http.NoBody)
	if err != nil {
		return nil, nil, err
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	return response, body, err
}

func isPlain(response *http.Response, body []byte) error {
	if response == nil {
		return nil
	}
	ascii := bytes.IndexFunc(body, func(r rune) bool { return r > 126 }) < 0
	return errors.Join(
		differ("status", response.StatusCode, http.StatusOK),
		differ("content type", response.Header.Get("Content-Type"), "application/json"),
		differ("ASCII", ascii, true),
	)
}

// allowed are the members that the standards define for an element of each use (BND-09).
var allowed = map[string]map[string]bool{
	"x509-svid": {"kty": true, "use": true, "crv": true, "x": true, "y": true, "n": true, "e": true, "x5c": true},
	"jwt-svid":  {"kty": true, "use": true, "crv": true, "x": true, "y": true, "n": true, "e": true, "kid": true},
}

func eachKey(body []byte, set jose.JSONWebKeySet) error {
	var document struct {
		Keys []map[string]json.RawMessage `json:"keys"`
	}
	err := json.Unmarshal(body, &document)
	for at, key := range set.Keys {
		if !key.Valid() || !key.IsPublic() {
			err = errors.Join(err, fmt.Errorf("keys[%d] is not a valid public key", at))
		}
		if (key.Use == "jwt-svid") != (key.KeyID != "") {
			err = errors.Join(err, fmt.Errorf("keys[%d] has use %q and kid %q", at, key.Use, key.KeyID))
		}
		for member := range document.Keys[at] {
			if !allowed[key.Use][member] {
				err = errors.Join(err, fmt.Errorf("keys[%d] has use %q and member %q", at, key.Use, member))
			}
		}
	}
	return err
}

func publishedKeys(set jose.JSONWebKeySet, domain *domain) error {
	certificates, tokens := map[string]bool{}, map[string]crypto.PublicKey{}
	for at, key := range set.Keys {
		switch {
		case key.Use == "jwt-svid":
			tokens[key.KeyID] = key.Key
		case len(key.Certificates) != 1:
			return fmt.Errorf("keys[%d] has %d certificates", at, len(key.Certificates))
		default:
			certificates[fingerprint(key.Certificates[0])] = true
		}
	}
	want := domain.bundle.X509Authorities()
	err := differ("number of certificates", len(certificates), len(want))
	for _, certificate := range want {
		if !certificates[fingerprint(certificate)] {
			err = errors.Join(err, fmt.Errorf("certificate %q is missing", certificate.Subject))
		}
	}
	return errors.Join(err, sameTokenKeys(tokens, domain.bundle.JWTAuthorities()))
}
