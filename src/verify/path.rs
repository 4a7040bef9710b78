//! RFC 5280 path building and validation against the authorities of one bundle, with a work budget.

use std::cell::OnceCell;

use crate::spiffe::bundle::Authorities;
use crate::spiffe::public_key::Fingerprint;

use super::certificate::{Certificate, unreadable};
use super::rejection::{Fault, Limit, Place, Rejection};
use super::signature;
use super::x509::Usage;

/// A path that holds: what it rests on, and until when.
pub(super) struct Path {
    pub(super) authority: Fingerprint,
    /// Its certificates, the leaf first.
    pub(super) places: Vec<Place>,
    /// Latest start of validity along it, in Unix seconds.
    pub(super) not_before: i64,
    /// Soonest end of validity along it, in Unix seconds.
    pub(super) not_after: i64,
}

/// What every signing certificate of the path must satisfy.
pub(super) struct Terms<'t> {
    pub(super) usage: Usage,
    /// Unix seconds.
    pub(super) at: i64,
    /// Rules beyond RFC 5280, given a signing certificate and whether it is an authority.
    pub(super) signer_rule: &'t dyn Fn(&Certificate<'_>, bool) -> Result<(), Fault>,
}

impl Terms<'_> {
    fn check(&self, signer: &Candidate<'_>) -> Result<(), Fault> {
        let (certificate, extensions) = (&signer.certificate, &signer.certificate.extensions);
        if !extensions.is_ca {
            return Err(Fault::NotCa);
        }
        if extensions.key_usage.is_none_or(|usage| !usage.key_cert_sign) {
            return Err(Fault::NoKeyCertSign);
        }
        certificate.check(self.at)?;
        if extensions.extended_key_usage.is_some_and(|allowed| !self.usage.is_in(allowed)) {
            return Err(Fault::ExtendedKeyUsage);
        }
        (self.signer_rule)(certificate, signer.is_authority())
    }
}

/// A certificate that may stand in a path above the leaf.
pub(super) struct Candidate<'a> {
    certificate: Certificate<'a>,
    place: Place,
    /// The rule it breaks whatever the path, found out once.
    fault: OnceCell<Option<Fault>>,
}

impl Candidate<'_> {
    fn is_authority(&self) -> bool {
        matches!(self.place, Place::Authority(_))
    }
}

/// What paths are made of: the authorities of one bundle and what the peer sent, each certificate once.
pub(super) struct Pool<'a> {
    candidates: Vec<Candidate<'a>>,
    /// The first that could not be read; it is left out, and named if no path is found without it.
    unreadable: Option<Rejection>,
}

impl<'a> Pool<'a> {
    pub(super) fn new(authorities: &'a Authorities, intermediates: &[&'a [u8]]) -> Self {
        let mut pool = Self { candidates: Vec::new(), unreadable: None };
        for authority in authorities.x509() {
            pool.add(authority.der(), Place::Authority(authority.fingerprint()));
        }
        if !pool.candidates.is_empty() {
            // One odd authority beside others must not explain every failure.
            pool.unreadable = None;
        }
        for (index, der) in intermediates.iter().enumerate() {
            if pool.candidates.iter().all(|known| known.certificate.der != *der) {
                pool.add(der, Place::Intermediate(index));
            }
        }
        pool
    }

    pub(super) fn has_authority(&self, der: &[u8]) -> bool {
        self.candidates.iter().any(|candidate| candidate.is_authority() && candidate.certificate.der == der)
    }

    /// Finds a path from `leaf` to an authority. The leaf's own rules are the caller's.
    ///
    /// Failing that, the reason is that of the attempt which got furthest.
    pub(super) fn find_path(&self, leaf: &Certificate<'a>, terms: &Terms<'_>) -> Result<Path, Rejection> {
        let mut search = Search {
            pool: self,
            terms,
            checks_left: MAX_SIGNATURE_CHECKS,
            refused: Vec::new(),
            furthest: (0, Rejection::UnknownAuthority { place: Place::Leaf, subject: leaf.subject_text() }),
        };
        let mut path = vec![Step { certificate: leaf, place: Place::Leaf }];
        match search.extend(&mut path) {
            Ok(Some(found)) => Ok(found),
            Ok(None) => Err(search.reason().unwrap_or(Rejection::BudgetExhausted(Limit::SignatureChecks))),
            Err(Exhausted) => Err(Rejection::BudgetExhausted(Limit::SignatureChecks)),
        }
    }

    fn add(&mut self, der: &'a [u8], place: Place) {
        match Certificate::parse(der) {
            Ok(certificate) => self.candidates.push(Candidate { certificate, place, fault: OnceCell::new() }),
            Err(fault) => {
                self.unreadable.get_or_insert_with(|| unreadable(place, fault));
            }
        }
    }
}

/// Certificates in a path, the leaf and the authority included.
pub(super) const MAX_PATH: usize = 8;
/// Signatures verified in search of a path.
pub(super) const MAX_SIGNATURE_CHECKS: usize = 100;

struct Search<'s, 'a> {
    pool: &'s Pool<'a>,
    terms: &'s Terms<'s>,
    checks_left: usize,
    refused: Vec<Refused<'s, 'a>>,
    /// Length of the longest path that led nowhere, and why.
    furthest: (usize, Rejection),
}

#[derive(Clone, Copy)]
struct Step<'s, 'a> {
    certificate: &'s Certificate<'a>,
    place: Place,
}

/// A signer with the right name that breaks a rule: not followed, but the reason if it did sign.
struct Refused<'s, 'a> {
    length: usize,
    signed: &'s Certificate<'a>,
    signer: &'s Certificate<'a>,
    reason: Rejection,
}

struct Exhausted;

