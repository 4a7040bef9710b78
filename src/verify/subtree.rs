//! One subtree of name constraints, and the names inside it.

use super::names::{Form, relative_names};

/// A subtree by the form of its base.
#[derive(Debug)]
pub(super) struct Subtree<'a> {
    pub(super) form: Form,
    base: Base<'a>,
}

#[derive(Debug)]
enum Base<'a> {
    /// DNS names, and the hosts of URIs.
    Hosts(Hosts<'a>),
    Mailbox(&'a [u8]),
    /// The hosts of mailboxes.
    MailHosts(Hosts<'a>),
    Network {
        address: &'a [u8],
        mask: &'a [u8],
    },
    /// The relative names that a directory name begins with.
    Directory(Vec<Vec<u8>>),
}

/// Where a name stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Inside,
    Outside,
    /// It can't be told; the name is not of the kind that constraints speak about.
    Unclear,
}

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

impl<'a> Subtree<'a> {
    /// None if `base` is no constraint of that form.
    pub(super) fn new(form: Form, base: &'a [u8]) -> Option<Self> {
        let base = match form {
            Form::Uri => Base::Hosts(Hosts::of_uri(base)?),
            Form::Dns => Base::Hosts(Hosts::of_dns(base)?),
            Form::Email => match base.iter().rposition(|byte| *byte == b'@') {
                Some(_) => mailbox(base).map(|_| Base::Mailbox(base))?,
                None => Base::MailHosts(Hosts::of_uri(base)?),
            },
            Form::Ip => network(base)?,
            Form::Directory => Base::Directory(relative_names(base)?),
            Form::Other => return None,
        };
        Some(Self { form, base })
    }

    /// Where a name of the same form stands. A DNS wildcard is inside if any of its hosts may be.
    pub(super) fn compare(&self, form: Form, name: &[u8]) -> Comparison {
        let inside = match (&self.base, form) {
            (Base::Hosts(hosts), Form::Uri) => uri_host(name).map(|host| hosts.contain(host)),
            (Base::Hosts(hosts), _) => match name.strip_prefix(b"*.") {
                Some(parent) => is_host(parent).then(|| hosts.contain_below(parent)),
                None => is_host(name).then(|| hosts.contain(name)),
            },
            (Base::Mailbox(base), _) => {
                mailbox(name).map(|name| mailbox(base).is_some_and(|base| same_mailbox(base, name)))
            }
            (Base::MailHosts(hosts), _) => mailbox(name).map(|(_, host)| hosts.contain(host)),
            (Base::Network { address, mask }, _) => Some(is_in_network(address, mask, name)),
            (Base::Directory(base), _) => relative_names(name).map(|name| name.starts_with(base)),
        };
        match inside {
            Some(true) => Comparison::Inside,
            Some(false) => Comparison::Outside,
            None => Comparison::Unclear,
        }
    }

    /// Whether all of a name that is inside in part is inside: there is a difference for DNS wildcards.
    pub(super) fn covers(&self, name: &[u8]) -> bool {
        match (&self.base, self.form, name.strip_prefix(b"*.")) {
            (Base::Hosts(hosts), Form::Dns, Some(parent)) => hosts.contain_all_below(parent),
            _ => true,
        }
    }

    /// For a URI subtree, its hosts.
    pub(super) fn hosts(&self) -> Option<Hosts<'a>> {
        match (&self.base, self.form) {
            (Base::Hosts(hosts), Form::Uri) => Some(*hosts),
            _ => None,
        }
    }
}

impl<'a> Hosts<'a> {
    /// An exact host, one with a leading dot for those below it, or nothing for all.
    fn of_uri(base: &'a [u8]) -> Option<Self> {
        match base {
            [] => Some(Self::All),
            [b'.', parent @ ..] => is_host(parent).then_some(Self::Below(parent)),
            host => (is_host(host) && !is_dotted_quad(host)).then_some(Self::Exactly(host)),
        }
    }

