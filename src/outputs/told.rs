//! What was said of domains and keys that outputs don't show.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::warn;

use crate::spiffe::trust_domain::TrustDomain;

use super::selection::{Lack, Selection};

type Lacking = BTreeMap<TrustDomain, Lack>;

/// What each selection lacked when it was looked at last, however many follow it and since when. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Told(Arc<Mutex<BTreeMap<Selection, Lacking>>>);

impl Told {
    /// Logs what has not been said of this selection, since it last lacked nothing of the kind.
    pub(super) fn tell(&self, selection: &Selection, lacking: &Lacking) {
        for (trust_domain, lack) in self.news(selection, lacking) {
            warn!(%trust_domain, code = lack.code(), "outputs don't show this domain, or not all of its keys");
        }
    }

    fn news<'l>(&self, selection: &Selection, lacking: &'l Lacking) -> Vec<(&'l TrustDomain, &'l Lack)> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match lacking.is_empty() {
            true => told.remove(selection),
            false => told.insert(selection.clone(), lacking.clone()),
        };
        let before = before.unwrap_or_default();
        lacking.iter().filter(|(trust_domain, lack)| before.get(trust_domain) != Some(lack)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lacks_is_told_once_whoever_follows_and_again_when_it_comes_back() {
        let (told, all) = (Told::default(), Selection::default());
        let one = Selection::only(&"a.example".parse().unwrap());
        let lacking = |lacks: &[(&str, Lack)]| -> Lacking {
            lacks.iter().map(|(name, lack)| (name.parse().unwrap(), *lack)).collect()
        };
        let says = |selection: &Selection, lacks: &[(&str, Lack)]| {
            let lacking = lacking(lacks);
            let news = told.news(selection, &lacking).into_iter();
            news.map(|(name, lack)| format!("{name} {}", lack.code())).collect::<Vec<_>>()
        };
        let both = [("a.example", Lack::Unreadable), ("b.example", Lack::Stale)];
        assert_eq!(says(&all, &both), ["a.example unreadable-authority-not-shown", "b.example bundle-stale"]);
        assert_eq!(says(&all, &both), [""; 0]);
        assert_eq!(says(&one, &both[..1]), ["a.example unreadable-authority-not-shown"]);
        assert_eq!(says(&all, &[("a.example", Lack::Shared)]), ["a.example shared-authority-not-shown"]);
        assert_eq!(says(&all, &[]), [""; 0]);
        assert_eq!(says(&all, &both[1..]), ["b.example bundle-stale"]);
    }
}
