//! Which paths of SPIFFE IDs are meant, in whole segments.

use std::fmt;
use std::str::FromStr;

use crate::spiffe::spiffe_id::{SpiffeId, is_in_segments};

/// A pattern for the path of a SPIFFE ID, as `/ns/*/sa/web` or `/ns/prod/**`: `*` is one segment, `**` at the
/// end one or more.
///
/// ```
/// use comity::PathPattern;
///
/// let web: PathPattern = "/ns/*/sa/web".parse()?;
/// assert!(web.matches("/ns/prod/sa/web") && !web.matches("/ns/a/b/sa/web"));
/// # Ok::<(), comity::PathPatternError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathPattern(Box<str>);

impl PathPattern {
    /// Whether a path with its leading slash is meant; the empty path of a root ID never is.
    pub fn matches(&self, path: &str) -> bool {
        let mut segments = path.split('/').skip(1);
        for wanted in self.0.split('/').skip(1) {
            match (wanted, segments.next()) {
                (_, None) => return false,
                (MANY, Some(_)) => return true,
                (ONE, Some(_)) => {}
                (wanted, Some(segment)) if wanted == segment => {}
                _ => return false,
            }
        }
        segments.next().is_none()
    }
}

impl FromStr for PathPattern {
    type Err = PathPatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let path = text.strip_prefix('/').ok_or(PathPatternError::NoSlash)?;
        if text.len() > SpiffeId::MAX_BYTES {
            return Err(PathPatternError::TooLong { bytes: text.len() });
        }
        let mut at = 1;
        for segment in path.split('/') {
            let end = at + segment.len();
            check_segment(segment, at, end == text.len())?;
            at = end + 1;
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no pattern. Positions are byte offsets into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathPatternError {
    /// Not a path: a whole SPIFFE ID perhaps.
    #[error("a pattern is the path of SPIFFE IDs alone, so it begins with /, as in /ns/prod/**")]
    NoSlash,
    /// Longer than any SPIFFE ID.
    #[error("a pattern has at most 2048 bytes, this one has {bytes}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// An empty, `.` or `..` segment, or a trailing slash: no SPIFFE ID has one.
    #[error("empty, \".\" or \"..\" segment at byte {at}; no SPIFFE ID has one")]
    BadSegment {
        /// Where the segment starts.
        at: usize,
    },
    /// A byte that no path of a SPIFFE ID has.
    #[error("byte {at} is in no path of a SPIFFE ID (a-z A-Z 0-9 . - _ /)")]
    BadCharacter {
        /// Where.
        at: usize,
    },
    /// A `*` beside other characters.
    #[error("a * at byte {at} stands beside other characters; it is a whole segment, or ** at the end")]
    PartOfSegment {
        /// Where.
        at: usize,
    },
    /// `**` before the end.
    #[error("** at byte {at} is not the last segment; before the end * is one segment")]
    NotAtTheEnd {
        /// Where.
        at: usize,
    },
}

impl PathPatternError {
    /// Stable identifier for logs, metrics and the API.
    pub fn code(&self) -> &'static str {
        "invalid-path-pattern"
    }
}

/// One segment.
const ONE: &str = "*";
/// One segment or more.
const MANY: &str = "**";

fn check_segment(segment: &str, at: usize, is_last: bool) -> Result<(), PathPatternError> {
    match segment {
        ONE => Ok(()),
        MANY if is_last => Ok(()),
        MANY => Err(PathPatternError::NotAtTheEnd { at }),
        "" | "." | ".." => Err(PathPatternError::BadSegment { at }),
        _ => match segment.bytes().position(|byte| !is_in_segments(byte)) {
            None => Ok(()),
            Some(offset) if segment.as_bytes()[offset] == b'*' => {
                Err(PathPatternError::PartOfSegment { at: at + offset })
            }
            Some(offset) => Err(PathPatternError::BadCharacter { at: at + offset }),
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::PathPatternError::{BadCharacter, BadSegment, NoSlash, NotAtTheEnd, PartOfSegment, TooLong};
    use super::*;

    #[test]
    fn a_pattern_means_whole_segments() {
        for (pattern, yes, no) in [
            ("/x", &["/x"][..], &["", "/", "/x/y", "/xy", "/X", "x", "/y/x"][..]),
            ("/ns/*/sa/web", &["/ns/a/sa/web", "/ns/-/sa/web"], &["/ns/sa/web", "/ns/a/b/sa/web", "/ns/a/sa/webx"]),
            ("/*", &["/x"], &["", "/x/y"]),
            ("/*/*", &["/x/y"], &["/x", "/x/y/z"]),
            ("/ns/prod/**", &["/ns/prod/a", "/ns/prod/a/b/c"], &["/ns/prod", "/ns/prodx/a", "/ns/a/prod"]),
            ("/*/x/**", &["/a/x/b", "/a/x/b/c"], &["/a/x", "/x/x", "/a/b/x/c"]),
            ("/**", &["/x", "/x/y"], &[""]),
        ] {
            let parsed: PathPattern = pattern.parse().unwrap();
            assert_eq!(parsed.to_string(), pattern);
            for path in yes {
                assert!(parsed.matches(path), "{pattern} {path}");
            }
            for path in no {
                assert!(!parsed.matches(path), "{pattern} {path}");
            }
        }
    }

    #[test]
    fn what_could_mean_more_than_it_says_is_no_pattern() {
        for (text, expected) in [
            ("", NoSlash),
            ("*", NoSlash),
            ("ns/prod", NoSlash),
            ("spiffe://b.example/ns/**", NoSlash),
            ("/", BadSegment { at: 1 }),
            ("/a//b", BadSegment { at: 3 }),
            ("/a/", BadSegment { at: 3 }),
            ("/a/../b", BadSegment { at: 3 }),
            ("/./b", BadSegment { at: 1 }),
            ("/a/**/b", NotAtTheEnd { at: 3 }),
            ("/**/", NotAtTheEnd { at: 1 }),
            ("/web*", PartOfSegment { at: 4 }),
            ("/a/***", PartOfSegment { at: 3 }),
            ("/a%2f", BadCharacter { at: 2 }),
            ("/a b", BadCharacter { at: 2 }),
            ("/é", BadCharacter { at: 1 }),
            ("/a?", BadCharacter { at: 2 }),
            (&format!("/{}", "x".repeat(2048)), TooLong { bytes: 2049 }),
        ] {
            assert_eq!(text.parse::<PathPattern>(), Err(expected), "{text}");
        }
    }

    proptest! {
        /// As a plain reading of the rule has it, which tries every split.
        #[test]
        fn a_pattern_is_what_its_words_say(pattern in "(/(a|b|\\*)){0,4}(/\\*\\*)?", path in "(/[abc]){0,6}") {
            fn means(pattern: &[&str], path: &[&str]) -> bool {
                match (pattern, path) {
                    ([], []) => true,
                    (["**"], path) => !path.is_empty(),
                    (["*", pattern @ ..], [_, path @ ..]) => means(pattern, path),
                    ([wanted, pattern @ ..], [found, path @ ..]) => wanted == found && means(pattern, path),
                    _ => false,
                }
            }
            let Ok(parsed) = pattern.parse::<PathPattern>() else {
                prop_assert_eq!(pattern, "");
                return Ok(());
            };
            let wanted: Vec<&str> = pattern.split('/').skip(1).collect();
            let segments: Vec<&str> = path.split('/').skip(1).collect();
            prop_assert_eq!(parsed.matches(&path), means(&wanted, &segments));
        }
    }
}
