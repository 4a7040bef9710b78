//! General names in certificates.

use std::borrow::Cow;

use super::der::{self, Element, Reader, SEQUENCE};
use super::distinguished_name::Name;
use super::rejection::Fault;

/// One of the subject's alternative names (RFC 5280 §4.2.1.6).
#[derive(Debug)]
pub(super) enum GeneralName<'a> {
    Directory(Box<Name<'a>>),
    /// Of every other form, with text and addresses as encoded.
    Other(Form, Cow<'a, [u8]>),
}

/// The forms of a general name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Form {
    Email,
    Dns,
    Directory,
    Uri,
    Ip,
    /// A form that no rule reads.
    Other,
}

impl GeneralName<'_> {
    pub(super) fn into_owned(self) -> GeneralName<'static> {
        match self {
            Self::Directory(name) => GeneralName::Directory(Box::new(name.into_owned())),
            Self::Other(form, value) => GeneralName::Other(form, owned(value)),
        }
    }

    /// Of a URI its bytes.
    pub(super) fn uri(&self) -> Option<&[u8]> {
        match self {
            Self::Other(Form::Uri, uri) => Some(uri),
            _ => None,
        }
    }
}

pub(super) fn owned(bytes: Cow<'_, [u8]>) -> Cow<'static, [u8]> {
    Cow::Owned(bytes.into_owned())
}

/// Reads the contents of a subjectAltName extension: one name at least.
pub(super) fn read_names(value: &[u8]) -> Result<Vec<GeneralName<'_>>, Fault> {
    let mut names = Reader::only(value, SEQUENCE, "subjectAltName")?;
    if names.is_empty() {
        return Err(names.fault());
    }
    let mut read = Vec::new();
    while !names.is_empty() {
        read.push(match read_name(names.next()?).ok_or_else(|| names.fault())? {
            (Form::Directory, name) => GeneralName::Directory(Box::new(Name::read(name)?)),
            (Form::Ip, address) if !matches!(address.len(), 4 | 16) => return Err(names.fault()),
            (form, value) => GeneralName::Other(form, value.into()),
        });
    }
    Ok(read)
}

/// The form and value of a GeneralName; text must be ASCII, but for URIs, whose readers say more about them.
pub(super) fn read_name(name: Element<'_>) -> Option<(Form, &[u8])> {
    let form = match name.tag {
        EMAIL => Form::Email,
        DNS => Form::Dns,
        URI => Form::Uri,
        IP_ADDRESS => Form::Ip,
        DIRECTORY_NAME => Form::Directory,
        OTHER_NAME | X400_ADDRESS | EDI_PARTY_NAME | REGISTERED_ID => Form::Other,
        _ => return None,
    };
    let is_text = matches!(form, Form::Email | Form::Dns);
    (!is_text || name.contents.is_ascii()).then_some((form, name.contents))
}

// GeneralName (RFC 5280 §4.2.1.6)
const OTHER_NAME: u8 = der::constructed(0);
const EMAIL: u8 = der::primitive(1);
const DNS: u8 = der::primitive(2);
const X400_ADDRESS: u8 = der::constructed(3);
const DIRECTORY_NAME: u8 = der::constructed(4);
const EDI_PARTY_NAME: u8 = der::constructed(5);
const URI: u8 = der::primitive(6);
const IP_ADDRESS: u8 = der::primitive(7);
const REGISTERED_ID: u8 = der::primitive(8);
