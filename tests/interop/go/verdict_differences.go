package main

// chainsGoDiffers are the chains of the index that go-spiffe judges otherwise than we do, and what decides. It accepts
// where we refuse, but for the three last.
var chainsGoDiffers = map[string]string{
	"leaf-scheme-in-upper-case.der":                     "SPIFFE-ID 2.1: URL libraries fold the scheme",
	"leaf-a-root-id.der":                                "X509-SVID 5.2: Verify checks no path of a peer's ID",
	"leaf-the-name-and-key-of-the-authority.der":        "X509-SVID 3.2: an authority authenticates nobody",
	"leaf-no-keyusage.der":                              "X509-SVID 4.3",
	"leaf-keyusage-not-critical.der":                    "X509-SVID 4.3",
	"leaf-keyencipherment-alone.der":                    "X509-SVID 4.3",
	"leaf-the-other-role-alone.der":                     "X509-SVID 4.4",
	"leaf-this-role-alone.der":                          "X509-SVID 4.4",
	"leaf-neither-role.der":                             "X509-SVID 4.4",
	"leaf-an-empty-subject.der":                         "RFC 5280 4.1.2.6",
	"leaf-no-purpose-at-all.der":                        "RFC 5280 4.2.1.12: one at least",
	"leaf-serial-of-21-bytes.der":                       "RFC 5280 4.1.2.2",
	"leaf-a-name-that-is-none.der":                      "RFC 5280 4.1.2.4",
	"leaf-a-time-without-seconds.der":                   "RFC 5280 4.1.2.5.1",
	"leaf-no-ca-below-it.der":                           "RFC 5280 4.2.1.9: only a CA limits paths",
	"leaf-one-ca-below-it.der":                          "RFC 5280 4.2.1.9",
	"leaf-two-cas-below-it.der":                         "RFC 5280 4.2.1.9",
	"leaf-rsa-of-1024-bits.der":                         "our profile: RSA from 2048 bits on",
	"signer-two-uris.der":                               "X509-SVID 3.2: Verify reads no ID above the leaf",
	"signer-other-names-too.der":                        "X509-SVID 3.2",
	"signer-scheme-in-upper-case.der":                   "X509-SVID 3.2",
	"signer-trust-domain-in-upper-case.der":             "X509-SVID 3.2",
	"signer-a-root-id-with-a-slash.der":                 "X509-SVID 3.2",
	"signer-another-domain.der":                         "X509-SVID 3.2",
	"signer-a-uri-of-our-domain.der":                    "X509-SVID 3.2",
	"signer-another-domain-s-root-id.der":               "permitted by X509-SVID 3.2, and never granted here",
	"signer-no-keyusage.der":                            "X509-SVID 4.3",
	"signer-its-parent.der":                             "RFC 5280 4.2.1.10: a URI constraint is one host",
	"signer-a-minimum.der":                              "RFC 5280 4.2.1.10: no minimum",
	"bytes-that-are-none.der":                           "RFC 5280 6.1 judges a path; what isn't in it doesn't count",
	"leaf-the-issuer-in-other-letters.der":              "RFC 5280 7.1: names compare without case",
	"leaf-an-authority-key-identifier-that-is-none.der": "RFC 5280 4.2.1.1: a hint",
}

// tokensGoDiffers are the tokens that go-spiffe judges otherwise, and what decides.
var tokensGoDiffers = map[string]string{
	"no kid":          "JWT-SVID 2.3: kid is optional",
	"another header":  "JWT-SVID 2: no header but alg, kid and typ",
	"issued tomorrow": "JWT-SVID 3 and RFC 7519 4.1.6: iat is no bound",
	"a root ID":       "JWT-SVID 3.1 by SPIFFE-ID 2: a workload's ID has a path",
}
