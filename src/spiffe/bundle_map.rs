//! Bundle maps: the bundles of several trust domains in one file (Bundle §5), side by side, never merged.

use std::collections::BTreeMap;

use serde::Serialize;

use super::bundle::Bundle;
use super::document::DocumentError;
use super::document::decode;
use super::document::ignored::IgnoredElement;
use super::document::render::{JwkSet, WitAuthorities, to_ascii_json};
use super::json::{Json, JsonError, quote};
use super::trust_domain::{TrustDomain, TrustDomainError};

/// The state of the world in one document: trust domains and their bundles, possibly none (BND-27).
///
/// Contained bundles have no refresh hint: whoever provides the map decides how often it changes (BND-29).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BundleMap {
    bundles: BTreeMap<TrustDomain, Bundle>,
    ignored: BTreeMap<TrustDomain, Vec<IgnoredElement>>,
}

impl BundleMap {
    /// Longest map in bytes.
    pub const MAX_BYTES: usize = 16 << 20;

    /// Reads a map as a whole or not at all; each bundle is decoded as a document of its own would be.
    ///
    /// A refresh hint inside a bundle, `spiffe_refresh_hint` or `refresh_hint`, has no effect.
    pub fn parse(bytes: &[u8]) -> Result<Self, BundleMapError> {
        if bytes.len() > Self::MAX_BYTES {
            return Err(BundleMapError::TooLarge { bytes: bytes.len() });
        }
        let json = Json::parse(bytes)?;
        let domains = json.as_object().and_then(|map| map.get("trust_domains")).and_then(Json::as_object);
        let mut map = Self::default();
        for (name, bundle) in domains.ok_or(BundleMapError::NoTrustDomains)?.iter() {
            let trust_domain: TrustDomain =
                name.parse().map_err(|source| BundleMapError::TrustDomain { name: quote(name), source })?;
            match decode::document(&trust_domain, bundle) {
                Ok(document) => {
                    map.ignored.insert(trust_domain, document.ignored().to_vec());
                    map.insert(document.into_bundle());
                }
                Err(source) => return Err(BundleMapError::Bundle { trust_domain, source }),
            }
        }
        map.ignored.retain(|_, ignored| !ignored.is_empty());
        Ok(map)
    }

    /// Writes the map in compact ASCII JSON, domains by name: the same contents are always the same bytes.
    pub fn render(&self, wit: WitAuthorities) -> Vec<u8> {
        let entry = |(domain, bundle)| (TrustDomain::as_str(domain), JwkSet::new(bundle, wit).without_refresh_hint());
        to_ascii_json(&MapDocument { trust_domains: self.bundles.iter().map(entry).collect() })
    }

    /// The bundles by trust domain.
    pub fn bundles(&self) -> &BTreeMap<TrustDomain, Bundle> {
        &self.bundles
    }

    /// What was ignored or is worth a report, for each domain that has such elements.
    pub fn ignored(&self) -> &BTreeMap<TrustDomain, Vec<IgnoredElement>> {
        &self.ignored
    }

    fn insert(&mut self, bundle: Bundle) {
        let trust_domain = bundle.trust_domain().clone();
        let (authorities, sequence) = (bundle.authorities().clone(), bundle.sequence());
        self.bundles.insert(trust_domain.clone(), Bundle::new(trust_domain, authorities, sequence, None));
    }
}

/// Of several bundles of one domain the last counts.
impl FromIterator<Bundle> for BundleMap {
    fn from_iter<I: IntoIterator<Item = Bundle>>(bundles: I) -> Self {
        let mut map = Self::default();
        bundles.into_iter().for_each(|bundle| map.insert(bundle));
        map
    }
}

/// Why a bundle map is refused as a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleMapError {
    /// More than 16 MiB.
    #[error("bundle map of {bytes} bytes exceeds {}", BundleMap::MAX_BYTES)]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Not one well-formed JSON value, a trust domain or another member twice, or too deep (BND-28).
    #[error(transparent)]
    Json(#[from] JsonError),
    /// `trust_domains` is absent or no object, which is not the same as empty (BND-27).
    #[error("bundle map has no \"trust_domains\" object")]
    NoTrustDomains,
    /// A key that is no bare trust domain name (BND-27).
    #[error("trust domain {name}: {source}")]
    TrustDomain {
        /// Quoted, escaped and cut.
        name: String,
        /// What is wrong with it.
        source: TrustDomainError,
    },
    /// One of the bundles would be refused on its own.
    #[error("bundle of {trust_domain}: {source}")]
    Bundle {
        /// Whose.
        trust_domain: TrustDomain,
        /// Why.
        source: DocumentError,
    },
}

