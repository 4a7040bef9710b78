//! Answers of one server in turn: what one of them lacks is gone only when the next lacks it too.

use crate::spiffe::bundle::Authorities;

use super::source::Found;

/// The newest answer that was of use. Failures in between count for nothing.
#[derive(Default)]
pub(super) struct Answers {
    newest: Option<Authorities>,
    in_doubt: bool,
}

impl Answers {
    /// What the server holds by this answer and the one before: several behind one name may know different keys.
    pub(super) fn with(&mut self, found: Found) -> Found {
        let newest: Authorities = found.authorities.into_iter().collect();
        let before = self.newest.replace(newest.clone());
        let is_first = before.is_none();
        let before = before.unwrap_or_default();
        let missing: Vec<_> = before.iter().filter(|authority| !newest.contains(&authority.id())).cloned().collect();
        self.in_doubt = is_first || !missing.is_empty();
        Found { authorities: newest.iter().cloned().chain(missing).collect(), ignored: found.ignored }
    }

    /// Whether the next answer may take keys away.
    pub(super) fn are_in_doubt(&self) -> bool {
        self.in_doubt
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spiffe::fixtures::FIXTURES;

    #[test]
    fn a_key_is_there_at_once_and_gone_when_two_answers_in_turn_lack_it() {
        let mut answers = Answers::default();
        for (answer, expected, in_doubt) in [
            (&[1, 2][..], &[1, 2][..], true),
            (&[1], &[1, 2], true),
            (&[1, 2], &[1, 2], false),
            (&[1, 3], &[1, 2, 3], true),
            (&[1, 3], &[1, 3], false),
            (&[4], &[1, 3, 4], true),
            (&[4], &[4], false),
        ] {
            let keys = |of: &[usize]| of.iter().map(|fixture| FIXTURES[*fixture].x509()).collect::<Vec<_>>();
            let found = answers.with(Found { authorities: keys(answer), ignored: Vec::new() });
            let found: Authorities = found.authorities.into_iter().collect();
            let expected: Authorities = keys(expected).into_iter().collect();
            assert_eq!((found, answers.are_in_doubt()), (expected, in_doubt), "{answer:?}");
        }
    }
}
