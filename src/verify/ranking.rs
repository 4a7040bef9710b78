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
    /// Candidates with the right name, those first that the key identifiers point at, and authorities before
    /// others. One with another name that the identifiers point at can only explain.
    pub(super) fn likely_signers(&self, signed: &Certificate<'a>, path: &[Step<'s, 'a>]) -> Vec<&'s Candidate<'a>> {
        self.ranked(path, |candidate| {
            let by_id = key_id_match(signed, &candidate.certificate);
            is_likely(signed, &candidate.certificate).then_some((by_id, !candidate.is_authority()))
        })
    }

    /// Candidates whose name is the right one, spelled differently: rare, and costly to find.
    pub(super) fn unlikely_signers(&self, signed: &Certificate<'a>, path: &[Step<'s, 'a>]) -> Vec<&'s Candidate<'a>> {
        self.ranked(path, |candidate| {
            let signer = &candidate.certificate;
            let is_another = !is_likely(signed, signer) && signer.subject.is(&signed.issuer);
            is_another.then_some((key_id_match(signed, signer), !candidate.is_authority()))
        })
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

    /// Candidates that have a rank, the lowest first, and of one rank in an order that nobody chooses.
    fn ranked<R: Ord>(
        &self,
        path: &[Step<'s, 'a>],
        rank: impl Fn(&Candidate<'_>) -> Option<R>,
    ) -> Vec<&'s Candidate<'a>> {
        let is_new = |candidate: &Certificate<'_>| {
            path.iter().all(|Step { certificate: known, .. }| {
                known.key.info != candidate.key.info || known.subject.der != candidate.subject.der
            })
        };
        let candidates = self.candidates().filter_map(|candidate| Some((rank(candidate)?, candidate)));
        let mut ranked: Vec<_> = candidates.filter(|(_, candidate)| is_new(&candidate.certificate)).collect();
        ranked.sort_by(|(a, one), (b, other)| a.cmp(b).then_with(|| one.certificate.der.cmp(&other.certificate.der)));
        ranked.into_iter().map(|(_, candidate)| candidate).collect()
    }
}

fn is_likely(signed: &Certificate<'_>, signer: &Certificate<'_>) -> bool {
    signer.subject.der == signed.issuer.der || key_id_match(signed, signer) == KeyIdMatch::Same
}
