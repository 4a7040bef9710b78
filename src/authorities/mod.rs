//! Where our own public keys come from.

mod answers;
pub(crate) mod backoff;
pub(crate) mod bundle_file;
mod ca_answer;
pub(crate) mod carried;
pub(crate) mod files;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
pub(crate) mod get;
mod issuer;
mod joined;
pub(crate) mod jwks;
mod own_certificates;
pub(crate) mod pem;
pub(crate) mod polled;
pub(crate) mod root_certificates;
pub(crate) mod source;
pub(crate) mod spire_server;
pub(crate) mod workload_api;

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::spiffe::authority::{Authority, SvidType};
use crate::spiffe::bundle::Authorities;
use crate::spiffe::public_key::Fingerprint;
use crate::spiffe::trust_domain::TrustDomain;

/// Our own authorities as the last look at their files found them.
#[derive(Clone, Debug, Default)]
pub(crate) struct LoadedAuthorities {
    /// All of them. A file that cannot be used counts with what it last held.
    pub(crate) authorities: Authorities,
    /// What is wrong with which file, by file.
    pub(crate) problems: Vec<AuthorityProblem>,
    by_file: BTreeMap<(Kind, PathBuf), LastGood>,
}

/// A file that is not published as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AuthorityProblem {
    /// The file or folder.
    pub(crate) file: PathBuf,
    /// Which keys it should hold; `None` if all files together are wrong.
    pub(crate) svid_type: Option<SvidType>,
    /// Stable identifier; see docs/problems.md.
    pub(crate) code: &'static str,
    /// For the operator.
    pub(crate) detail: String,
}

/// What a path is configured to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    X509,
    Jwt,
    Wit,
}

impl Kind {
    fn svid_type(self) -> SvidType {
        match self {
            Self::X509 => SvidType::X509Svid,
            Self::Jwt => SvidType::JwtSvid,
            Self::Wit => SvidType::WitSvid,
        }
    }
}

#[derive(Clone, Debug)]
struct LastGood {
    digest: Fingerprint,
    authorities: Vec<Authority>,
}

/// Acceptance step 3 for ourselves: no certificate that says it belongs to another domain.
pub(crate) fn check_wiring<'a>(
    trust_domain: &TrustDomain,
    authorities: impl IntoIterator<Item = &'a Authority>,
) -> Result<(), MisWired> {
    for authority in authorities {
        let Authority::X509(certificate) = authority else { continue };
        if let Some(uri) = certificate.foreign_spiffe_uri(trust_domain) {
            let (subject, uri) = (certificate.subject().to_owned(), uri.escape_debug().to_string());
            return Err(MisWired { trust_domain: trust_domain.clone(), subject, uri });
        }
    }
    Ok(())
}

/// A CA certificate of another trust domain among those of this one (BND-26).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("CA certificate \"{subject}\" bears the URI {uri}, which is not the ID of trust domain {trust_domain}")]
pub(crate) struct MisWired {
    trust_domain: TrustDomain,
    subject: String,
    uri: String,
}

impl MisWired {
    /// Stable identifier; see docs/problems.md.
    pub(crate) fn code(&self) -> &'static str {
        "mis-wired"
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "helpers are test code outside of test functions")]
mod tests;
