//! `[endpoint.https_web.acme]`: what to ask of an ACME server.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::acme::{AcmeSettings, ExternalAccount};
use crate::federation::relationship::EndpointUrl;
use crate::files::trusted;

use super::relationship::root_certificates;
use super::section::Section;
use super::{EndpointConfig, EndpointKeys};

/// Reads `acme` of an endpoint; it leaves no room for files.
pub(super) fn in_place_of_files(endpoint: &Section<'_>) -> Option<EndpointKeys> {
    for name in ["certificate", "private_key"].into_iter().filter(|name| endpoint.has(name)) {
        endpoint.refuse(name, "the section acme obtains a certificate; take out the one or the other");
    }
    acme(&endpoint.section("acme")).map(EndpointKeys::Acme)
}

/// A server that issues anew at each start would soon issue no more.
pub(super) fn check_store(root: &Section<'_>, endpoints: &[EndpointConfig]) {
    let store = root.section("store");
    let has_acme = endpoints.iter().any(|endpoint| matches!(endpoint.keys, EndpointKeys::Acme(_)));
    if has_acme && store.has("url") && store.text("url") == Some("memory:") {
        store.refuse("url", "\"memory:\" forgets what endpoint.https_web.acme obtains; take sqlite:///absolute/path");
    }
}

/// Reads the section, or says everything that is wrong with it.
fn acme(section: &Section<'_>) -> Option<AcmeSettings> {
    let domains = domains(section);
    let contact = section.list("contact", "email addresses such as [\"ops@bank-a.example\"]", mailto);
    let directory = section.parsed("directory", str::parse::<EndpointUrl>);
    let key = "directory_root_certificates";
    let roots =
        if section.has(key) { root_certificates(section, key).map(|roots| Some(Arc::new(roots))) } else { Some(None) };
    let external_account = external_account(section);
    let agreed = terms_agreed(section);
    Some(AcmeSettings {
        domains: domains?,
        contact: contact?,
        directory: directory?,
        roots: roots?,
        external_account: external_account?,
    })
    .filter(|_| agreed)
}

fn terms_agreed(section: &Section<'_>) -> bool {
    let key = "terms_of_service_agreed";
    let agreed = if section.has(key) { section.boolean(key) } else { Some(false) };
    if agreed == Some(false) {
        section.refuse(key, "required: true, once you have read the terms of the server's operator and agree to them");
    }
    agreed == Some(true)
}

fn domains(section: &Section<'_>) -> Option<Vec<String>> {
    let right = "host names such as [\"bundle.bank-a.example\"]";
    if !section.has("domains") {
        section.refuse("domains", format!("required: {right}"));
    }
    let domains = section.list("domains", right, domain)?;
    let distinct: BTreeSet<_> = domains.iter().collect();
    match domains.len() {
        0 if section.has("domains") => section.refuse("domains", "is empty; at least one name is needed"),
        count if count > MOST_DOMAINS => {
            section.refuse("domains", format!("has {count} names; at most {MOST_DOMAINS} fit a certificate"))
        }
        count if count > distinct.len() => section.refuse("domains", "has a name twice"),
        0 => {}
        _ => return Some(domains),
    }
    None
}

/// A name that TLS-ALPN-01 can prove: of a host, spelt as in the handshake.
fn domain(text: &str) -> Result<String, &'static str> {
    let label = |label: &str| {
        let letters = label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        (1..=63).contains(&label.len()) && letters && !label.starts_with('-') && !label.ends_with('-')
    };
    match () {
        () if text.starts_with("*.") => Err("TLS-ALPN-01 proves no wildcard; name each host"),
        () if text.parse::<std::net::IpAddr>().is_ok() => Err("an IP address is not a host name"),
        () if text.len() > 253 || !text.split('.').all(label) => {
            Err("not a host name of a-z 0-9 - in labels of at most 63; others are written in their xn-- form")
        }
        () => Ok(text.to_owned()),
    }
}

fn mailto(text: &str) -> Result<String, &'static str> {
    let address = text.strip_prefix("mailto:").unwrap_or(text);
    let allowed = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b',' | b'?' | b'"' | b'<' | b'>' | b'\\');
    match address.split_once('@') {
        Some((user, host)) if !user.is_empty() && !host.is_empty() && address.bytes().all(allowed) => {
            Ok(format!("mailto:{address}"))
        }
        _ => Err("not an email address such as \"ops@bank-a.example\""),
    }
}

/// `None` if a mistake was noted; both keys or neither.
fn external_account(section: &Section<'_>) -> Option<Option<ExternalAccount>> {
    match (section.has("eab_kid"), section.has("eab_hmac_key_file")) {
        (false, false) => return Some(None),
        (true, true) => {}
        (true, false) => section.refuse("eab_hmac_key_file", "required with eab_kid: the file that holds its key"),
        (false, true) => section.refuse("eab_kid", "required with eab_hmac_key_file: the identifier of that key"),
    }
    let key_id = section.text("eab_kid");
    let hmac_key = hmac_key(section);
    Some(Some(ExternalAccount { key_id: key_id?.to_owned(), hmac_key: hmac_key? }))
}

fn hmac_key(section: &Section<'_>) -> Option<Vec<u8>> {
    let file = section.path("eab_hmac_key_file")?;
    let read = trusted::read(&file, MAX_KEY_BYTES).map_err(|error| error.to_string());
    let key = read.and_then(|text| {
        let text = text.trim_ascii();
        let text = text.iter().position(|byte| *byte == b'=').map_or(text, |end| &text[..end]);
        let key = URL_SAFE_NO_PAD.decode(text).map_err(|_| "not the base64url of a key".to_owned())?;
        if key.len() < MIN_KEY_BYTES {
            Err(format!("a key of {} bytes; at least {MIN_KEY_BYTES} are needed", key.len()))
        } else {
            Ok(key)
        }
    });
    if std::fs::metadata(&file).is_ok_and(|metadata| trusted::everybody_reads(&metadata)) {
        let file = file.display();
        tracing::warn!(%file, code = "private-key-readable", "the key in eab_hmac_key_file is readable by every user");
    }
    key.map_err(|error| section.refuse("eab_hmac_key_file", format!("{}: {error}", file.display()))).ok()
}

/// What Let's Encrypt takes.
const MOST_DOMAINS: usize = 100;
const MAX_KEY_BYTES: usize = 4096;
const MIN_KEY_BYTES: usize = 16;
