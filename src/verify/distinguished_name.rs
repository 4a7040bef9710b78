//! Distinguished names, and when two are the same (RFC 5280 §7.1).

use std::borrow::Cow;
use std::sync::OnceLock;

use x509_parser::prelude::FromDer;
use x509_parser::x509::{RelativeDistinguishedName, X509Name};

use super::der::{Element, OID, Reader, SEQUENCE};
use super::names::owned;
use super::rejection::Fault;
use super::text;

/// A well-formed `Name`: sets of attributes, none of them empty.
#[derive(Debug)]
pub(super) struct Name<'a> {
    pub(super) der: Cow<'a, [u8]>,
    /// Such that equal names are equal bytes, and one that begins another is a prefix of it; made once.
    canonical: OnceLock<Box<[u8]>>,
}

impl<'a> Name<'a> {
    /// Reads exactly one.
    pub(super) fn read(der: &'a [u8]) -> Result<Self, Fault> {
        let mut sets = Reader::only(der, SEQUENCE, "name")?;
        while !sets.is_empty() {
            let mut attributes = Reader::new(sets.expect(SET)?.contents, "name");
            if attributes.is_empty() {
                return Err(attributes.fault());
            }
            while !attributes.is_empty() {
                let mut parts = Reader::new(attributes.expect(SEQUENCE)?.contents, "name");
                parts.expect(OID)?;
                parts.next()?;
                parts.end()?;
            }
        }
        Ok(Self { der: der.into(), canonical: OnceLock::new() })
    }

    pub(super) fn into_owned(self) -> Name<'static> {
        Name { der: owned(self.der), canonical: self.canonical }
    }

    pub(super) fn is_empty(&self) -> bool {
        *self.der == [SEQUENCE, 0]
    }

    /// Whether the two are the same: text without case and surplus white space, whatever its encoding;
    /// everything else as bytes.
    pub(super) fn is(&self, other: &Name<'_>) -> bool {
        self.der == other.der || self.canonical() == other.canonical()
    }

    pub(super) fn starts_with(&self, base: &Name<'_>) -> bool {
        self.canonical().starts_with(base.canonical())
    }

    /// The same, but where it can't be told whether two values are equal they may be: RFC 5280 would have text
    /// normalised that is not ASCII, or in old encodings.
    pub(super) fn may_start_with(&self, base: &Name<'_>) -> bool {
        let mut own = relative_names(&self.der);
        relative_names(&base.der).all(|base| own.next().is_some_and(|own| may_be_same(own, base)))
    }

    /// Values of its emailAddress attributes, which constraints apply to (RFC 5280 §4.2.1.10); none for what is no
    /// text.
    pub(super) fn email_addresses(&self) -> impl Iterator<Item = Option<&[u8]>> {
        let attributes = relative_names(&self.der).flat_map(attributes);
        attributes
            .filter(|attribute| attribute.id == EMAIL_ADDRESS)
            .map(|attribute| attribute.text().map(str::as_bytes))
    }

    /// As RFC 4514 writes it, escaped and cut; empty if it is none.
    pub(super) fn text(&self) -> Box<str> {
        let mut bytes = 0;
        let sets = relative_sets(&self.der).take_while(|set| {
            bytes += set.whole.len();
            bytes <= MAX_BYTES_IN_TEXT
        });
        let names = sets.filter_map(|set| RelativeDistinguishedName::from_der(set.whole).ok());
        let name: X509Name<'_> = names.map(|(_, name)| name).collect();
        text::shown(name.to_string().as_bytes()).into()
    }

    fn canonical(&self) -> &[u8] {
        self.canonical.get_or_init(|| {
            let mut canonical = Vec::with_capacity(2 * self.der.len());
            for set in relative_names(&self.der) {
                put_sized(&mut canonical, |canonical| put_relative_name(canonical, set));
            }
            canonical.into()
        })
    }
}

/// One attribute of a name.
struct Attribute<'a> {
    id: &'a [u8],
    value: Element<'a>,
}

