//! From a bundle to bytes that every known implementation reads (OUT-01).

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

use crate::spiffe::authority::Authority;
use crate::spiffe::bundle::Bundle;
use crate::spiffe::public_key::Fingerprint;

/// Whether `wit-svid` authorities are written: implementations exist that fail on them (WIT-04, OUT-02).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WitAuthorities {
    /// For peers: what everybody reads.
    Omit,
    /// For ourselves, and for peers known to cope.
    Include,
}

/// Writes a bundle as a JWK Set in compact ASCII JSON: the same contents are always the same bytes.
pub fn render(bundle: &Bundle, wit: WitAuthorities) -> Vec<u8> {
    to_ascii_json(&JwkSet::new(bundle, wit))
}

/// Writes the JWT authorities as a JWK Set of RFC 7517 alone, as the Workload API streams it (WL-08): no `use`, which
/// JWT libraries take for one of their own words, and nothing that only SPIFFE knows.
#[cfg(feature = "server")]
pub(crate) fn render_key_set(bundle: &Bundle) -> Vec<u8> {
    let jwt = bundle.authorities().iter().filter(|authority| matches!(authority, Authority::Jwt(_)));
    let keys = jwt.map(|authority| Jwk { r#use: None, ..Jwk::new(authority) }).collect();
    to_ascii_json(&JwkSet { spiffe_sequence: None, spiffe_refresh_hint: None, keys })
}

/// SHA-256 of the document with all authorities: the digest by which people accept a bundle.
pub fn digest(bundle: &Bundle) -> Fingerprint {
    Fingerprint::of(&render(bundle, WitAuthorities::Include))
}

/// A document in the order in which it is written.
#[derive(Serialize)]
pub(in crate::spiffe) struct JwkSet<'b> {
    #[serde(skip_serializing_if = "Option::is_none")]
    spiffe_sequence: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spiffe_refresh_hint: Option<u64>,
    keys: Vec<Jwk<'b>>,
}

impl<'b> JwkSet<'b> {
    pub(in crate::spiffe) fn new(bundle: &'b Bundle, wit: WitAuthorities) -> Self {
        let written =
            |authority: &&Authority| wit == WitAuthorities::Include || !matches!(authority, Authority::Wit(_));
        Self {
            spiffe_sequence: bundle.sequence(),
            spiffe_refresh_hint: bundle.refresh_hint().map(|hint| hint.as_secs()),
            keys: bundle.authorities().iter().filter(written).map(Jwk::new).collect(),
        }
    }

    /// The same for a bundle map, whose bundles have no hint of their own (BND-29).
    pub(in crate::spiffe) fn without_refresh_hint(self) -> Self {
        Self { spiffe_refresh_hint: None, ..self }
    }
}

/// The members that the standards define, and no others (BND-09).
#[derive(Default, Serialize)]
struct Jwk<'b> {
    kty: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#use: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'b str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    crv: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    e: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x5c: Option<[String; 1]>,
}

impl<'b> Jwk<'b> {
    fn new(authority: &'b Authority) -> Self {
        let mut jwk = Self { r#use: Some(authority.svid_type().as_str()), ..Self::default() };
        for (name, value) in authority.key().to_jwk_members() {
            match name {
                "crv" => jwk.crv = Some(value),
                "x" => jwk.x = Some(value),
                "y" => jwk.y = Some(value),
                "n" => jwk.n = Some(value),
                "e" => jwk.e = Some(value),
                _ => jwk.kty = value,
            }
        }
        match authority {
            Authority::X509(authority) => jwk.x5c = Some([STANDARD.encode(authority.der())]),
            Authority::Jwt(authority) | Authority::Wit(authority) => jwk.kid = Some(authority.key_id()),
        }
        jwk
    }
}

/// Compact JSON with everything outside ASCII escaped.
pub(in crate::spiffe) fn to_ascii_json(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut bytes, Ascii)).expect("memory takes every string and number");
    bytes
}

struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: Write + ?Sized>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(|character: char| !character.is_ascii()) {
            let (ascii, tail) = rest.split_at(at);
            writer.write_all(ascii.as_bytes())?;
            let end = tail.find(|character: char| character.is_ascii()).unwrap_or(tail.len());
            tail[..end].encode_utf16().try_for_each(|unit| write!(writer, "\\u{unit:04x}"))?;
            rest = &tail[end..];
        }
        writer.write_all(rest.as_bytes())
    }
}
