//! Whether what is there may be replaced by our bundle.

use crate::authorities::{MisWired, check_wiring};
use crate::spiffe::document::BundleDocument;
use crate::spiffe::trust_domain::TrustDomain;

/// The number of the bundle that may be replaced, if it has one: it is older, or the same one spelled differently.
pub(super) fn may_replace(trust_domain: &TrustDomain, there: &[u8], ours: &[u8]) -> Result<Option<u64>, Refusal> {
    let read = |bytes| BundleDocument::parse(trust_domain, bytes).map(BundleDocument::into_bundle);
    let there = read(there).map_err(|error| Refusal::NotABundle { detail: error.to_string() })?;
    check_wiring(trust_domain, there.authorities().iter())?;
    let ours = read(ours).expect("what we render can be read");
    match (there.sequence(), ours.sequence()) {
        (Some(there), Some(ours)) if there > ours => Err(Refusal::Newer { there, ours }),
        (Some(number), Some(same)) if number == same && there != ours => Err(Refusal::AnotherWriter { number }),
        (number, _) => Ok(number),
    }
}

/// Why what is there stays.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(
        "the bundle there has sequence {there}, ours has {ours}: going back would look like an attack to every reader; is another Comity writing there, or was this one's clock ahead?"
    )]
    Newer { there: u64, ours: u64 },
    #[error("the bundle there has our sequence {number} but other contents; only one service may write there")]
    AnotherWriter { number: u64 },
    #[error("the bundle there is of another trust domain: {0}; choose another path")]
    OtherDomain(#[from] MisWired),
    #[error("what is there is no bundle ({detail}); delete it, or choose another path")]
    NotABundle { detail: String },
}

impl Refusal {
    /// Stable identifier; see docs/problems.md.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Newer { .. } => "object-newer",
            Self::AnotherWriter { .. } => "object-of-another-writer",
            Self::OtherDomain(_) => "object-of-other-domain",
            Self::NotABundle { .. } => "object-not-a-bundle",
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, SanType};

    use super::*;
    use crate::spiffe::authority::{Authority, X509Authority};
    use crate::spiffe::bundle::Bundle;
    use crate::spiffe::document::render::{WitAuthorities, render};
    use crate::spiffe::fixtures::FIXTURES;

    fn rendered(fixture: usize, sequence: Option<u64>) -> Vec<u8> {
        let authorities = [FIXTURES[fixture].x509()].into_iter().collect();
        render(&Bundle::new("a.example".parse().unwrap(), authorities, sequence, None), WitAuthorities::Include)
    }

    /// A bundle whose CA says whose it is.
    fn of(trust_domain: &str) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.subject_alt_names = vec![SanType::URI(format!("spiffe://{trust_domain}").try_into().unwrap())];
        let certificate = params.self_signed(&FIXTURES[1].key).unwrap();
        let ca = Authority::X509(X509Authority::from_der(certificate.der()).unwrap());
        let bundle = Bundle::new(trust_domain.parse().unwrap(), [ca].into_iter().collect(), Some(6), None);
        render(&bundle, WitAuthorities::Include)
    }

    #[test]
    fn a_newer_bundle_and_what_is_none_are_never_replaced() {
        let (ours, spaced) = (rendered(1, Some(7)), [b"\n", &rendered(1, Some(7))[..]].concat());
        for (name, there, expected) in [
            ("older", rendered(2, Some(6)), Ok(Some(6))),
            ("without a number", rendered(2, None), Ok(None)),
            ("the same, spelled otherwise", spaced, Ok(Some(7))),
            ("older, and it says that it is ours", of("a.example"), Ok(Some(6))),
            ("older, and of another domain", of("b.example"), Err("object-of-other-domain")),
            ("newer", rendered(1, Some(8)), Err("object-newer")),
            ("the same number", rendered(2, Some(7)), Err("object-of-another-writer")),
            ("a page", b"<html>".to_vec(), Err("object-not-a-bundle")),
            ("nothing", Vec::new(), Err("object-not-a-bundle")),
        ] {
            let judged = may_replace(&"a.example".parse().unwrap(), &there, &ours);
            assert_eq!(judged.map_err(|refusal| refusal.code()), expected, "{name}");
        }
    }
}
