//! RFC 5280 path building and validation against the authorities of one bundle, with a work budget.

use super::certificate::Certificate;
use super::explain::{Outcome, Trace};
use super::memo::{CheckKey, SignatureMemo};
use super::name_constraints::ConstraintFault;
use super::names::relative_names;
use super::pool::{Candidate, Pool};
use super::rejection::{Fault, Limit, Place, Rejection};
use super::signature;

/// What must hold along a path.
pub(super) trait Rules {
    /// Rules for a certificate in `path`'s next place, which signs its last one: all that don't need its
    /// signature.
    fn check_signer(&self, signer: &Candidate<'_>, path: &[Step<'_, '_>]) -> Result<(), Fault>;

    /// Whether a complete path will do, the authority its last step; if not, another may.
    fn check_path(&self, path: &[Step<'_, '_>]) -> Result<(), Rejection>;
}

/// One certificate of a path.
#[derive(Clone, Copy)]
pub(super) struct Step<'s, 'a> {
    pub(super) certificate: &'s Certificate<'a>,
    /// For all but the leaf.
    pub(super) signer: Option<&'s Candidate<'a>>,
    pub(super) place: Place,
}

/// The work that is left for one verification.
pub(super) struct Budget {
    signature_checks: usize,
    name_comparisons: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { signature_checks: MAX_SIGNATURE_CHECKS, name_comparisons: MAX_NAME_COMPARISONS }
    }
}

/// What a search may use, and what it leaves behind.
#[derive(Default)]
pub(super) struct Means<'m> {
    pub(super) budget: Budget,
    pub(super) memo: Option<&'m SignatureMemo>,
    pub(super) trace: Option<Trace>,
}

/// Certificates in a path, the leaf and the authority included.
pub(super) const MAX_PATH: usize = 8;
/// Signatures verified in search of a path.
pub(super) const MAX_SIGNATURE_CHECKS: usize = 100;
/// Names compared with name constraints in search of a path.
pub(super) const MAX_NAME_COMPARISONS: usize = 10_000;

/// Finds a path from `leaf`, whose own rules are the caller's, to an authority.
///
/// Failing that, the reason is that of the attempt which got furthest. The order of the pool's
/// certificates plays no part.
pub(super) fn find_path<'s, 'a>(
    leaf: &'s Certificate<'a>,
    pool: &'s Pool<'s, 'a>,
    rules: &'s dyn Rules,
    means: &'s mut Means<'_>,
) -> Result<Vec<Step<'s, 'a>>, Rejection> {
    let mut path = vec![Step { certificate: leaf, signer: None, place: Place::Leaf }];
    let furthest = (0, Obstacle::NoSigner(path[0]));
    let mut search = Search { pool, rules, means, refused: Vec::new(), furthest, checked: Vec::new() };
    match search.extend(&mut path) {
        Ok(true) => {
            search.remember();
            Ok(path)
        }
        Ok(false) => Err(search.reason()),
        Err(limit) => Err(Rejection::BudgetExhausted(limit)),
    }
}

struct Search<'s, 'a, 'm> {
    pool: &'s Pool<'s, 'a>,
    rules: &'s dyn Rules,
    means: &'s mut Means<'m>,
    refused: Vec<Refused<'s, 'a>>,
    /// Length of the longest path that led nowhere, and why.
    furthest: (usize, Obstacle<'s, 'a>),
    /// The signatures of CA certificates along the path of the moment.
    checked: Vec<CheckKey>,
}

/// What ended an attempt. Its message is composed only if it is the one to report.
enum Obstacle<'s, 'a> {
    NoSigner(Step<'s, 'a>),
    Fault(Step<'s, 'a>, Fault),
    Rejection(Rejection),
}

/// A signer that breaks a rule: not followed, but the reason if it did sign.
struct Refused<'s, 'a> {
    length: usize,
    signed: Step<'s, 'a>,
    signer: &'s Candidate<'a>,
    fault: Fault,
}