    /// RFC 5280 knows no leading dot here; it is read as for URIs, as others do.
    fn of_dns(base: &'a [u8]) -> Option<Self> {
        match base {
            [] => Some(Self::All),
            [b'.', parent @ ..] => is_host(parent).then_some(Self::Below(parent)),
            host => is_host(host).then_some(Self::Tree(host)),
        }
    }

    fn contain(&self, host: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Exactly(base) => host.eq_ignore_ascii_case(base),
            Self::Below(base) => is_below(host, base),
            Self::Tree(base) => host.eq_ignore_ascii_case(base) || is_below(host, base),
        }
    }

    /// Whether any host one label below `parent` is contained.
    fn contain_below(&self, parent: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Exactly(base) => is_below(base, parent),
            Self::Below(base) => self.contain_all_below(parent) || is_below(base, parent),
            Self::Tree(base) => self.contain_all_below(parent) || is_below(base, parent),
        }
    }

    fn contain_all_below(&self, parent: &[u8]) -> bool {
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

/// The host of a URI; none if it has none, an address instead of a name, or an authority that is no `host`,
/// `host:port` or `user@host`.
///
/// The trust domain name of a SPIFFE ID is taken as it is: it isn't a URL's host.
fn uri_host(uri: &[u8]) -> Option<&[u8]> {
    let colon = uri.iter().position(|byte| *byte == b':')?;
    let rest = uri[colon + 1..].strip_prefix(b"//")?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let authority = &rest[..end];
    let host = match authority.iter().rposition(|byte| *byte == b'@') {
        Some(at) => &authority[at + 1..],
        None => authority,
    };
    let host = match host.iter().position(|byte| *byte == b':') {
        Some(colon) if host[colon + 1..].iter().all(u8::is_ascii_digit) => &host[..colon],
        Some(_) => return None,
        None => host,
    };
    (is_host(host) && !is_dotted_quad(host)).then_some(host)
}

/// Labels of letters, digits, hyphens and underscores, one at least, none of them empty.
fn is_host(host: &[u8]) -> bool {
    let is_label = |label: &[u8]| {
        !label.is_empty() && label.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    host.split(|byte| *byte == b'.').all(is_label)
}

fn is_dotted_quad(host: &[u8]) -> bool {
    let labels = host.split(|byte| *byte == b'.');
    labels.clone().count() == 4 && labels.flatten().all(u8::is_ascii_digit)
}

fn is_below(host: &[u8], parent: &[u8]) -> bool {
    let Some(dot) = host.len().checked_sub(parent.len() + 1) else { return false };
    dot > 0 && host[dot] == b'.' && host[dot + 1..].eq_ignore_ascii_case(parent)
}

/// The two parts of `local@host`.
fn mailbox(address: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = address.iter().rposition(|byte| *byte == b'@')?;
    let (local, host) = (&address[..at], &address[at + 1..]);
    (!local.is_empty() && is_host(host)).then_some((local, host))
}

fn same_mailbox((local, host): (&[u8], &[u8]), (other, other_host): (&[u8], &[u8])) -> bool {
    local == other && host.eq_ignore_ascii_case(other_host)
}

/// An address and a mask of the same size whose ones all come first.
fn network(base: &[u8]) -> Option<Base<'_>> {
    let (address, mask) = matches!(base.len(), 8 | 32).then(|| base.split_at(base.len() / 2))?;
    let ones = mask.iter().take_while(|byte| **byte == 0xff).count();
    let rest = &mask[ones..];
    let is_prefix = rest.first().is_none_or(|byte| byte.leading_ones() + byte.trailing_zeros() == 8);
    let is_zero_after = rest.iter().skip(1).all(|byte| *byte == 0);
    (is_prefix && is_zero_after).then_some(Base::Network { address, mask })
}

fn is_in_network(address: &[u8], mask: &[u8], name: &[u8]) -> bool {
    let bytes = address.iter().zip(mask).zip(name);
    name.len() == address.len() && bytes.into_iter().all(|((address, mask), name)| name & mask == address & mask)
}

#[cfg(test)]
mod tests;
