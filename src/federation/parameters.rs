//! Under which parameters a bundle came, and under which the next one is fetched (REL-10).

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use crate::spiffe::spiffe_id::SpiffeId;
use crate::spiffe::trust_domain::TrustDomain;

use super::relationship::{BundleEndpoint, EndpointProfile};

/// Profile, endpoint ID and URLs of a bundle endpoint: a bundle accepted under others says nothing for these.
///
/// As text they are words: `https_web https://b.example/`, `https_spiffe spiffe://b.example/e https://b.example/`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parameters {
    /// The profile's name and what it authenticates.
    authentication: String,
    /// In the order in which they are asked.
    urls: Vec<String>,
}

/// What a URL is to the accepted bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The bundle came under it, or it served the same since, or a person approved what it served.
    Known,
    /// It was added beside one that is known.
    Added,
    /// Nothing of what is configured is known.
    Replaced,
}

impl Parameters {
    pub(crate) fn of(endpoint: &BundleEndpoint) -> Self {
        let authentication = match &endpoint.profile {
            EndpointProfile::HttpsWeb { .. } => "https_web".to_owned(),
            EndpointProfile::HttpsSpiffe { endpoint_id } => format!("https_spiffe {endpoint_id}"),
        };
        Self { authentication, urls: endpoint.urls().map(ToString::to_string).collect() }
    }

    /// The URLs, in order.
    pub(crate) fn urls(&self) -> &[String] {
        &self.urls
    }

    pub(crate) fn has(&self, url: &str) -> bool {
        self.urls.iter().any(|known| known == url)
    }

    /// What `url`, one of `configured`, is to a bundle that came under these.
    pub(crate) fn standing(&self, configured: &Self, url: &str) -> Standing {
        match self.shares_with(configured) {
            true if self.has(url) => Standing::Known,
            true => Standing::Added,
            false => Standing::Replaced,
        }
    }

    /// The same without the URLs that are no longer configured, unless none is: who takes a change back finds all
    /// as it was.
    pub(crate) fn narrowed_to(mut self, configured: &Self) -> Self {
        if self.shares_with(configured) {
            self.urls.retain(|url| configured.has(url));
        }
        self
    }

    /// The same with one more URL of `configured`; nothing is left of others.
    pub(crate) fn with(self, configured: &Self, url: &str) -> Self {
        let mut next = match self.shares_with(configured) {
            true => self,
            false => Self { authentication: configured.authentication.clone(), urls: Vec::new() },
        };
        if !next.has(url) {
            next.urls.push(url.to_owned());
        }
        next
    }

    /// The trust domain of the endpoint that they authenticate by its SPIFFE ID.
    pub(crate) fn endpoint_domain(&self) -> Option<TrustDomain> {
        let id: SpiffeId = self.authentication.strip_prefix("https_spiffe ")?.parse().ok()?;
        Some(id.trust_domain().clone())
    }

    fn shares_with(&self, configured: &Self) -> bool {
        self.authentication == configured.authentication && self.urls.iter().any(|url| configured.has(url))
    }
}

impl FromStr for Parameters {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let words = || text.split(' ');
        let is_url = |word: &&str| word.starts_with("https://");
        let authentication: Vec<_> = words().take_while(|word| !is_url(word)).collect();
        let urls = words().filter(is_url).map(str::to_owned).collect();
        Ok(Self { authentication: authentication.join(" "), urls })
    }
}

impl fmt::Display for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.authentication)?;
        self.urls.iter().try_for_each(|url| write!(f, " {url}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(text: &str) -> Parameters {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_written_is_read_again() {
        for text in ["https_web https://b/", "https_spiffe spiffe://b/e https://b/ https://c:8443/x?y=z", ""] {
            assert_eq!(parameters(text).to_string(), text);
        }
        assert_eq!(parameters("https_spiffe spiffe://b/e https://b/").urls(), ["https://b/"]);
    }

    #[test]
    fn fec_13_they_tell_in_whose_domain_the_endpoint_is_that_they_authenticate() {
        for (text, expected) in [
            ("https_web https://b/", None),
            ("https_spiffe spiffe://b.example/e https://b/", Some("b.example")),
            ("https_spiffe not-an-id https://b/", None),
            ("", None),
        ] {
            assert_eq!(parameters(text).endpoint_domain(), expected.map(|name| name.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn rel_10_a_url_is_known_added_or_in_place_of_all_others() {
        use Standing::{Added, Known, Replaced};
        for (came_by, configured, url, expected) in [
            ("https_web https://1/", "https_web https://1/", "https://1/", Known),
            ("https_web https://1/", "https_web https://2/", "https://2/", Replaced),
            ("https_web https://1/", "https_web https://1/ https://2/", "https://2/", Added),
            ("https_web https://1/", "https_web https://2/ https://1/", "https://2/", Added),
            ("https_web https://1/", "https_web https://2/ https://1/", "https://1/", Known),
            ("https_web https://1/ https://2/", "https_web https://2/", "https://2/", Known),
            ("https_web https://1/", "https_spiffe spiffe://b/e https://1/", "https://1/", Replaced),
            ("https_spiffe spiffe://b/e https://1/", "https_spiffe spiffe://b/f https://1/", "https://1/", Replaced),
        ] {
            let (came_by, configured) = (parameters(came_by), parameters(configured));
            assert_eq!(came_by.standing(&configured, url), expected, "{came_by} {configured}");
        }
    }

    #[test]
    fn rel_10_a_url_that_was_taken_out_is_new_when_it_comes_back_and_a_change_taken_back_is_none() {
        let (one, both) = (parameters("https_web https://1/"), parameters("https_web https://1/ https://2/"));
        let elsewhere = parameters("https_web https://3/");
        assert_eq!(both.clone().narrowed_to(&one), one);
        assert_eq!(both.clone().narrowed_to(&elsewhere), both);
        assert_eq!(one.clone().with(&both, "https://2/"), both);
        assert_eq!(one.clone().with(&both, "https://1/"), one);
        assert_eq!(both.with(&elsewhere, "https://3/"), elsewhere);
    }
}
