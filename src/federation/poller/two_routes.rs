//! A poll of two URLs, of which one alone can take keys away and none can bring any.

use tokio::time::Instant;
use tracing::warn;

use crate::federation::acceptance;
use crate::federation::endpoint_client::{FetchError, FetchRecord, Proof};
use crate::federation::hold::Refusal;
use crate::federation::offered::{Offered, Second};
use crate::federation::outcome::{PollError, PollOutcome};
use crate::federation::routes::OneRoute;
use crate::spiffe::document::BundleDocument;

use super::Poller;
use super::poll::{Answer, NEXT_URL_UNTIL};

/// What a URL served.
pub(super) struct Served {
    pub(super) record: FetchRecord,
    pub(super) document: BundleDocument,
}

/// What a document's number says of both URLs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Both have reached it.
    Both,
    /// So they have, and the other one's follows.
    Older,
    /// The other one has it for other keys, or by the same route, and follows.
    Contradicted,
    /// One URL alone has.
    Alone,
}

impl Served {
    fn sequence(&self) -> Option<u64> {
        self.document.bundle().sequence()
    }

    fn has_keys_of(&self, other: &Self) -> bool {
        self.document.bundle().authorities() == other.document.bundle().authorities()
    }
}

impl Poller {
    /// Asks the known URLs in order until two have brought a document by routes of their own. Entity tags would leave open which keys a URL
    /// serves, so none is sent.
    pub(super) async fn ask_two(&mut self, proof: &Proof) -> Result<PollOutcome, PollError> {
        let relationship = self.relationship.clone();
        let (mut served, mut pair, mut failed) = (Vec::<Served>::new(), None, Vec::new());
        let end = Instant::now() + NEXT_URL_UNTIL;
        let known: Vec<_> = relationship.endpoint.urls().filter(|url| !self.is_added(url)).collect();
        for url in known {
            match self.fetch(url, proof, None).await {
                (record, Ok(Answer::Document(document, _))) => {
                    let apart = served.iter().position(|other| other.record.meets(&record).is_none());
                    pair = apart.map(|other| [other, served.len()]);
                    served.push(Served { record, document });
                }
                (_, Ok(Answer::NotModified(_))) => {}
                (record, Err(error)) => {
                    let outcome = Err(error);
                    self.told(&record, &outcome);
                    failed.extend(outcome.err().map(|error| (record.url, error)));
                }
            }
            if pair.is_some() || Instant::now() >= end {
                break;
            }
        }
        match served.as_slice() {
            [_, _, ..] => self.judge_pair(&served, pair.unwrap_or([0, 1])).await,
            [one] => {
                let reasons = failed.iter().map(|(url, error)| format!("{url} does not answer ({})", error.code()));
                let reason = reasons.reduce(|all, one| format!("{all}, {one}"));
                let reason = reason.unwrap_or_else(|| "no other is known yet".into());
                self.judge_one(one, Second::Missing(&reason), Place::Alone).await
            }
            _ => {
                Err(failed.into_iter().next().map_or_else(|| FetchError::NotModifiedUnasked.into(), |(_, error)| error))
            }
        }
    }

    /// Judges two of them, and remembers the others.
    async fn judge_pair(&mut self, served: &[Served], [one, two]: [usize; 2]) -> Result<PollOutcome, PollError> {
        for (at, other) in served.iter().enumerate() {
            if ![one, two].contains(&at) {
                self.compare(other);
            }
        }
        self.judge_both(&served[one], &served[two]).await
    }

