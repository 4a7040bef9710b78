//! Which proven SPIFFE IDs are let in.

use std::fmt;
use std::str::FromStr;

use crate::spiffe::spiffe_id::SpiffeId;
use crate::spiffe::trust_domain::{TrustDomain, TrustDomainError};
use crate::verify::path_pattern::{PathPattern, PathPatternError};

/// SPIFFE IDs of one trust domain, as `spiffe://b.example/ns/*/sa/web` or `spiffe://b.example/ns/prod/**`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AllowPattern {
    trust_domain: TrustDomain,
    path: PathPattern,
}

impl AllowPattern {
    pub(super) fn matches(&self, spiffe_id: &SpiffeId) -> bool {
        *spiffe_id.trust_domain() == self.trust_domain && self.path.matches(spiffe_id.path())
    }
}

impl FromStr for AllowPattern {
    type Err = AllowPatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.strip_prefix("spiffe://").ok_or(AllowPatternError::Scheme)?;
        let (name, path) = rest.split_at(rest.find('/').ok_or(AllowPatternError::NoPath)?);
        Ok(Self { trust_domain: name.parse()?, path: path.parse()? })
    }
}

impl fmt::Display for AllowPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}{}", self.trust_domain, self.path)
    }
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AllowPatternError {
    #[error("a pattern begins with spiffe://")]
    Scheme,
    #[error(transparent)]
    TrustDomain(#[from] TrustDomainError),
    #[error("a pattern has a path; for a whole trust domain it is /**")]
    NoPath,
    #[error(transparent)]
    Path(#[from] PathPatternError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_lets_in_whole_segments_of_its_own_domain() {
        for (pattern, yes, no) in [
            (
                "spiffe://b/x",
                &["spiffe://b/x"][..],
                &["spiffe://b/x/y", "spiffe://b/xy", "spiffe://c/x", "spiffe://b"][..],
            ),
            (
                "spiffe://b/ns/*/web",
                &["spiffe://b/ns/a/web"],
                &["spiffe://b/ns/web", "spiffe://b/ns/a/b/web", "spiffe://b/ns/a/webx"],
            ),
            ("spiffe://b/*", &["spiffe://b/x", "spiffe://b/-"], &["spiffe://b/x/y", "spiffe://b", "spiffe://b.c/x"]),
            ("spiffe://b/ns/**", &["spiffe://b/ns/a", "spiffe://b/ns/a/b/c"], &["spiffe://b/ns", "spiffe://b/nsx/a"]),
            ("spiffe://b/**", &["spiffe://b/x", "spiffe://b/x/y"], &["spiffe://b", "spiffe://bb/x", "spiffe://a/b/x"]),
        ] {
            let parsed: AllowPattern = pattern.parse().unwrap();
            assert_eq!(parsed.to_string(), pattern);
            let matches = |id: &&str| parsed.matches(&id.parse().unwrap());
            assert!(yes.iter().all(matches) && !no.iter().any(matches), "{pattern}");
        }
    }

    #[test]
    fn what_could_let_in_more_than_it_says_is_no_pattern() {
        for text in [
            "",
            "*",
            "**",
            "spiffe://",
            "spiffe://*",
            "spiffe://b",
            "spiffe://*/x",
            "spiffe://B/x",
            "SPIFFE://b/x",
            "b/x",
            "spiffe://b/",
            "spiffe://b//x",
            "spiffe://b/x/",
            "spiffe://b/../x",
            "spiffe://b/**/x",
            "spiffe://b/x*",
            "spiffe://b/***",
            "spiffe://b/%2a",
            "spiffe://b/x?y",
            "spiffe://b/ä",
            "spiffe:///x",
        ] {
            assert!(text.parse::<AllowPattern>().is_err(), "{text}");
        }
    }
}
