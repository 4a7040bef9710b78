//! Why there is no path: of all attempts the one that came nearest.

use super::certificate::Certificate;
use super::path::Step;
use super::pool::{Candidate, Pool};
use super::ranking::{KeyIdMatch, key_id_match};
use super::rejection::{Fault, Limit, Rejection};

/// How near an attempt came to acceptance, the nearest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Progress {
    reach: Reach,
    /// Certificates in the path, the one included that ended it.
    length: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    Nowhere,
    /// An authority, which can't be in the path.
    Authority,
    /// An authority, by a path whose signatures all hold.
    Anchored,
}

/// What ended an attempt. Its message is composed only if it is the one to report.
#[derive(Clone)]
pub(super) enum Obstacle<'s, 'a> {
    NoSigner(Step<'s, 'a>),
    Fault(Step<'s, 'a>, Fault),
    TooLong,
    Rejection(Rejection),
}

/// A signer that was not followed: the reason if it did sign.
struct Refused<'s, 'a> {
    progress: Progress,
    signed: Step<'s, 'a>,
    signer: &'s Candidate<'a>,
    obstacle: Obstacle<'s, 'a>,
}

/// The attempts that failed, as far as they may be the reason.
pub(super) struct Failures<'s, 'a> {
    nearest: (Progress, Obstacle<'s, 'a>),
    /// None further from acceptance than the nearest.
    refused: Vec<Refused<'s, 'a>>,
}

impl Progress {
    /// A path of so many certificates that nothing goes on.
    pub(super) fn nowhere(length: usize) -> Self {
        Self { reach: Reach::Nowhere, length }
    }

    /// One that ends at a signer which can't be in it.
    pub(super) fn at(signer: &Candidate<'_>, length: usize) -> Self {
        let reach = if signer.is_authority() { Reach::Authority } else { Reach::Nowhere };
        Self { reach, length }
    }

    /// One that is complete.
    pub(super) fn anchored(length: usize) -> Self {
        Self { reach: Reach::Anchored, length }
    }
}

impl<'s, 'a> Failures<'s, 'a> {
    /// No attempt yet.
    pub(super) fn new(leaf: Step<'s, 'a>) -> Self {
        Self { nearest: (Progress::nowhere(0), Obstacle::NoSigner(leaf)), refused: Vec::new() }
    }

    pub(super) fn note(&mut self, progress: Progress, obstacle: Obstacle<'s, 'a>) {
        if progress > self.nearest.0 {
            self.nearest = (progress, obstacle);
        }
    }

    /// Notes a signer that breaks a rule, or comes too late, before it is known whether it signed.
    pub(super) fn refuse(
        &mut self,
        length: usize,
        signed: Step<'s, 'a>,
        signer: &'s Candidate<'a>,
        obstacle: Obstacle<'s, 'a>,
    ) {
        let progress = Progress::at(signer, length);
        if progress >= self.nearest.0 {
            self.refused.push(Refused { progress, signed, signer, obstacle });
        }
    }

    /// A key that merely shares the name says nothing: only one that is named by its identifier, or an algorithm
    /// that nobody could check, is a reason of its own.
    pub(super) fn note_signature(&mut self, length: usize, signed: Step<'s, 'a>, signer: &Candidate<'_>, fault: Fault) {
        let is_named = key_id_match(signed.certificate, &signer.certificate) == KeyIdMatch::Same;
        if fault != Fault::BadSignature || is_named {
            self.note(Progress::at(signer, length), Obstacle::Fault(signed, fault));
        }
    }

    /// The reason to report; `has_signed` checks a signature while there is work left for it.
    pub(super) fn into_reason(
        mut self,
        pool: &Pool<'s, 'a>,
        mut has_signed: impl FnMut(&Certificate<'_>, &Candidate<'_>) -> Result<bool, Limit>,
    ) -> Rejection {
        self.refused.sort_by_key(|refused| std::cmp::Reverse(refused.progress));
        for Refused { progress, signed, signer, obstacle } in self.refused {
            if progress < self.nearest.0 {
                break;
            }
            let has_signed = match signer.key_strength() {
                Ok(_) => has_signed(signed.certificate, signer),
                Err(_) => Ok(pool.is_named_signer(signed.certificate, signer)),
            };
            match has_signed {
                Ok(true) => return obstacle.into_rejection(pool),
                Ok(false) => {}
                Err(_) => break,
            }
        }
        self.nearest.1.into_rejection(pool)
    }
}

impl Obstacle<'_, '_> {
    pub(super) fn into_rejection(self, pool: &Pool<'_, '_>) -> Rejection {
        match self {
            Self::NoSigner(Step { certificate, place, .. }) => match pool.unreadable() {
                Some(unreadable) => unreadable,
                None => Rejection::UnknownAuthority { place, subject: certificate.subject.text() },
            },
            Self::Fault(Step { certificate, place, .. }, fault) => certificate.rejected(place, fault),
            Self::TooLong => Rejection::BudgetExhausted(Limit::PathLength),
            Self::Rejection(rejection) => rejection,
        }
    }
}

#[cfg(test)]
mod tests;
