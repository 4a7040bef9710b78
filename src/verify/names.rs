//! Names in certificates: general names, and distinguished names as RFC 5280 compares them.

use std::borrow::Cow;

use super::der::{self, Element, OID, Reader, SEQUENCE};
use super::rejection::Fault;

/// One of the subject's alternative names (RFC 5280 §4.2.1.6).
#[derive(Debug)]
pub(super) struct GeneralName<'a> {
    pub(super) form: Form,
    /// Text and addresses as encoded; a directory name is a whole `Name`.
    pub(super) value: Cow<'a, [u8]>,
}

/// The forms of a general name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
        GeneralName { form: self.form, value: owned(self.value) }
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
        let (form, value) = read_name(names.next()?).ok_or_else(|| names.fault())?;
        if form == Form::Ip && !matches!(value.len(), 4 | 16) {
            return Err(names.fault());
        }
        read.push(GeneralName { form, value: value.into() });
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

/// Whether two names are the same by RFC 5280 §7.1: text without case and surplus white space, in either of
/// its two encodings; everything else as bytes.
pub(super) fn same_name(a: &[u8], b: &[u8]) -> bool {
    a == b || relative_names(a).is_some_and(|names| relative_names(b) == Some(names))
}

/// The relative names of a `Name`, each such that equal ones are equal bytes.
pub(super) type RelativeNames = Vec<Vec<u8>>;

/// None if it is no `Name`.
pub(super) fn relative_names(name: &[u8]) -> Option<RelativeNames> {
    let mut sets = Reader::only(name, SEQUENCE, "name").ok()?;
    let mut names = Vec::new();
    while !sets.is_empty() {
        let mut attributes = Reader::new(sets.expect(SET).ok()?.contents, "name");
        let mut canonical = Vec::new();
        while !attributes.is_empty() {
            canonical.push(canonical_attribute(attributes.expect(SEQUENCE).ok()?)?);
        }
        canonical.sort_unstable();
        names.push(canonical.concat());
    }
    Some(names)
}

/// Values of the subject's emailAddress attributes, which constraints apply to (RFC 5280 §4.2.1.10).
pub(super) fn email_addresses(name: &[u8]) -> Vec<&[u8]> {
    let mut addresses = Vec::new();
    let Ok(mut sets) = Reader::only(name, SEQUENCE, "name") else { return addresses };
    while let Ok(set) = sets.next() {
        let mut attributes = Reader::new(set.contents, "name");
        while let Ok(attribute) = attributes.next() {
            let mut parts = Reader::new(attribute.contents, "name");
            if let (Ok(EMAIL_ADDRESS), Ok(value)) = (parts.next().map(|id| id.contents), parts.next()) {
                addresses.push(value.contents);
            }
        }
    }
    addresses
}

/// Type and value, each with its length, so that no two differ only in where one ends.
fn canonical_attribute(attribute: Element<'_>) -> Option<Vec<u8>> {
    let mut parts = Reader::new(attribute.contents, "name");
    let (id, value) = (parts.expect(OID).ok()?.contents, parts.next().ok()?);
    parts.end().ok()?;
    let value = match value.tag {
        UTF8_STRING | PRINTABLE_STRING => [b"text ", canonical_text(value.contents)?.as_bytes()].concat(),
        _ => [b"DER ", value.whole].concat(),
    };
    let sized = |part: &[u8]| [&part.len().to_be_bytes()[..], part].concat();
    Some([sized(id), sized(&value)].concat())
}

fn canonical_text(text: &[u8]) -> Option<String> {
    let words = std::str::from_utf8(text).ok()?.split_whitespace().map(str::to_lowercase);
    Some(words.collect::<Vec<_>>().join(" "))
}

const SET: u8 = 0x31;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
/// 1.2.840.113549.1.9.1
const EMAIL_ADDRESS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1];

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
