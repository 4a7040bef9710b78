//! Rules about each authority.

use std::iter;

use crate::authorities::check_wiring;
use crate::federation::timestamp::Timestamp;
use crate::spiffe::authority::{Authority, X509Authority};
use crate::spiffe::trust_domain::TrustDomain;
use crate::verify::is_self_signed;
use crate::verify::key_strength::KeyStrength;

use super::oddity::Oddity;

/// What is odd about one authority that counts, at `now`. `trust_domain` is whose it should be, if that is known.
pub(super) fn oddities(authority: &Authority, trust_domain: Option<&TrustDomain>, now: Timestamp) -> Vec<Oddity> {
    let weak = KeyStrength::of(authority.key()).is_none().then_some(Oddity::WeakKey);
    let others = match authority {
        Authority::X509(certificate) => {
            let wiring = trust_domain.and_then(|domain| check_wiring(domain, iter::once(authority)).err());
            [dates(certificate, now), wiring.map(Oddity::MisWired)]
                .into_iter()
                .chain(form(certificate))
                .flatten()
                .collect()
        }
        Authority::Jwt(_) => vec![],
        Authority::Wit(_) => vec![Oddity::WitAuthority],
    };
    weak.into_iter().chain(others).collect()
}

fn dates(certificate: &X509Authority, now: Timestamp) -> Option<Oddity> {
    let (from, to) = (certificate.not_before(), certificate.not_after());
    match (Timestamp::from_signed(from), Timestamp::from_signed(to)) {
        (_, at) if at < now => Some(Oddity::Expired { at }),
        (at, _) if at > now => Some(Oddity::NotYetValid { at }),
        _ => None,
    }
}

fn form(certificate: &X509Authority) -> [Option<Oddity>; 3] {
    [
        certificate.spiffe_uris().next().is_none().then_some(Oddity::NoSpiffeId),
        (!certificate.has_key_usage()).then_some(Oddity::NoKeyUsage),
        (!is_self_signed(certificate)).then_some(Oddity::NotSelfSigned),
    ]
}
