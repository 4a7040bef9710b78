//! X509-SVID rules: the leaf, what may sign it, and for which trust domain.

use std::time::Duration;

use rustls::pki_types::UnixTime;

use crate::spiffe::authority::{AuthorityId, SvidType};
use crate::spiffe::bundle::Bundle;
use crate::spiffe::spiffe_id::SpiffeId;
use crate::spiffe::trust_domain::TrustDomain;

use super::certificate::{Certificate, ExtendedKeyUsage, unreadable};
use super::path::{Pool, Terms};
use super::rejection::{Fault, Limit, Place, Rejection};
use super::snapshot::DomainTrust;
use super::verified::Verified;

/// Certificates in a chain as it is sent, the leaf included.
pub(super) const MAX_CERTIFICATES: usize = 32;
/// Bytes of all its certificates.
pub(super) const MAX_CHAIN_BYTES: usize = 64 << 10;

/// The role in which a peer presents its SVID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// It is a TLS server.
    Server,
    /// It is a TLS client.
    Client,
}

impl Usage {
    pub(super) fn is_in(self, allowed: ExtendedKeyUsage) -> bool {
        match self {
            Self::Server => allowed.server,
            Self::Client => allowed.client,
        }
    }
}

/// Verifies an X509-SVID against the authorities of its own domain, whose state is the caller's concern.
pub(super) fn verify_x509(
    domain: &DomainTrust,
    leaf: &[u8],
    intermediates: &[&[u8]],
    usage: Usage,
    at: UnixTime,
) -> Result<Verified, Rejection> {
    let bundle = domain.bundle();
    check_size(leaf, intermediates)?;
    let (certificate, spiffe_id) = read_leaf(leaf)?;
    check_bundle(bundle, &spiffe_id)?;
    let at = i64::try_from(at.as_secs()).unwrap_or(i64::MAX);
    let pool = Pool::new(bundle.authorities(), intermediates);
    if pool.has_authority(leaf) {
        return Err(certificate.rejected(Place::Leaf, Fault::IsAuthority));
    }
    check_leaf(&certificate, at).map_err(|fault| certificate.rejected(Place::Leaf, fault))?;
    let signer_rule =
        |signer: &Certificate<'_>, is_authority| check_signer(signer, bundle.trust_domain(), is_authority);
    let path = pool.find_path(&certificate, &Terms { usage, at, signer_rule: &signer_rule })?;
    let time = |seconds: i64| UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
    Ok(Verified {
        spiffe_id,
        authority: AuthorityId::X509(path.authority),
        path: path.places,
        sequence: bundle.sequence(),
        revision: domain.revision(),
        via: domain.via().cloned(),
        not_before: time(path.not_before),
        not_after: time(path.not_after),
        lapses: Vec::new(),
        policy: domain.policy().clone(),
    })
}

/// Whom a leaf certificate claims to name, by its one URI SAN; nothing about it is verified.
///
/// It says which domain's bundle to verify with (X5-15), and no more.
pub fn spiffe_id_of(leaf: &[u8]) -> Result<SpiffeId, Rejection> {
    check_size(leaf, &[])?;
    read_leaf(leaf).map(|(_, spiffe_id)| spiffe_id)
}

/// Checks what an X509-SVID leaf must be by itself (X509-SVID §4), without a path to an authority.
pub fn check_svid(leaf: &[u8], at: UnixTime) -> Result<SpiffeId, Rejection> {
    check_size(leaf, &[])?;
    let (certificate, spiffe_id) = read_leaf(leaf)?;
    let at = i64::try_from(at.as_secs()).unwrap_or(i64::MAX);
    check_leaf(&certificate, at).map_err(|fault| certificate.rejected(Place::Leaf, fault))?;
    Ok(spiffe_id)
}

fn check_size(leaf: &[u8], intermediates: &[&[u8]]) -> Result<(), Rejection> {
    let certificates = 1 + intermediates.len();
    let bytes = intermediates.iter().fold(leaf.len(), |bytes, der| bytes + der.len());
    if certificates > MAX_CERTIFICATES || bytes > MAX_CHAIN_BYTES {
        let limit =
            if certificates > MAX_CERTIFICATES { Limit::Certificates(certificates) } else { Limit::Bytes(bytes) };
        return Err(Rejection::BudgetExhausted(limit));
    }
    Ok(())
}

