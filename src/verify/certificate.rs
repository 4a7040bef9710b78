//! A strict, zero-copy view of one certificate: exactly the fields the rules read.

use std::borrow::Cow;
use std::sync::OnceLock;

use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

use super::der::{self, Element, INTEGER, Reader, SEQUENCE};
use super::distinguished_name::Name;
use super::extensions::{ExtendedKeyUsage, Extensions, read_extensions};
use super::moment::Moment;
use super::names::{GeneralName, owned};
use super::rejection::{Fault, Place, Rejection};

/// One certificate of version 3 (RFC 5280 §4.1), borrowed from its DER or owned. Algorithms are raw DER, to
/// be compared as bytes.
#[derive(Debug)]
pub(super) struct Certificate<'a> {
    pub(super) der: Cow<'a, [u8]>,
    /// What the signature covers.
    pub(super) signed: Cow<'a, [u8]>,
    /// Contents of the AlgorithmIdentifier, without its header.
    pub(super) signature_algorithm: Cow<'a, [u8]>,
    pub(super) signature: Cow<'a, [u8]>,
    pub(super) issuer: Name<'a>,
    pub(super) subject: Name<'a>,
    /// Unix seconds.
    pub(super) not_before: i64,
    /// Unix seconds, itself included.
    pub(super) not_after: i64,
    pub(super) key: Key<'a>,
    pub(super) extensions: Extensions<'a>,
    is_self_issued: OnceLock<bool>,
}

/// A SubjectPublicKeyInfo, all of it and its two parts.
#[derive(Debug)]
pub(super) struct Key<'a> {
    pub(super) info: Cow<'a, [u8]>,
    /// Contents of the AlgorithmIdentifier, without its header.
    pub(super) algorithm: Cow<'a, [u8]>,
    pub(super) bytes: Cow<'a, [u8]>,
}

impl<'a> Certificate<'a> {
    /// Reads exactly one DER certificate.
    pub(super) fn parse(der: &'a [u8]) -> Result<Self, Fault> {
        let mut outer = Reader::only(der, SEQUENCE, "certificate")?;
        let signed = outer.expect(SEQUENCE)?;
        let signature_algorithm = outer.expect(SEQUENCE)?.contents;
        let signature = outer.bytes_as_bits()?;
        outer.end()?;

        let mut fields = Reader::new(signed.contents, "certificate fields");
        if fields.optional(der::constructed(0))?.map(|version| version.contents) != Some(VERSION_3) {
            return Err(Fault::Malformed { what: "not version 3" });
        }
        read_serial(&mut fields)?;
        if fields.expect(SEQUENCE)?.contents != signature_algorithm {
            return Err(Fault::Malformed { what: "two signature algorithms" });
        }
        let issuer = Name::read(fields.next()?.whole)?;
        let (not_before, not_after) = read_validity(fields.expect(SEQUENCE)?)?;
        let subject = Name::read(fields.next()?.whole)?;
        let key = read_key(fields.expect(SEQUENCE)?)?;
        fields.optional(der::primitive(1))?;
        fields.optional(der::primitive(2))?;
        let extensions = match fields.optional(der::constructed(3))? {
            Some(list) => read_extensions(list.contents)?,
            None => Extensions::default(),
        };
        fields.end()?;
        // RFC 5280 §§4.1.2.4, 4.1.2.6
        if issuer.is_empty() || (extensions.is_ca && subject.is_empty()) {
            return Err(Fault::Malformed { what: "an issuer without a name" });
        }
        Ok(Self {
            der: der.into(),
            signed: signed.whole.into(),
            signature_algorithm: signature_algorithm.into(),
            signature: signature.into(),
            issuer,
            subject,
            not_before,
            not_after,
            key,
            extensions,
            is_self_issued: OnceLock::new(),
        })
    }