    /// Judges both where they differ, the older one first, so that neither can keep a key that the other takes away,
    /// or stand in its way with a number or a document that has to wait.
    pub(super) async fn judge_both(&mut self, first: &Served, second: &Served) -> Result<PollOutcome, PollError> {
        let is_sorted = first.sequence() <= second.sequence();
        let (older, newer) = if is_sorted { (first, second) } else { (second, first) };
        let is_same = older.sequence() == newer.sequence();
        let one_is_enough = is_same && older.has_keys_of(newer);
        let lags = older.sequence() < self.known.accepted.memory.sequence;
        let meeting = first.record.meets(&second.record);
        self.note(first, second, meeting.as_ref());
        let is_one_route = meeting.is_some();
        let word_of = |served| meeting.clone().map_or_else(|| self.word_of(served), Word::SameRoute);
        let (word_of_older, word_of_newer) = (word_of(older), word_of(newer));
        let (by_older, by_newer) = (word_of_older.as_second(older), word_of_newer.as_second(newer));
        if lags {
            self.compare(older);
            return self.judge_one(newer, by_older, Place::Alone).await;
        }
        if one_is_enough {
            self.compare(newer);
            let place = if is_one_route { Place::Alone } else { Place::Both };
            return self.judge_one(older, by_newer, place).await;
        }
        // Two with other keys under one number: neither of them sets the baseline.
        let is_contradicted = is_same && older.sequence().is_some();
        let place = if is_contradicted || is_one_route { Place::Contradicted } else { Place::Older };
        let since = self.known.accepted.memory.emptied.clone();
        let before = self.judge_one(older, by_newer, place).await;
        let emptied = std::mem::replace(&mut self.memory().emptied, since);
        let last = self.judge_one(newer, by_older, Place::Alone).await;
        // What one URL empties stays for it to repeat, whatever the other serves.
        let memory = self.memory();
        memory.emptied = memory.emptied.take().or(emptied);
        last.or(before)
    }

    /// Says once that two URLs are one route, and remembers it until two others have answered.
    fn note(&mut self, first: &Served, second: &Served, meeting: Option<&String>) {
        let urls = [first, second].map(|served| served.record.url.clone());
        let now = meeting.map(|place| OneRoute { urls, place: place.clone() });
        let known = self.known.accepted.memory.routes.one_route.as_ref();
        if let Some(OneRoute { urls: [one, two], place }) = now.as_ref().filter(|now| known != Some(*now)) {
            let trust_domain = &self.relationship.trust_domain;
            warn!(%trust_domain, code = "one-route", one, two, place, "two URLs are one route");
        }
        self.memory().routes.one_route = now;
    }

    async fn judge_one(&mut self, served: &Served, second: Second<'_>, place: Place) -> Result<PollOutcome, PollError> {
        let Served { record, document } = served;
        let is_followed = matches!(place, Place::Older | Place::Contradicted);
        let is_baseline = matches!(place, Place::Older | Place::Both);
        let offered = Offered { document, url: &record.url, second, is_followed, is_baseline };
        let outcome = self.consider(record, &offered, None).await;
        self.told(record, &outcome);
        outcome
    }

    /// Remembers a document that isn't judged.
    fn compare(&mut self, served: &Served) {
        self.known = self.known.saw(&served.record.url, served.document.bundle()).into();
        self.told(&served.record, &Ok(PollOutcome::Compared));
    }

    /// Whether a document can vouch for keys: not one that would be refused.
    fn word_of(&self, served: &Served) -> Word {
        let domain = &self.relationship.trust_domain;
        let refusal = acceptance::refuse(domain, &self.known.accepted, served.document.bundle()).err();
        let reason = |refusal: Refusal| format!("what {} serves is refused ({})", served.record.url, refusal.code());
        refusal.map_or(Word::Counts, |refusal| Word::Refused(reason(refusal)))
    }
}

/// What a document's word for another one's keys is worth.
enum Word {
    Counts,
    /// Nothing, for this reason.
    Refused(String),
    /// Nothing, because both came through this place.
    SameRoute(String),
}

impl Word {
    fn as_second<'a>(&'a self, served: &'a Served) -> Second<'a> {
        match self {
            Self::Counts => Second::Serves(&served.record.url, served.document.bundle()),
            Self::Refused(reason) => Second::Missing(reason),
            Self::SameRoute(place) => Second::Meets(&served.record.url, place),
        }
    }
}
