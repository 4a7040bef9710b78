//! Strict DER: definite, minimal lengths and one-byte tags, nothing left over.

use super::rejection::Fault;

/// One element: its tag, its contents and all of it, header included.
#[derive(Clone, Copy)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) contents: &'a [u8],
    pub(super) whole: &'a [u8],
}

/// Reads the elements of `contents` in order; `what` names the structure in faults.
pub(super) struct Reader<'a> {
    left: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    pub(super) fn new(contents: &'a [u8], what: &'static str) -> Self {
        Self { left: contents, what }
    }

    /// The contents of `der`, which must be exactly one element with this tag.
    pub(super) fn only(der: &'a [u8], tag: u8, what: &'static str) -> Result<Self, Fault> {
        let mut outer = Self::new(der, what);
        let element = outer.expect(tag)?;
        outer.end()?;
        Ok(Self::new(element.contents, what))
    }

    /// The next element, whatever its tag.
    pub(super) fn next(&mut self) -> Result<Element<'a>, Fault> {
        let element = split(self.left).ok_or_else(|| self.fault())?;
        self.left = &self.left[element.whole.len()..];
        Ok(element)
    }

    pub(super) fn expect(&mut self, tag: u8) -> Result<Element<'a>, Fault> {
        let element = self.next()?;
        if element.tag == tag { Ok(element) } else { Err(self.fault()) }
    }

    /// The next element if it has this tag.
    pub(super) fn optional(&mut self, tag: u8) -> Result<Option<Element<'a>>, Fault> {
        if self.left.first() == Some(&tag) { self.next().map(Some) } else { Ok(None) }
    }

    /// An optional BOOLEAN that defaults to false, and so isn't there if it is.
    pub(super) fn flag(&mut self) -> Result<bool, Fault> {
        match self.optional(BOOLEAN)?.map(|element| element.contents) {
            None => Ok(false),
            Some([0xff]) => Ok(true),
            Some(_) => Err(self.fault()),
        }
    }

    /// The same, but FALSE may be said: so many certificates do.
    pub(super) fn lax_flag(&mut self) -> Result<bool, Fault> {
        match self.left {
            [BOOLEAN, 1, 0, ..] => self.next().map(|_| false),
            _ => self.flag(),
        }
    }

    /// A minimal INTEGER that is not negative, big-endian, without the byte that is its sign alone.
    pub(super) fn integer(&mut self) -> Result<&'a [u8], Fault> {
        let number = self.expect(INTEGER)?.contents;
        self.unsigned(number)
    }

    /// Contents of an INTEGER with whatever tag.
    pub(super) fn unsigned(&self, number: &'a [u8]) -> Result<&'a [u8], Fault> {
        match number {
            [0] | [1..=0x7f, ..] => Ok(number),
            [0, rest @ ..] if rest.first() >= Some(&0x80) => Ok(rest),
            _ => Err(self.fault()),
        }
    }

    /// A BIT STRING of whole bytes.
    pub(super) fn bytes_as_bits(&mut self) -> Result<&'a [u8], Fault> {
        match self.expect(BIT_STRING)?.contents.split_first() {
            Some((0, bytes)) => Ok(bytes),
            _ => Err(self.fault()),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    pub(super) fn end(&self) -> Result<(), Fault> {
        if self.is_empty() { Ok(()) } else { Err(self.fault()) }
    }

    pub(super) fn fault(&self) -> Fault {
        Fault::Malformed { what: self.what }
    }
}

/// What ends an indefinite length, which DER has not.
const END: u8 = 0;
/// The bits of a tag that say that more bytes of it follow.
const HIGH_TAG: u8 = 0x1f;

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;

/// The tag `[number]` of a constructed element, as EXPLICIT tags are.
pub(super) const fn constructed(number: u8) -> u8 {
    0xa0 | number
}

/// The tag `[number]` of a primitive element, as IMPLICIT tags of simple types are.
pub(super) const fn primitive(number: u8) -> u8 {
    0x80 | number
}

fn split(input: &[u8]) -> Option<Element<'_>> {
    let tag = *input.first().filter(|tag| **tag != END && **tag & HIGH_TAG != HIGH_TAG)?;
    let (element, _) = asn1::strip_tlv(input).ok()?;
    Some(Element { tag, contents: element.data(), whole: element.full_data() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_minimal_definite_lengths_are_read() {
        for (name, der, ok) in [
            ("empty", &[0x30, 0][..], true),
            ("short", &[0x04, 1, 7], true),
            ("long for short", &[0x04, 0x81, 1, 7], false),
            ("leading zero", &[&[0x04, 0x82, 0, 0x80][..], &[0; 0x80]].concat(), false),
            ("long", &[&[0x04, 0x81, 0x80][..], &[0; 0x80]].concat(), true),
            ("indefinite", &[0x30, 0x80, 0, 0], false),
            ("cut short", &[0x04, 2, 7], false),
            ("high tag", &[0x1f, 1, 7], false),
            ("end of contents", &[0, 0], false),
            ("UniversalString", &[0x1c, 0], true),
            ("no length", &[0x30], false),
            ("four bytes of length", &[&[0x04, 0x84, 0, 1, 0, 0][..], &[0; 0x10000]].concat(), false),
            ("huge", &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], false),
        ] {
            assert_eq!(split(der).is_some(), ok, "{name}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            if let Some(element) = split(&bytes) {
                prop_assert!(bytes.starts_with(element.whole) && element.whole.ends_with(element.contents));
            }
        }
    }
}
