//! One subtree of name constraints, and the names inside it.

use super::comparable::{ComparableName, Mailbox, Value};
use super::distinguished_name::Name;
use super::hosts::Hosts;
use super::names::Form;

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
    Mailbox(Mailbox<'a>),
    /// The hosts of mailboxes.
    MailHosts(Hosts<'a>),
    Network {
        address: &'a [u8],
        mask: &'a [u8],
    },
    /// What a directory name begins with.
    Directory(Name<'a>),
}

/// Where a name stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Inside,
    Outside,
    /// It can't be told; the name is not of the kind that constraints speak about.
    Unclear,
}

impl<'a> Subtree<'a> {
    /// None if `base` is no constraint of that form.
    pub(super) fn new(form: Form, base: &'a [u8]) -> Option<Self> {
        let base = match form {
            Form::Uri => Base::Hosts(Hosts::of_uri(base)?),
            Form::Dns => Base::Hosts(Hosts::of_dns(base)?),
            Form::Email if base.contains(&b'@') => Base::Mailbox(Mailbox::read(base)?),
            Form::Email => Base::MailHosts(Hosts::of_uri(base)?),
            Form::Ip => network(base)?,
            Form::Directory => Base::Directory(Name::read(base).ok()?),
            Form::Other => return None,
        };
        Some(Self { form, base })
    }

    /// Where a name of the same form stands. A DNS wildcard is inside if any of its hosts may be.
    pub(super) fn compare(&self, name: &ComparableName<'_>) -> Comparison {
        let is_inside = match (&self.base, &name.value) {
            (Base::Hosts(hosts), Value::Host(host)) => hosts.contain(host),
            (Base::Hosts(hosts), Value::AnyBelow(parent)) => hosts.contain_below(parent),
            (Base::Mailbox(base), Value::Mailbox(mailbox)) => base.is(mailbox),
            (Base::MailHosts(hosts), Value::Mailbox(mailbox)) => hosts.contain(mailbox.host),
            (Base::Network { address, mask }, Value::Address(name)) => is_in_network(address, mask, name),
            (Base::Directory(base), Value::Directory(name)) => name.starts_with(base),
            _ => return Comparison::Unclear,
        };
        if is_inside { Comparison::Inside } else { Comparison::Outside }
    }

    /// Whether a name that is outside as it is written may be inside: of directory names, text has spellings that
    /// are not compared.
    pub(super) fn may_hold(&self, name: &ComparableName<'_>) -> bool {
        matches!((&self.base, &name.value), (Base::Directory(base), Value::Directory(name)) if name.may_start_with(base))
    }

    /// Whether all of a name that is inside in part is inside: there is a difference for DNS wildcards.
    pub(super) fn covers(&self, name: &ComparableName<'_>) -> bool {
        match (&self.base, &name.value) {
            (Base::Hosts(hosts), Value::AnyBelow(parent)) => hosts.contain_all_below(parent),
            _ => true,
        }
    }

    /// Bytes of a directory name, whose size its comparisons cost.
    pub(super) fn size(&self) -> usize {
        match &self.base {
            Base::Directory(base) => base.der.len(),
            _ => 0,
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