    /// The same, to be kept.
    pub(super) fn into_owned(self) -> Certificate<'static> {
        Certificate {
            der: owned(self.der),
            signed: owned(self.signed),
            signature_algorithm: owned(self.signature_algorithm),
            signature: owned(self.signature),
            issuer: self.issuer.into_owned(),
            subject: self.subject.into_owned(),
            not_before: self.not_before,
            not_after: self.not_after,
            key: Key { info: owned(self.key.info), algorithm: owned(self.key.algorithm), bytes: owned(self.key.bytes) },
            extensions: self.extensions.into_owned(),
            is_self_issued: self.is_self_issued,
        }
    }

    pub(super) fn is_self_issued(&self) -> bool {
        *self.is_self_issued.get_or_init(|| self.subject.is(&self.issuer))
    }

    /// Every URI among the subject's alternative names, as encoded.
    pub(super) fn uris(&self) -> impl Iterator<Item = &[u8]> {
        self.extensions.names.iter().filter_map(GeneralName::uri)
    }

    /// Roles that its extendedKeyUsage allows.
    pub(super) fn roles(&self) -> ExtendedKeyUsage {
        self.extensions.extended_key_usage.unwrap_or(ExtendedKeyUsage::ALL)
    }

    /// Rules of every certificate in a path, whatever its place.
    pub(super) fn check(&self, at: &Moment) -> Result<(), Fault> {
        if let Some(oid) = &self.extensions.unsupported {
            return Err(Fault::CriticalExtension { oid: oid.clone() });
        }
        at.check(self.not_before, self.not_after)
    }

    /// This certificate as the reason why a chain is refused.
    pub(super) fn rejected(&self, place: Place, fault: Fault) -> Rejection {
        Rejection::Certificate { place, subject: self.subject.text(), fault }
    }
}

/// What could not be parsed, as the reason why a chain is refused.
pub(super) fn unreadable(place: Place, fault: Fault) -> Rejection {
    Rejection::Certificate { place, subject: Box::default(), fault }
}

/// The DER of a certificate's subject, at a fraction of the cost of all of it; whatever is wrong elsewhere is not noticed.
pub(super) fn subject_of(der: &[u8]) -> Option<&[u8]> {
    let mut fields = Reader::only(der, SEQUENCE, "certificate").ok()?;
    let signed = fields.expect(SEQUENCE).ok()?;
    fields = Reader::new(signed.contents, "certificate fields");
    fields.optional(der::constructed(0)).ok()?;
    let [_serial, _algorithm, _issuer, _validity, subject] = std::array::from_fn(|_| fields.next().ok());
    subject.map(|subject| subject.whole)
}

const VERSION_3: &[u8] = &[INTEGER, 1, 2];
/// RFC 5280 §4.1.2.2
const MAX_SERIAL: usize = 20;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Up to 20 bytes and a sign; zero has been issued, and does no harm.
fn read_serial(fields: &mut Reader<'_>) -> Result<(), Fault> {
    let serial = fields.integer()?;
    if serial.len() > MAX_SERIAL { Err(Fault::Malformed { what: "serial number" }) } else { Ok(()) }
}

fn read_validity(validity: Element<'_>) -> Result<(i64, i64), Fault> {
    let mut times = Reader::new(validity.contents, "validity");
    let (not_before, not_after) = (times.next()?, times.next()?);
    times.end()?;
    Ok((read_time(not_before)?, read_time(not_after)?))
}

/// Only the two forms of RFC 5280 §4.1.2.5; the parser below would read laxer ones.
fn read_time(time: Element<'_>) -> Result<i64, Fault> {
    let malformed = Fault::Malformed { what: "validity" };
    let digits = match (time.tag, time.contents.split_last()) {
        (UTC_TIME, Some((b'Z', digits))) if digits.len() == 12 => digits,
        (GENERALIZED_TIME, Some((b'Z', digits))) if digits.len() == 14 => digits,
        _ => return Err(malformed),
    };
    match ASN1Time::from_der(time.whole) {
        Ok((_, time)) if digits.iter().all(u8::is_ascii_digit) => Ok(time.timestamp()),
        _ => Err(malformed),
    }
}

fn read_key(info: Element<'_>) -> Result<Key<'_>, Fault> {
    let mut parts = Reader::new(info.contents, "public key");
    let algorithm = parts.expect(SEQUENCE)?.contents;
    let bytes = parts.bytes_as_bits()?;
    parts.end()?;
    Ok(Key { info: info.whole.into(), algorithm: algorithm.into(), bytes: bytes.into() })
}

#[cfg(test)]
mod tests;
