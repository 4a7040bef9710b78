//! The certificate of `https_web` from an ACME server (RFC 8555), which looks at our own listener for proof
//! (TLS-ALPN-01, RFC 8737).

mod schedule;