impl<'s, 'a> Search<'s, 'a, '_> {
    /// Looks for the signers of the last certificate of `path`, depth first; true once it is complete.
    fn extend(&mut self, path: &mut Vec<Step<'s, 'a>>) -> Result<bool, Limit> {
        let Some(last) = path.last().copied() else { return Ok(false) };
        self.note(path.len(), Obstacle::NoSigner(last));
        for signers in [Self::likely_signers, Self::unlikely_signers] {
            for signer in signers(self, last.certificate, path) {
                if path.len() == MAX_PATH {
                    self.note(path.len() + 1, Obstacle::Rejection(Rejection::BudgetExhausted(Limit::PathLength)));
                    return Ok(false);
                }
                if self.follow(path, last, signer)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Tries one signer of the last certificate of `path`.
    fn follow(
        &mut self,
        path: &mut Vec<Step<'s, 'a>>,
        last: Step<'s, 'a>,
        signer: &'s Candidate<'a>,
    ) -> Result<bool, Limit> {
        if let Err(fault) = self.rules.check_signer(signer, path) {
            self.trace(path, signer, || Outcome::Refused(fault.clone()));
            self.refused.push(Refused { length: path.len() + 1, signed: last, signer, fault });
            return Ok(false);
        }
        let checked = self.checked.len();
        if let Err(fault) = self.check_signature(last.certificate, &signer.certificate)? {
            self.trace(path, signer, || Outcome::DidNotSign(fault.clone()));
            self.note_signature(path.len(), last, &signer.certificate, fault);
            return Ok(false);
        }
        path.push(Step { certificate: &signer.certificate, signer: Some(signer), place: signer.place });
        let complete = match self.check_constraints(path)? {
            Err(rejection) => self.refuse(path, signer, rejection),
            Ok(()) if !signer.is_authority() => {
                self.trace(&path[1..], signer, || Outcome::Followed);
                self.extend(path)?
            }
            Ok(()) => match self.rules.check_path(path) {
                Err(rejection) => self.refuse(path, signer, rejection),
                Ok(()) => {
                    self.trace(&path[1..], signer, || Outcome::Accepted);
                    true
                }
            },
        };
        if !complete {
            path.pop();
            self.checked.truncate(checked);
        }
        Ok(complete)
    }

    fn refuse(&mut self, path: &[Step<'_, '_>], signer: &Candidate<'_>, rejection: Rejection) -> bool {
        self.trace(&path[1..], signer, || Outcome::Rejected(rejection.clone()));
        self.note(path.len() + 1, Obstacle::Rejection(rejection));
        false
    }

    /// Candidates with the right name, those first that the key identifiers point at, and authorities
    /// before others. One with another name that the identifiers point at can only explain.
    fn likely_signers(&self, signed: &Certificate<'a>, path: &[Step<'s, 'a>]) -> Vec<&'s Candidate<'a>> {
        self.ranked(path, |candidate| {
            let by_id = key_id_match(signed, &candidate.certificate);
            is_likely(signed, &candidate.certificate).then_some((by_id, !candidate.is_authority()))
        })
    }

    /// Candidates whose name is the right one, spelled differently: rare, and costly to find.
    fn unlikely_signers(&self, signed: &Certificate<'a>, path: &[Step<'s, 'a>]) -> Vec<&'s Candidate<'a>> {
        let Some(issuer) = relative_names(&signed.issuer) else { return Vec::new() };
        self.ranked(path, |candidate| {
            let is_another = !is_likely(signed, &candidate.certificate) && candidate.is_named(&issuer);
            is_another.then_some((key_id_match(signed, &candidate.certificate), !candidate.is_authority()))
        })
    }

    /// Candidates that have a rank, the lowest first, and of one rank in an order that nobody chooses.
    fn ranked<R: Ord>(
        &self,
        path: &[Step<'s, 'a>],
        rank: impl Fn(&Candidate<'_>) -> Option<R>,
    ) -> Vec<&'s Candidate<'a>> {
        let is_new = |candidate: &Certificate<'_>| {
            path.iter().all(|Step { certificate: known, .. }| {
                known.key.info != candidate.key.info || known.subject != candidate.subject
            })
        };
        let candidates = self.pool.candidates().filter_map(|candidate| Some((rank(candidate)?, candidate)));
        let mut ranked: Vec<_> = candidates.filter(|(_, candidate)| is_new(&candidate.certificate)).collect();
        ranked.sort_by(|(a, one), (b, other)| a.cmp(b).then_with(|| one.certificate.der.cmp(&other.certificate.der)));
        ranked.into_iter().map(|(_, candidate)| candidate).collect()
    }

    /// Spends one check, whether or not it is remembered: so memory can't change a verdict.
    fn check_signature(
        &mut self,
        signed: &Certificate<'_>,
        signer: &Certificate<'_>,
    ) -> Result<Result<(), Fault>, Limit> {
        if !signature::is_checkable(signed, signer) {
            return Ok(signature::check(signed, signer));
        }
        let left = self.means.budget.signature_checks.checked_sub(1).ok_or(Limit::SignatureChecks)?;
        self.means.budget.signature_checks = left;
        let key = match self.means.memo {
            Some(_) if signed.extensions.is_ca => CheckKey::new(signed, signer),
            _ => return Ok(signature::check(signed, signer)),
        };
        if self.means.memo.is_some_and(|memo| memo.knows(&key)) {
            return Ok(Ok(()));
        }
        let outcome = signature::check(signed, signer);
        if outcome.is_ok() {
            self.checked.push(key);
        }
        Ok(outcome)
    }

    /// Name constraints of the last certificate of `path` for all below it, but for self-issued ones
    /// between it and the leaf (RFC 5280 §6.1.3).
    fn check_constraints(&mut self, path: &[Step<'_, '_>]) -> Result<Result<(), Rejection>, Limit> {
        let Some((signer, below)) = path.split_last() else { return Ok(Ok(())) };
        let Some(constraints) = &signer.certificate.extensions.name_constraints else { return Ok(Ok(())) };
        let exempt = |step: &Step<'_, '_>| step.signer.is_some() && step.certificate.is_self_issued();
        for step in below.iter().filter(|step| !exempt(step)) {
            match constraints.check(step.certificate, &mut self.means.budget.name_comparisons) {
                Ok(()) => {}
                Err(ConstraintFault::Exhausted) => return Err(Limit::NameComparisons),
                Err(ConstraintFault::Name(fault)) => return Ok(Err(step.certificate.rejected(step.place, fault))),
                Err(ConstraintFault::Constraints(fault)) => {
                    return Ok(Err(signer.certificate.rejected(signer.place, fault)));
                }
            }
        }
        Ok(Ok(()))
    }

    /// A key that merely shares the name says nothing: only one that is named by its identifier, or an
    /// algorithm that can't be checked, is a reason of its own.
    fn note_signature(&mut self, length: usize, last: Step<'s, 'a>, signer: &Certificate<'_>, fault: Fault) {
        if fault != Fault::BadSignature || key_id_match(last.certificate, signer) == KeyIdMatch::Same {
            self.note(length + 1, Obstacle::Fault(last, fault));
        }
    }

    fn note(&mut self, length: usize, obstacle: Obstacle<'s, 'a>) {
        if length > self.furthest.0 {
            self.furthest = (length, obstacle);
        }
    }

    fn trace(&mut self, below: &[Step<'_, '_>], signer: &Candidate<'_>, outcome: impl FnOnce() -> Outcome) {
        if let Some(trace) = &mut self.means.trace {
            trace.add(below.len(), &signer.certificate, signer.place, outcome());
        }
    }

    fn remember(self) {
        if let Some(memo) = self.means.memo {
            memo.remember(self.checked);
        }
    }

    /// Why there is no path, spending what is left of the budget.
    fn reason(mut self) -> Rejection {
        let mut refused = std::mem::take(&mut self.refused);
        refused.sort_by_key(|refused| std::cmp::Reverse(refused.length));
        for Refused { length, signed, signer, fault } in refused {
            if length < self.furthest.0 {
                break;
            }
            match self.check_signature(signed.certificate, &signer.certificate) {
                Ok(Ok(())) => return signer.certificate.rejected(signer.place, fault),
                Ok(Err(_)) => {}
                Err(limit) => return Rejection::BudgetExhausted(limit),
            }
        }
        match self.furthest.1 {
            Obstacle::NoSigner(Step { certificate, place, .. }) => match self.pool.unreadable() {
                Some(unreadable) => unreadable.clone(),
                None => Rejection::UnknownAuthority { place, subject: certificate.subject_text() },
            },
            Obstacle::Fault(Step { certificate, place, .. }, fault) => certificate.rejected(place, fault),
            Obstacle::Rejection(rejection) => rejection,
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
    match (&signed.extensions.authority_key_id, &signer.extensions.subject_key_id) {
        (Some(wanted), Some(own)) if wanted == own => KeyIdMatch::Same,
        (Some(_), Some(_)) => KeyIdMatch::Different,
        _ => KeyIdMatch::Unknown,
    }
}

fn is_likely(signed: &Certificate<'_>, signer: &Certificate<'_>) -> bool {
    signer.subject == signed.issuer || key_id_match(signed, signer) == KeyIdMatch::Same
}

#[cfg(test)]
mod tests;
