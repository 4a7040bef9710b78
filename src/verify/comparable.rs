//! The names of a certificate as name constraints are compared with them: each read once.

use super::certificate::Certificate;
use super::distinguished_name::Name;
use super::hosts::{is_dotted_quad, is_host};
use super::names::{Form, GeneralName};

/// A name that constraints apply to.
#[derive(Debug)]
pub(super) struct ComparableName<'c> {
    pub(super) form: Form,
    /// As encoded, for messages.
    pub(super) source: &'c [u8],
    pub(super) value: Value<'c>,
}

/// What of a name is compared.
#[derive(Debug)]
pub(super) enum Value<'c> {
    /// A DNS name, or the host of a URI.
    Host(&'c [u8]),
    /// The hosts one label below this one: a DNS wildcard.
    AnyBelow(&'c [u8]),
    Mailbox(Mailbox<'c>),
    Address(&'c [u8]),
    Directory(&'c Name<'c>),
    /// It is not of the kind that constraints speak about.
    Unclear,
}

/// `local@host`.
#[derive(Debug)]
pub(super) struct Mailbox<'c> {
    pub(super) local: &'c [u8],
    pub(super) host: &'c [u8],
}

/// The names of a certificate by their forms: alternative ones, the subject, and its e-mail addresses. RFC 5280
/// §4.2.1.10 demands the last only where there are no alternative names.
pub(super) fn names_of<'c>(certificate: &'c Certificate<'_>) -> Vec<ComparableName<'c>> {
    let mut names: Vec<_> = certificate.extensions.names.iter().filter_map(ComparableName::of).collect();
    names.extend(certificate.subject.email_addresses().map(ComparableName::of_address));
    if !certificate.subject.is_empty() {
        names.push(ComparableName::of_directory(&certificate.subject));
    }
    names.sort_by_key(|name| name.form);
    names
}

/// Those of one form.
pub(super) fn of_form<'n, 'c>(names: &'n [ComparableName<'c>], form: Form) -> &'n [ComparableName<'c>] {
    let start = names.partition_point(|name| name.form < form);
    let end = names.partition_point(|name| name.form <= form);
    &names[start..end]
}

impl<'c> ComparableName<'c> {
    /// None for forms that no constraint we process is about.
    pub(super) fn of(name: &'c GeneralName<'_>) -> Option<Self> {
        let (form, source) = match name {
            GeneralName::Directory(name) => return Some(Self::of_directory(name)),
            GeneralName::Other(form, value) => (*form, &**value),
        };
        let value = match form {
            Form::Uri => uri_host(source).map(Value::Host),
            Form::Dns => match source.strip_prefix(b"*.") {
                Some(parent) => is_host(parent).then_some(Value::AnyBelow(parent)),
                None => is_host(source).then_some(Value::Host(source)),
            },
            Form::Email => Mailbox::read(source).map(Value::Mailbox),
            Form::Ip => Some(Value::Address(source)),
            Form::Directory | Form::Other => return None,
        };
        Some(Self { form, source, value: value.unwrap_or(Value::Unclear) })
    }

    fn of_directory(name: &'c Name<'_>) -> Self {
        Self { form: Form::Directory, source: &name.der, value: Value::Directory(name) }
    }

    /// An address in a subject, which may be in an encoding that is not read.
    fn of_address(address: Option<&'c [u8]>) -> Self {
        let mailbox = address.and_then(Mailbox::read).map(Value::Mailbox);
        Self { form: Form::Email, source: address.unwrap_or_default(), value: mailbox.unwrap_or(Value::Unclear) }
    }
}

impl<'c> Mailbox<'c> {
    /// None for quoted local parts too: they have several spellings.
    pub(super) fn read(address: &'c [u8]) -> Option<Self> {
        let at = address.iter().position(|byte| *byte == b'@')?;
        let (local, host) = (&address[..at], &address[at + 1..]);
        let is_atom = |byte: &u8| byte.is_ascii_alphanumeric() || b".!#$%&'*+-/=?^_`{|}~".contains(byte);
        (!local.is_empty() && local.iter().all(is_atom) && is_host(host)).then_some(Self { local, host })
    }

    pub(super) fn is(&self, other: &Mailbox<'_>) -> bool {
        self.local == other.local && self.host.eq_ignore_ascii_case(other.host)
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