fn read_leaf(leaf: &[u8]) -> Result<(Certificate<'_>, SpiffeId), Rejection> {
    let certificate = Certificate::parse(leaf).map_err(|fault| unreadable(Place::Leaf, fault))?;
    let spiffe_id = match certificate.extensions.uris[..] {
        [] => Err(Fault::NoSpiffeId),
        [uri] => match SpiffeId::from_bytes(uri) {
            Ok(spiffe_id) if spiffe_id.is_root() => Err(Fault::RootSpiffeId),
            Ok(spiffe_id) => Ok(spiffe_id),
            Err(error) => Err(Fault::InvalidSpiffeId(error)),
        },
        ref uris => Err(Fault::SeveralUris { count: uris.len() }),
    };
    match spiffe_id {
        Ok(spiffe_id) => Ok((certificate, spiffe_id)),
        Err(fault) => Err(certificate.rejected(Place::Leaf, fault)),
    }
}

fn check_bundle(bundle: &Bundle, spiffe_id: &SpiffeId) -> Result<(), Rejection> {
    let trust_domain = bundle.trust_domain().clone();
    if *spiffe_id.trust_domain() != trust_domain {
        return Err(Rejection::ForeignTrustDomain { spiffe_id: spiffe_id.clone(), trust_domain });
    }
    if bundle.authorities().is_empty() {
        return Err(Rejection::DomainRevoked { trust_domain });
    }
    if bundle.authorities().count(SvidType::X509Svid) == 0 {
        return Err(Rejection::SvidTypeNotSupported { trust_domain });
    }
    Ok(())
}

fn check_leaf(leaf: &Certificate<'_>, at: i64) -> Result<(), Fault> {
    let extensions = &leaf.extensions;
    if extensions.is_ca {
        return Err(Fault::IsCa);
    }
    let usage = extensions.key_usage.ok_or(Fault::LeafKeyUsage)?;
    if usage.key_cert_sign || usage.crl_sign {
        return Err(Fault::MaySign);
    }
    if !usage.is_critical || !usage.digital_signature {
        return Err(Fault::LeafKeyUsage);
    }
    if extensions.extended_key_usage.is_some_and(|allowed| !allowed.server || !allowed.client) {
        return Err(Fault::ExtendedKeyUsage);
    }
    if leaf.has_empty_subject() && !extensions.san_is_critical {
        return Err(Fault::SanNotCritical);
    }
    leaf.check(at)
}

/// A signing certificate with a SPIFFE ID must bear the root ID of this domain and no other URI
/// (X5-14). Stricter than the standard, which lets one domain's CA sign another's: the issuance
/// right that we never grant.
fn check_signer(signer: &Certificate<'_>, trust_domain: &TrustDomain, is_authority: bool) -> Result<(), Fault> {
    let uris = &signer.extensions.uris;
    let Some(spiffe_uri) = uris.iter().find(|uri| has_spiffe_scheme(uri)) else { return Ok(()) };
    let is_root_id = |uri: &[u8]| {
        // The standard's own example of an authority has the slash.
        let uri = if is_authority { uri.strip_suffix(b"/").unwrap_or(uri) } else { uri };
        uri == trust_domain.to_id().as_bytes()
    };
    match uris[..] {
        [uri] if is_root_id(uri) => Ok(()),
        [_] => Err(foreign_signer(trust_domain, spiffe_uri)),
        _ => Err(Fault::SeveralUris { count: uris.len() }),
    }
}

fn foreign_signer(trust_domain: &TrustDomain, uri: &[u8]) -> Fault {
    let uri = String::from_utf8_lossy(uri).escape_debug().to_string();
    Fault::ForeignSigner { trust_domain: trust_domain.clone(), uri }
}

fn has_spiffe_scheme(uri: &[u8]) -> bool {
    uri.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"spiffe:"))
}

#[cfg(test)]
mod tests;
