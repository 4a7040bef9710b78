//! Which certificates may have signed another, the likeliest first.

use super::certificate::Certificate;
use super::path::Step;
use super::pool::{Candidate, Pool};

/// What two key identifiers say about a signer: a hint for the order, never a filter (X5-24).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum KeyIdMatch {
    Same,
    Unknown,
    Different,
}

pub(super) fn key_id_match(signed: &Certificate<'_>, signer: &Certificate<'_>) -> KeyIdMatch {
    match (&signed.extensions.authority_key_id, &signer.extensions.subject_key_id) {
        (Some(wanted), Some(own)) if wanted == own => KeyIdMatch::Same,
        (Some(_), Some(_)) => KeyIdMatch::Different,
        _ => KeyIdMatch::Unknown,
    }
}

impl<'s, 'a> Pool<'s, 'a> {
    /// Candidates with the right name, those first that the key identifiers point at, and authorities before others.
    pub(super) fn likely_signers(&self, signed: &Certificate<'a>, path: &[Step<'s, 'a>]) -> Vec<&'s Candidate<'a>> {
        rank(self.candidates_named(&signed.issuer.der), signed, path)
    }

    /// Candidates whose name is the right one, spelled differently: rare, and costly to find. And those with another
    /// name that the identifiers point at: they can only explain.
    pub(super) fn unlikely_signers(&self, signed: &Certificate<'a>, path: &[Step<'s, 'a>]) -> Vec<&'s Candidate<'a>> {
        let is_unlikely = |candidate: &&'s Candidate<'a>| {
            let signer = &candidate.certificate;
            signer.subject.der != signed.issuer.der
                && (key_id_match(signed, signer) == KeyIdMatch::Same || signer.subject.is(&signed.issuer))
        };
        rank(self.candidates().filter(is_unlikely), signed, path)
    }

    /// Whether identifiers or names leave no doubt that this one signed, where its key can't tell.
    pub(super) fn is_named_signer(&self, signed: &Certificate<'_>, signer: &Candidate<'_>) -> bool {
        let is_namesake = |candidate: &Certificate<'_>| candidate.subject.is(&signed.issuer);
        match key_id_match(signed, &signer.certificate) {
            KeyIdMatch::Same => true,
            KeyIdMatch::Different => false,
            KeyIdMatch::Unknown => {
                is_namesake(&signer.certificate)
                    && self.candidates().filter(|candidate| is_namesake(&candidate.certificate)).count() == 1
            }
        }
    }
}

/// The likeliest first, of equals in an order that nobody chooses; without those whose name and key the path has.
fn rank<'s, 'a>(
    candidates: impl Iterator<Item = &'s Candidate<'a>>,
    signed: &Certificate<'a>,
    path: &[Step<'s, 'a>],
) -> Vec<&'s Candidate<'a>> {
    let is_new = |candidate: &Certificate<'_>| {
        path.iter().all(|Step { certificate: known, .. }| {
            known.key.info != candidate.key.info || known.subject.der != candidate.subject.der
        })
    };
    let mut ranked: Vec<_> = candidates.filter(|candidate| is_new(&candidate.certificate)).collect();
    let rank = |candidate: &Candidate<'_>| (key_id_match(signed, &candidate.certificate), !candidate.is_authority());
    ranked.sort_by(|one, other| {
        rank(one).cmp(&rank(other)).then_with(|| one.certificate.der.cmp(&other.certificate.der))
    });
    ranked
}