impl<'a> Attribute<'a> {
    /// Its value, if it is text in an encoding that is compared by RFC 5280 §§7.1, 7.3.
    fn text(&self) -> Option<&'a str> {
        let is_text = match self.value.tag {
            UTF8_STRING => true,
            NUMERIC_STRING | PRINTABLE_STRING | IA5_STRING | VISIBLE_STRING => self.value.contents.is_ascii(),
            _ => false,
        };
        std::str::from_utf8(self.value.contents).ok().filter(|_| is_text)
    }

    /// Whether nothing but case and spaces could make its value equal to another.
    fn is_clear(&self) -> bool {
        self.text().is_some_and(|text| text.bytes().all(|byte| matches!(byte, b' '..=b'~')))
    }

    fn put(&self, canonical: &mut Vec<u8>) {
        put_sized(canonical, |canonical| canonical.extend(self.id));
        put_sized(canonical, |canonical| match self.text() {
            Some(text) => {
                canonical.push(TEXT);
                for word in text.split_whitespace() {
                    canonical.push(b' ');
                    match word.is_ascii() {
                        true => canonical.extend(word.bytes().map(|byte| byte.to_ascii_lowercase())),
                        false => canonical.extend(word.to_lowercase().bytes()),
                    }
                }
            }
            None => canonical.extend(self.value.whole),
        });
    }
}

/// What `put` appends, after its length.
fn put_sized(bytes: &mut Vec<u8>, put: impl FnOnce(&mut Vec<u8>)) {
    let start = bytes.len();
    bytes.extend([0; size_of::<usize>()]);
    let contents = bytes.len();
    put(bytes);
    let length = (bytes.len() - contents).to_be_bytes();
    bytes[start..contents].copy_from_slice(&length);
}

/// The attributes of one relative name, in an order of their own.
fn put_relative_name(canonical: &mut Vec<u8>, set: &[u8]) {
    let mut rest = attributes(set);
    let (Some(first), None) = (rest.next(), rest.next()) else {
        let mut all: Vec<_> = attributes(set).map(|attribute| canonical_attribute(&attribute)).collect();
        all.sort_unstable();
        return canonical.extend(all.concat());
    };
    first.put(canonical);
}

fn canonical_attribute(attribute: &Attribute<'_>) -> Vec<u8> {
    let mut canonical = Vec::new();
    attribute.put(&mut canonical);
    canonical
}

fn may_be_same(a: &[u8], b: &[u8]) -> bool {
    let canonical = |set| {
        let mut canonical = Vec::new();
        put_relative_name(&mut canonical, set);
        canonical
    };
    let types = |set| {
        let mut types: Vec<_> = attributes(set).map(|attribute| attribute.id).collect();
        types.sort_unstable();
        types
    };
    let is_clear = |set| attributes(set).all(|attribute| attribute.is_clear());
    types(a) == types(b) && (!is_clear(a) || !is_clear(b) || canonical(a) == canonical(b))
}

/// The contents of each set of a well-formed name.
fn relative_names(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    relative_sets(name).map(|set| set.contents)
}

fn relative_sets(name: &[u8]) -> impl Iterator<Item = Element<'_>> {
    let mut sets = Reader::only(name, SEQUENCE, "name").ok();
    std::iter::from_fn(move || sets.as_mut()?.next().ok())
}

fn attributes(set: &[u8]) -> impl Iterator<Item = Attribute<'_>> {
    let mut attributes = Reader::new(set, "name");
    std::iter::from_fn(move || {
        let mut parts = Reader::new(attributes.next().ok()?.contents, "name");
        Some(Attribute { id: parts.next().ok()?.contents, value: parts.next().ok()? })
    })
}

/// No tag that is read here, so no text is equal to another value.
const TEXT: u8 = 0xff;
/// Relative names beyond are left out of messages.
const MAX_BYTES_IN_TEXT: usize = 1024;

const SET: u8 = 0x31;
const UTF8_STRING: u8 = 0x0c;
const NUMERIC_STRING: u8 = 0x12;
const PRINTABLE_STRING: u8 = 0x13;
const IA5_STRING: u8 = 0x16;
const VISIBLE_STRING: u8 = 0x1a;
/// 1.2.840.113549.1.9.1
const EMAIL_ADDRESS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1];

#[cfg(test)]
mod tests;