impl<'s, 'a> Search<'s, 'a> {
    /// Looks for the signers of the last certificate of `path`, depth first.
    fn extend(&mut self, path: &mut Vec<Step<'s, 'a>>) -> Result<Option<Path>, Exhausted> {
        let Some(last) = path.last().copied() else { return Ok(None) };
        let signers = self.signers(last.certificate, path);
        if path.len() == MAX_PATH && !signers.is_empty() {
            self.note(path.len(), Rejection::BudgetExhausted(Limit::PathLength));
            return Ok(None);
        }
        self.note(
            path.len(),
            Rejection::UnknownAuthority { place: last.place, subject: last.certificate.subject_text() },
        );
        for signer in signers {
            let step = Step { certificate: &signer.certificate, place: signer.place };
            if let Err(fault) = self.check_signer(signer, path) {
                let (length, reason) = (path.len() + 1, step.certificate.rejected(signer.place, fault));
                self.refused.push(Refused { length, signed: last.certificate, signer: step.certificate, reason });
                continue;
            }
            if let Err(fault) = self.check_signature(last.certificate, step.certificate)? {
                self.note_signature(path.len(), last, step.certificate, fault);
                continue;
            }
            path.push(step);
            let found = if signer.is_authority() { Some(finish(path, signer)) } else { self.extend(path)? };
            if found.is_some() {
                return Ok(found);
            }
            path.pop();
        }
        Ok(None)
    }

    /// Candidates by name, those first that the key identifiers point at, and authorities before others.
    fn signers(&self, signed: &Certificate<'a>, path: &[Step<'s, 'a>]) -> Vec<&'s Candidate<'a>> {
        let is_new = |certificate: &Certificate<'_>| {
            path.iter().all(|step| {
                step.certificate.subject != certificate.subject || step.certificate.key.info != certificate.key.info
            })
        };
        let candidates = self.pool.candidates.iter();
        let mut signers: Vec<_> = candidates
            .filter(|candidate| candidate.certificate.subject == signed.issuer && is_new(&candidate.certificate))
            .collect();
        signers.sort_by_key(|signer| (key_id_match(signed, &signer.certificate), !signer.is_authority()));
        signers
    }

    /// The rules for a certificate that signs the last one of `path` (RFC 5280 §6.1.4).
    fn check_signer(&self, signer: &Candidate<'_>, path: &[Step<'_, '_>]) -> Result<(), Fault> {
        if let Some(fault) = signer.fault.get_or_init(|| self.terms.check(signer).err()) {
            return Err(fault.clone());
        }
        let below = path[1..].iter().filter(|step| !step.certificate.is_self_issued()).fold(0, |below, _| below + 1);
        match signer.certificate.extensions.path_length {
            Some(limit) if limit < below => Err(Fault::PathLength { limit, below }),
            _ => Ok(()),
        }
    }

    fn check_signature(
        &mut self,
        signed: &Certificate<'_>,
        signer: &Certificate<'_>,
    ) -> Result<Result<(), Fault>, Exhausted> {
        if signature::is_checkable(signed, signer) {
            self.checks_left = self.checks_left.checked_sub(1).ok_or(Exhausted)?;
        }
        Ok(signature::check(signed, signer))
    }

    /// A key that merely shares the name says nothing: only one that is named by its identifier, or an
    /// algorithm that can't be checked, is a reason of its own.
    fn note_signature(&mut self, length: usize, last: Step<'_, '_>, signer: &Certificate<'_>, fault: Fault) {
        if fault != Fault::BadSignature || key_id_match(last.certificate, signer) == KeyIdMatch::Same {
            self.note(length + 1, last.certificate.rejected(last.place, fault));
        }
    }

    fn note(&mut self, length: usize, reason: Rejection) {
        if length > self.furthest.0 {
            self.furthest = (length, reason);
        }
    }

    /// Why there is no path, spending what is left of the budget; none if that is nothing.
    fn reason(mut self) -> Option<Rejection> {
        let mut refused = std::mem::take(&mut self.refused);
        refused.sort_by_key(|refused| std::cmp::Reverse(refused.length));
        for Refused { length, signed, signer, reason } in refused {
            if length < self.furthest.0 {
                break;
            }
            match self.check_signature(signed, signer) {
                Ok(Ok(())) => return Some(reason),
                Ok(Err(_)) => {}
                Err(Exhausted) => return None,
            }
        }
        match self.furthest.1 {
            unknown @ Rejection::UnknownAuthority { .. } => Some(self.pool.unreadable.clone().unwrap_or(unknown)),
            reason => Some(reason),
        }
    }
}

/// What two key identifiers say about a signer: a hint for the order, never a filter (X5-24).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum KeyIdMatch {
    Same,
    Unknown,
    Different,
}

fn key_id_match(signed: &Certificate<'_>, signer: &Certificate<'_>) -> KeyIdMatch {
    match (signed.extensions.authority_key_id, signer.extensions.subject_key_id) {
        (Some(wanted), Some(own)) if wanted == own => KeyIdMatch::Same,
        (Some(_), Some(_)) => KeyIdMatch::Different,
        _ => KeyIdMatch::Unknown,
    }
}

fn finish(path: &[Step<'_, '_>], authority: &Candidate<'_>) -> Path {
    let dates = path.iter().map(|step| (step.certificate.not_before, step.certificate.not_after));
    let bounds = (authority.certificate.not_before, authority.certificate.not_after);
    let (not_before, not_after) = dates.fold(bounds, |(start, end), (from, until)| (start.max(from), end.min(until)));
    let places = path.iter().map(|step| step.place).collect();
    Path { authority: Fingerprint::of(authority.certificate.der), places, not_before, not_after }
}

#[cfg(test)]
mod tests;