impl BundleMapError {
    /// Stable identifier; see docs/problems.md.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "document-too-large",
            Self::Json(error) => error.code(),
            Self::NoTrustDomains => "no-trust-domains",
            Self::TrustDomain { .. } => "invalid-trust-domain",
            Self::Bundle { source, .. } => source.code(),
        }
    }
}

#[derive(Serialize)]
struct MapDocument<'m> {
    trust_domains: BTreeMap<&'m str, JwkSet<'m>>,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::spiffe::fixtures;

    fn outcome(map: &str) -> Result<usize, &'static str> {
        BundleMap::parse(map.as_bytes()).map(|map| map.bundles().len()).map_err(|error| error.code())
    }

    #[test]
    fn bnd_27_28_a_map_is_read_whole_or_not_at_all() {
        for (map, expected) in [
            (r#"{"trust_domains":{}}"#, Ok(0)),
            (r#"{"trust_domains":{"a":{"keys":[]},"b":{"keys":[]}},"vendor":1}"#, Ok(2)),
            (r#"{"trust_domains":{"a":{"keys":[7]}}}"#, Ok(1)),
            ("{}", Err("no-trust-domains")),
            ("[]", Err("no-trust-domains")),
            (r#"{"trust_domains":[]}"#, Err("no-trust-domains")),
            (r#"{"trust_domains":{"spiffe://td":{"keys":[]}}}"#, Err("invalid-trust-domain")),
            (r#"{"trust_domains":{"TD":{"keys":[]}}}"#, Err("invalid-trust-domain")),
            (r#"{"trust_domains":{"a":{"keys":[]},"b":{"keys":[]},"a":{"keys":[]}}}"#, Err("duplicate-member")),
            (r#"{"trust_domains":{"a":{"keys":[]},"\u0061":{"keys":[]}}}"#, Err("duplicate-member")),
            (r#"{"trust_domains":{"a":{"keys":[]}},"trust_domains":{}}"#, Err("duplicate-member")),
            (r#"{"trust_domains":{"a":{"keys":[]},"b":{}}}"#, Err("no-keys")),
            (r#"{"trust_domains":{"a":[]}}"#, Err("not-an-object")),
        ] {
            assert_eq!(outcome(map), expected, "{map}");
        }
    }

    #[test]
    fn a_map_over_16_mib_is_refused_unread() {
        assert_eq!(outcome(&" ".repeat(BundleMap::MAX_BYTES + 1)), Err("document-too-large"));
    }

    #[test]
    fn bnd_29_refresh_hints_are_read_without_effect_and_never_written() {
        let map = r#"{"trust_domains":{"a":{"spiffe_refresh_hint":60,"refresh_hint":60,"keys":[]}}}"#;
        let map = BundleMap::parse(map.as_bytes()).unwrap();
        assert!(map.bundles().values().all(|bundle| bundle.refresh_hint().is_none()));
        let hinted = Bundle::new("a".parse().unwrap(), fixtures::all_kinds(), Some(3), Some(Duration::from_secs(60)));
        let rendered = BundleMap::from_iter([hinted]).render(WitAuthorities::Include);
        assert!(!String::from_utf8(rendered).unwrap().contains("refresh_hint"));
    }

    #[test]
    fn a_map_reads_what_it_writes() {
        let bundle = |name: &str, sequence| Bundle::new(name.parse().unwrap(), fixtures::all_kinds(), sequence, None);
        let map = BundleMap::from_iter([bundle("b.example", Some(u64::MAX)), bundle("a.example", None)]);
        assert_eq!(BundleMap::parse(&map.render(WitAuthorities::Include)), Ok(map.clone()));
        assert_eq!(map.render(WitAuthorities::Omit), map.clone().render(WitAuthorities::Omit));
        assert_ne!(map.render(WitAuthorities::Omit), map.render(WitAuthorities::Include));
    }

    #[test]
    fn out_03_ignored_elements_are_reported_by_domain() {
        let map = br#"{"trust_domains":{"a":{"keys":[]},"b":{"keys":[{"kty":"oct","k":"AA"}]}}}"#;
        let map = BundleMap::parse(map).unwrap();
        let codes = map.ignored().iter().map(|(domain, ignored)| (domain.as_str(), ignored[0].reason.code()));
        assert_eq!(codes.collect::<Vec<_>>(), [("b", "private-key")]);
    }
}
