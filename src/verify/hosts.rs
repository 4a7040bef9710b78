//! Host names, and the sets of them that constraints speak of.

/// A set of hosts; ASCII letters compare without case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hosts<'a> {
    All,
    /// This host alone.
    Exactly(&'a [u8]),
    /// Every host below this one, and not itself.
    Below(&'a [u8]),
    /// This host and every one below it, as DNS names have it.
    Tree(&'a [u8]),
}

impl<'a> Hosts<'a> {
    /// An exact host, one with a leading dot for those below it, or nothing for all.
    pub(super) fn of_uri(base: &'a [u8]) -> Option<Self> {
        match base {
            [] => Some(Self::All),
            [b'.', parent @ ..] => is_host(parent).then_some(Self::Below(parent)),
            host => (is_host(host) && !is_dotted_quad(host)).then_some(Self::Exactly(host)),
        }
    }

    /// RFC 5280 knows no leading dot here; it is read as for URIs, as others do.
    pub(super) fn of_dns(base: &'a [u8]) -> Option<Self> {
        match base {
            [] => Some(Self::All),
            [b'.', parent @ ..] => is_host(parent).then_some(Self::Below(parent)),
            host => is_host(host).then_some(Self::Tree(host)),
        }
    }

    pub(super) fn contain(&self, host: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Exactly(base) => host.eq_ignore_ascii_case(base),
            Self::Below(base) => is_below(host, base),
            Self::Tree(base) => host.eq_ignore_ascii_case(base) || is_below(host, base),
        }
    }

    /// Whether any host one label below `parent` is contained.
    pub(super) fn contain_below(&self, parent: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Exactly(base) => is_below(base, parent),
            Self::Below(base) => self.contain_all_below(parent) || is_below(base, parent),
            Self::Tree(base) => self.contain_all_below(parent) || is_below(base, parent),
        }
    }

    pub(super) fn contain_all_below(&self, parent: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Exactly(_) => false,
            Self::Below(base) | Self::Tree(base) => parent.eq_ignore_ascii_case(base) || is_below(parent, base),
        }
    }

    /// The hosts that both contain; none if there is none.
    pub(super) fn intersect(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::All, hosts) | (hosts, Self::All) => Some(*hosts),
            (Self::Exactly(host), hosts) | (hosts, Self::Exactly(host)) => {
                hosts.contain(host).then_some(Self::Exactly(host))
            }
            (a @ (Self::Below(x) | Self::Tree(x)), b @ (Self::Below(y) | Self::Tree(y))) => match () {
                () if x.eq_ignore_ascii_case(y) => Some(if matches!(a, Self::Below(_)) { *a } else { *b }),
                () if is_below(x, y) => Some(*a),
                () if is_below(y, x) => Some(*b),
                () => None,
            },
        }
    }

    pub(super) fn is_exactly(&self, host: &str) -> bool {
        matches!(self, Self::Exactly(base) if base.eq_ignore_ascii_case(host.as_bytes()))
    }
}

/// Labels of letters, digits, hyphens and underscores, one at least, none of them empty: 255 bytes at most.
pub(super) fn is_host(host: &[u8]) -> bool {
    let is_label = |label: &[u8]| {
        !label.is_empty() && label.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    host.len() <= MAX_HOST && host.split(|byte| *byte == b'.').all(is_label)
}

pub(super) fn is_dotted_quad(host: &[u8]) -> bool {
    let labels = host.split(|byte| *byte == b'.');
    labels.clone().count() == 4 && labels.flatten().all(u8::is_ascii_digit)
}

fn is_below(host: &[u8], parent: &[u8]) -> bool {
    let Some(dot) = host.len().checked_sub(parent.len() + 1) else { return false };
    dot > 0 && host[dot] == b'.' && host[dot + 1..].eq_ignore_ascii_case(parent)
}

/// The longest name that DNS has, and a trust domain.
const MAX_HOST: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_two_sets_have_in_common() {
        let uri = |base: &'static str| Hosts::of_uri(base.as_bytes()).unwrap();
        for (a, b, expected) in [
            ("", "td", Some("td")),
            ("td", "td", Some("td")),
            ("td", "x.td", None),
            (".td", "x.td", Some("x.td")),
            (".td", "td", None),
            (".td", ".x.td", Some(".x.td")),
            (".td", ".td", Some(".td")),
            (".td", ".other", None),
            ("", "", Some("")),
        ] {
            for (a, b) in [(a, b), (b, a)] {
                assert_eq!(uri(a).intersect(&uri(b)), expected.map(uri), "{a:?} and {b:?}");
            }
        }
    }

    #[test]
    fn a_host_has_at_most_255_bytes() {
        assert!(is_host("a.".repeat(127).as_bytes().split_last().unwrap().1));
        assert!(is_host(&[b'a'; 255]));
        assert!(!is_host(&[b'a'; 256]));
    }
}
