//! A fetched document on its way to acceptance: where it comes from, and what a second URL says of its keys.

use crate::spiffe::authority::Authority;
use crate::spiffe::bundle::Bundle;
use crate::spiffe::document::BundleDocument;

use super::hold::Hold;

/// A document, and where it comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offered<'a> {
    pub(crate) document: &'a BundleDocument,
    /// The configured URL at which its fetch began.
    pub(crate) url: &'a str,
    /// What another URL serves at the same time.
    pub(crate) second: Second<'a>,
    /// A newer one of the same poll is judged after it: what this one holds need not wait.
    pub(crate) is_followed: bool,
    /// Whether its number becomes the baseline: of two routes, only one that both have reached does, or whoever has
    /// one of them in hand could make the other's documents look old.
    pub(crate) is_baseline: bool,
}

/// What another URL has to say of new keys.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Second<'a> {
    /// One URL is enough.
    NotNeeded,
    /// No other URL brought anything that counts, for this reason.
    Missing(&'a str),
    /// It leads, as the document's own URL does, through this place.
    Meets(&'a str, &'a str),
    /// It serves this.
    Serves(&'a str, &'a Bundle),
}

impl<'a> Offered<'a> {
    /// The only document of a poll.
    pub(crate) fn alone(document: &'a BundleDocument, url: &'a str) -> Self {
        Self { document, url, second: Second::NotNeeded, is_followed: false, is_baseline: true }
    }

    /// Whether it comes by one of two routes, under a number higher than the accepted one.
    pub(super) fn has_news_of_two(&self, accepted: Option<u64>) -> bool {
        !matches!(self.second, Second::NotNeeded) && self.document.bundle().sequence() > accepted
    }

    /// Why a new authority doesn't count by what the second URL says. A number that both have for other keys makes
    /// neither of them right.
    pub(super) fn lacks(&self, authority: &Authority) -> Option<Hold> {
        let bundle = self.document.bundle();
        match self.second {
            Second::NotNeeded => None,
            Second::Missing(reason) => Some(Hold::SecondRoute { lacking: reason.to_owned() }),
            Second::Meets(other, place) => {
                let (url, other, place) = (self.url.to_owned(), other.to_owned(), place.to_owned());
                Some(Hold::OneRoute { url, other, place })
            }
            Second::Serves(other, theirs) => match bundle.sequence().filter(|_| theirs.sequence() == bundle.sequence())
            {
                Some(sequence) if theirs.authorities().digest() != bundle.authorities().digest() => {
                    Some(Hold::EndpointsDisagree { sequence, url: self.url.to_owned(), other: other.to_owned() })
                }
                _ if theirs.authorities().contains(&authority.id()) => None,
                _ => Some(Hold::SecondRoute { lacking: format!("{other} lacks {}", authority.id()) }),
            },
        }
    }
}
