//! How much work one verification may be.

use super::rejection::Limit;

/// The work that is left for one verification.
pub(super) struct Budget {
    steps: usize,
    signature_checks: usize,
    name_comparisons: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { steps: MAX_STEPS, signature_checks: MAX_SIGNATURE_CHECKS, name_comparisons: MAX_NAME_COMPARISONS }
    }
}

impl Budget {
    /// A signer is tried that has so many names.
    pub(super) fn take_step(&mut self, names: usize) -> Result<(), Limit> {
        take(&mut self.steps, 1 + names / NAMES_IN_A_STEP, Limit::Steps)
    }

    pub(super) fn take_signature_check(&mut self) -> Result<(), Limit> {
        take(&mut self.signature_checks, 1, Limit::SignatureChecks)
    }

    /// A subtree is read, or compared with a name; of directory names, so many bytes.
    pub(super) fn take_comparison(&mut self, bytes: usize) -> Result<(), Limit> {
        take(&mut self.name_comparisons, 1 + bytes / BYTES_IN_A_COMPARISON, Limit::NameComparisons)
    }

    /// Steps, signature checks and comparisons so far.
    #[cfg(test)]
    pub(super) fn spent(&self) -> (usize, usize, usize) {
        (
            MAX_STEPS - self.steps,
            MAX_SIGNATURE_CHECKS - self.signature_checks,
            MAX_NAME_COMPARISONS - self.name_comparisons,
        )
    }
}

fn take(left: &mut usize, work: usize, limit: Limit) -> Result<(), Limit> {
    *left = left.checked_sub(work).ok_or(limit)?;
    Ok(())
}

/// Signers tried, each time that they are.
pub(super) const MAX_STEPS: usize = 2_500;
/// Signatures verified in search of a path.
pub(super) const MAX_SIGNATURE_CHECKS: usize = 100;
/// Subtrees of name constraints read, and names compared with them.
pub(super) const MAX_NAME_COMPARISONS: usize = 10_000;

/// More than any honest signer has; beyond, each as many are a step more.
const NAMES_IN_A_STEP: usize = 8;
/// Directory names are compared at a cost that grows with them.
const BYTES_IN_A_COMPARISON: usize = 64;

#[cfg(test)]
mod tests;
