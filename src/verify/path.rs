//! RFC 5280 path building and validation against the authorities of one bundle, with a work budget.

use super::budget::Budget;
use super::certificate::Certificate;
use super::explain::{Outcome, Trace};
use super::failures::{Failures, Obstacle, Progress};
use super::memo::{CheckKey, SignatureMemo};
use super::name_constraints;
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

/// What a search may use, and what it leaves behind.
#[derive(Default)]
pub(super) struct Means<'m> {
    pub(super) budget: Budget,
    pub(super) memo: Option<&'m SignatureMemo>,
    pub(super) trace: Option<Trace>,
}

impl Means<'_> {
    /// Spends one check, whether or not it is remembered: so memory can't change a verdict. What it proved of CA
    /// certificates is added to `checked`.
    fn check_signature(
        &mut self,
        signed: &Certificate<'_>,
        signer: &Candidate<'_>,
        checked: &mut Vec<CheckKey>,
    ) -> Result<Result<(), Fault>, Limit> {
        if !signature::is_checkable(signed, &signer.certificate) {
            return Ok(signer.check_signature_of(signed));
        }
        self.budget.take_signature_check()?;
        let key = match self.memo {
            Some(_) if signed.extensions.is_ca => CheckKey::new(signed, &signer.certificate),
            _ => return Ok(signer.check_signature_of(signed)),
        };
        if self.memo.is_some_and(|memo| memo.knows(&key)) {
            return Ok(Ok(()));
        }
        let outcome = signer.check_signature_of(signed);
        if outcome.is_ok() {
            checked.push(key);
        }
        Ok(outcome)
    }
}

/// Finds a path from `leaf`, whose own rules are the caller's, to an authority.
///
/// Failing that, the reason is that of the attempt which came nearest. The order of the pool's certificates plays no
/// part.
pub(super) fn find_path<'s, 'a>(
    leaf: &'s Certificate<'a>,
    pool: &'s Pool<'s, 'a>,
    rules: &'s dyn Rules,
    means: &'s mut Means<'_>,
) -> Result<Vec<Step<'s, 'a>>, Rejection> {
    let (mut path, mut search) = Search::new(leaf, pool, rules, means);
    match search.extend(&mut path) {
        Ok(true) => {
            search.remember();
            Ok(path)
        }
        Ok(false) => Err(search.reason()),
        Err(limit) => Err(Rejection::BudgetExhausted(limit)),
    }
}

/// Whether there is one; the search leaves no trace.
pub(super) fn has_path<'s, 'a>(
    leaf: &'s Certificate<'a>,
    pool: &'s Pool<'s, 'a>,
    rules: &'s dyn Rules,
    means: &'s mut Means<'_>,
) -> bool {
    let trace = means.trace.take();
    let (mut path, mut search) = Search::new(leaf, pool, rules, means);
    let found = search.extend(&mut path);
    search.means.trace = trace;
    found == Ok(true)
}

struct Search<'s, 'a, 'm> {
    pool: &'s Pool<'s, 'a>,
    rules: &'s dyn Rules,
    means: &'s mut Means<'m>,
    failures: Failures<'s, 'a>,
    /// The signatures of CA certificates along the path of the moment.
    checked: Vec<CheckKey>,
}

impl<'s, 'a, 'm> Search<'s, 'a, 'm> {
    fn new(
        leaf: &'s Certificate<'a>,
        pool: &'s Pool<'s, 'a>,
        rules: &'s dyn Rules,
        means: &'s mut Means<'m>,
    ) -> (Vec<Step<'s, 'a>>, Self) {
        let leaf = Step { certificate: leaf, signer: None, place: Place::Leaf };
        (vec![leaf], Self { pool, rules, means, failures: Failures::new(leaf), checked: Vec::new() })
    }

    /// Looks for the signers of the last certificate of `path`, depth first; true once it is complete.
    fn extend(&mut self, path: &mut Vec<Step<'s, 'a>>) -> Result<bool, Limit> {
        let Some(last) = path.last().copied() else { return Ok(false) };
        self.failures.note(Progress::nowhere(path.len()), Obstacle::NoSigner(last));
        for signers in [Pool::likely_signers, Pool::unlikely_signers] {
            for signer in signers(self.pool, last.certificate, path) {
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
        self.means.budget.take_step(signer.certificate.extensions.names.len())?;
        let length = path.len() + 1;
        if length > MAX_PATH {
            self.failures.refuse(length, last, signer, Obstacle::TooLong);
            return Ok(false);
        }
        let step = Step { certificate: &signer.certificate, signer: Some(signer), place: signer.place };
        if let Err(fault) = self.rules.check_signer(signer, path) {
            self.trace(path, signer, || Outcome::Refused(fault.clone()));
            self.failures.refuse(length, last, signer, Obstacle::Fault(step, fault));
            return Ok(false);
        }
        let checked = self.checked.len();
        if let Err(fault) = self.means.check_signature(last.certificate, signer, &mut self.checked)? {
            self.trace(path, signer, || Outcome::DidNotSign(fault.clone()));
            self.failures.note_signature(length, last, signer, fault);
            return Ok(false);
        }
        path.push(step);
        let complete = match signer.is_authority() {
            true => self.complete(path, signer)?,
            false => {
                self.trace(&path[1..], signer, || Outcome::Followed);
                self.extend(path)?
            }
        };
        if !complete {
            path.pop();
            self.checked.truncate(checked);
        }
        Ok(complete)
    }

    /// Judges a path that has reached an authority. Only here name constraints are read: those of strangers cost
    /// nothing.
    fn complete(&mut self, path: &[Step<'s, 'a>], authority: &Candidate<'_>) -> Result<bool, Limit> {
        let obstacle = match name_constraints::check_path(path, &mut self.means.budget)? {
            Err((step, fault)) => Obstacle::Fault(step, fault),
            Ok(()) => match self.rules.check_path(path) {
                Err(rejection) => Obstacle::Rejection(rejection),
                Ok(()) => {
                    self.trace(&path[1..], authority, || Outcome::Accepted);
                    return Ok(true);
                }
            },
        };
        self.trace(&path[1..], authority, || Outcome::Rejected(obstacle.clone().into_rejection(self.pool)));
        self.failures.note(Progress::anchored(path.len()), obstacle);
        Ok(false)
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
    fn reason(self) -> Rejection {
        let Self { pool, means, failures, mut checked, .. } = self;
        failures.into_reason(pool, |signed, signer| Ok(means.check_signature(signed, signer, &mut checked)?.is_ok()))
    }
}

/// Certificates in a path, the leaf and the authority included.
const MAX_PATH: usize = 8;

#[cfg(test)]
mod tests;
