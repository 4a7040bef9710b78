//! What each URL of a relationship served: they are compared, and never merged.

use litemap::LiteMap;
use serde::{Deserialize, Serialize};

use crate::spiffe::bundle::Bundle;
use crate::spiffe::document::render::digest;
use crate::spiffe::public_key::Fingerprint;

use super::parameters::Parameters;
use super::status::ErrorStatus;
use super::timestamp::Timestamp;

/// What is remembered of the URLs, also across a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Routes {
    /// The URL that last served the accepted contents; none if they came by hand.
    pub(crate) served_by: Option<String>,
    /// The URL whose document has the accepted number: another one that serves the same keys doesn't raise it.
    pub(crate) numbered_by: Option<String>,
    /// Of two that should be two routes, when last two of them answered.
    pub(crate) one_route: Option<OneRoute>,
    #[serde(skip_serializing_if = "LiteMap::is_empty")]
    routes: LiteMap<String, Route>,
}

/// What is remembered of one URL.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Route {
    /// The highest number it ever served.
    pub(crate) highest: Option<u64>,
    /// Its latest document.
    pub(crate) latest: Option<Latest>,
    /// When it was last asked.
    pub(crate) asked: Option<Timestamp>,
    /// Why it did not answer then, if it didn't.
    pub(crate) error: Option<ErrorStatus>,
}

/// A document in three words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Latest {
    pub(crate) sequence: Option<u64>,
    /// Digest of its authorities.
    pub(crate) contents: Fingerprint,
    pub(crate) digest: Fingerprint,
}

/// Two URLs that lead through one place, its host and port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OneRoute {
    pub(crate) urls: [String; 2],
    pub(crate) place: String,
}

/// Two URLs with other keys under the same number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Disagreement {
    pub(crate) sequence: u64,
    pub(crate) urls: [String; 2],
}

impl Routes {
    pub(crate) fn get(&self, url: &str) -> Option<&Route> {
        self.routes.get(url)
    }

    /// A fetch from there ended so.
    pub(crate) fn asked(&mut self, url: &str, error: Option<ErrorStatus>, now: Timestamp) {
        let route = self.routes.entry(url.to_owned()).or_default();
        (route.asked, route.error) = (Some(now), error);
    }

    /// It brought this document, whatever that comes to.
    pub(crate) fn served(&mut self, url: &str, document: &Bundle) {
        let route = self.routes.entry(url.to_owned()).or_default();
        let (sequence, contents) = (document.sequence(), document.authorities().digest());
        route.highest = route.highest.max(sequence);
        route.latest = Some(Latest { sequence, contents, digest: digest(document) });
    }

    /// Forgets what is no longer configured.
    pub(crate) fn narrow_to(&mut self, configured: &Parameters) {
        self.routes.retain(|url, _| configured.has(url));
        self.served_by.take_if(|url| !configured.has(url));
        self.numbered_by.take_if(|url| !configured.has(url));
        self.one_route.take_if(|one| !one.urls.iter().all(|url| configured.has(url)));
    }

    /// The URLs whose latest document is this one.
    pub(crate) fn servers_of(&self, document: Fingerprint) -> Vec<String> {
        let serves = |route: &Route| route.latest.is_some_and(|latest| latest.digest == document);
        self.routes.iter().filter(|(_, route)| serves(route)).map(|(url, _)| url.clone()).collect()
    }

    /// Whether the accepted number is another URL's than this.
    pub(crate) fn is_another(&self, url: &str) -> bool {
        self.numbered_by.as_ref().is_some_and(|numbered_by| numbered_by != url)
    }

    /// Whether a URL that serves a number lower than the accepted one only lags: another URL served that one,
    /// and its own number did not go back.
    pub(crate) fn lags(&self, url: &str, sequence: u64) -> bool {
        let own = self.get(url).and_then(|route| route.highest);
        self.is_another(url) && own.is_none_or(|highest| highest <= sequence)
    }

    /// Each two URLs whose latest documents have the same number and other keys.
    pub(crate) fn disagreements(&self) -> Vec<Disagreement> {
        let numbered = |(url, route): (&String, &Route)| {
            let latest = route.latest?;
            Some((url.clone(), latest.sequence?, latest.contents))
        };
        let numbered: Vec<_> = self.routes.iter().filter_map(numbered).collect();
        let pairs = numbered.iter().enumerate().flat_map(|(at, one)| numbered[..at].iter().map(move |two| (two, one)));
        let disagree = pairs.filter(|(one, two)| one.1 == two.1 && one.2 != two.2);
        disagree.map(|(one, two)| Disagreement { sequence: one.1, urls: [one.0.clone(), two.0.clone()] }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spiffe::fixtures::FIXTURES;

    fn bundle(sequence: u64, key: usize) -> Bundle {
        Bundle::new("b".parse().unwrap(), [FIXTURES[key].x509()].into_iter().collect(), Some(sequence), None)
    }

    #[test]
    fn a_lower_number_lags_only_where_it_never_was_higher_and_another_url_served_the_accepted_one() {
        for (name, numbered_by, seen, lags) in [
            ("it served as much before", Some("1"), vec![7], true),
            ("it served less before", Some("1"), vec![6], true),
            ("it was never asked", Some("1"), vec![], true),
            ("it goes back", Some("1"), vec![8], false),
            ("it went back before", Some("1"), vec![8, 7], false),
            ("what is accepted came from it", Some("2"), vec![], false),
            ("what is accepted came by hand", None, vec![], false),
        ] {
            let mut routes = Routes { numbered_by: numbered_by.map(str::to_owned), ..Routes::default() };
            seen.iter().for_each(|sequence| routes.served("2", &bundle(*sequence, 1)));
            assert_eq!(routes.lags("2", 7), lags, "{name}");
        }
    }

    #[test]
    fn seq_06_other_keys_under_the_same_number_disagree() {
        for (name, one, two, expected) in [
            ("same", (7, 1), (7, 1), None),
            ("other number", (7, 1), (8, 2), None),
            ("other keys", (7, 1), (7, 2), Some(7)),
        ] {
            let mut routes = Routes::default();
            routes.served("1", &bundle(6, 3));
            routes.served("1", &bundle(one.0, one.1));
            routes.served("2", &bundle(two.0, two.1));
            routes.asked("3", None, Timestamp::default());
            let found = routes.disagreements();
            assert_eq!(found.iter().map(|found| found.sequence).next(), expected, "{name}");
            assert!(found.iter().all(|found| found.urls == ["1", "2"]), "{name}: {found:?}");
        }
    }
}
