//! A strict, zero-copy view of one certificate: exactly the fields the rules read.

use std::borrow::Cow;

use x509_parser::oid_registry::Oid;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

use super::der::{self, BIT_STRING, Element, INTEGER, OCTET_STRING, Reader, SEQUENCE};
use super::distinguished_name::Name;
use super::moment::Moment;
use super::name_constraints::NameConstraints;
use super::names::{GeneralName, owned, read_names};
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
}

/// A SubjectPublicKeyInfo, all of it and its two parts.
#[derive(Debug)]
pub(super) struct Key<'a> {
    pub(super) info: Cow<'a, [u8]>,
    /// Contents of the AlgorithmIdentifier, without its header.
    pub(super) algorithm: Cow<'a, [u8]>,
    pub(super) bytes: Cow<'a, [u8]>,
}

/// What the extensions say; absent ones are as RFC 5280 defaults them.
#[derive(Debug, Default)]
pub(super) struct Extensions<'a> {
    pub(super) is_ca: bool,
    pub(super) path_length: Option<u64>,
    pub(super) key_usage: Option<KeyUsage>,
    pub(super) extended_key_usage: Option<ExtendedKeyUsage>,
    /// The subject's alternative names.
    pub(super) names: Vec<GeneralName<'a>>,
    pub(super) san_is_critical: bool,
    pub(super) name_constraints: Option<NameConstraints<'a>>,
    /// The first critical extension that nothing here processes.
    pub(super) unsupported: Option<String>,
    pub(super) subject_key_id: Option<Cow<'a, [u8]>>,
    pub(super) authority_key_id: Option<Cow<'a, [u8]>>,
}

/// keyUsage, as far as the rules go.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyUsage {
    pub(super) is_critical: bool,
    pub(super) digital_signature: bool,
    pub(super) key_cert_sign: bool,
    pub(super) crl_sign: bool,
}

/// extendedKeyUsage, as far as the rules go; anyExtendedKeyUsage sets both.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ExtendedKeyUsage {
    pub(super) server: bool,
    pub(super) client: bool,
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
        fields.expect(INTEGER)?;
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
        }
    }

    pub(super) fn is_self_issued(&self) -> bool {
        self.subject.is(&self.issuer)
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

impl ExtendedKeyUsage {
    const ALL: Self = Self { server: true, client: true };

    pub(super) fn and(self, other: Self) -> Self {
        Self { server: self.server && other.server, client: self.client && other.client }
    }
}

impl Extensions<'_> {
    fn into_owned(self) -> Extensions<'static> {
        Extensions {
            names: self.names.into_iter().map(GeneralName::into_owned).collect(),
            name_constraints: self.name_constraints.map(NameConstraints::into_owned),
            subject_key_id: self.subject_key_id.map(owned),
            authority_key_id: self.authority_key_id.map(owned),
            ..self
        }
    }
}

/// What could not be parsed, as the reason why a chain is refused.
pub(super) fn unreadable(place: Place, fault: Fault) -> Rejection {
    Rejection::Certificate { place, subject: Box::default(), fault }
}

const VERSION_3: &[u8] = &[INTEGER, 1, 2];
/// Far more than any certificate has; it bounds the search for one that is given twice.
const MAX_EXTENSIONS: usize = 64;

const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

// 2.5.29.n
const SUBJECT_KEY_ID: &[u8] = &[0x55, 0x1d, 14];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 15];
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 17];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];
const NAME_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 30];
const AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1d, 35];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 37];
const ANY_USAGE: &[u8] = &[0x55, 0x1d, 37, 0];
// 1.3.6.1.5.5.7.3.n
const SERVER_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
const CLIENT_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];

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

fn read_extensions(list: &[u8]) -> Result<Extensions<'_>, Fault> {
    let mut list = Reader::only(list, SEQUENCE, "extensions")?;
    let mut extensions = Extensions::default();
    let mut seen = Vec::with_capacity(MAX_EXTENSIONS);
    while !list.is_empty() {
        let mut parts = Reader::new(list.expect(SEQUENCE)?.contents, "extension");
        let id = parts.expect(der::OID)?.contents;
        let is_critical = parts.flag()?;
        let value = parts.expect(OCTET_STRING)?.contents;
        parts.end()?;
        if seen.contains(&id) {
            return Err(Fault::Malformed { what: "an extension is given twice" });
        }
        if seen.len() == MAX_EXTENSIONS {
            return Err(Fault::Malformed { what: "more than 64 extensions" });
        }
        seen.push(id);
        read_extension(&mut extensions, id, is_critical, value)?;
    }
    Ok(extensions)
}

fn read_extension<'a>(
    extensions: &mut Extensions<'a>,
    id: &[u8],
    is_critical: bool,
    value: &'a [u8],
) -> Result<(), Fault> {
    match id {
        BASIC_CONSTRAINTS => (extensions.is_ca, extensions.path_length) = read_basic_constraints(value)?,
        KEY_USAGE => extensions.key_usage = Some(read_key_usage(value, is_critical)?),
        EXTENDED_KEY_USAGE => extensions.extended_key_usage = Some(read_extended_key_usage(value)?),
        SUBJECT_ALT_NAME => {
            extensions.names = read_names(value)?;
            extensions.san_is_critical = is_critical;
        }
        NAME_CONSTRAINTS => extensions.name_constraints = Some(NameConstraints::parse(value)?),
        _ if is_critical => {
            extensions.unsupported.get_or_insert_with(|| Oid::new(id.into()).to_id_string());
        }
        // Only hints for the order of candidates, so a broken one is none.
        SUBJECT_KEY_ID => extensions.subject_key_id = read_subject_key_id(value).ok().map(Cow::from),
        AUTHORITY_KEY_ID => extensions.authority_key_id = read_authority_key_id(value).ok().flatten().map(Cow::from),
        _ => {}
    }
    Ok(())
}

fn read_basic_constraints(value: &[u8]) -> Result<(bool, Option<u64>), Fault> {
    let mut parts = Reader::only(value, SEQUENCE, "basicConstraints")?;
    let is_ca = parts.flag()?;
    let path_length = match parts.optional(INTEGER)?.map(|number| number.contents) {
        None => None,
        Some([] | [0x80..=0xff, ..]) => return Err(parts.fault()),
        Some(digits) if digits.len() > 8 => Some(u64::MAX),
        Some(digits) => Some(digits.iter().fold(0, |number, digit| number << 8 | u64::from(*digit))),
    };
    parts.end()?;
    if path_length.is_some() && !is_ca {
        return Err(Fault::Malformed { what: "basicConstraints limits the paths of no CA" });
    }
    Ok((is_ca, path_length))
}

fn read_key_usage(value: &[u8], is_critical: bool) -> Result<KeyUsage, Fault> {
    let mut outer = Reader::new(value, "keyUsage");
    let bits = outer.expect(BIT_STRING)?.contents;
    outer.end()?;
    let &[unused @ 0..=7, first, ..] = bits else { return Err(outer.fault()) };
    if bits.last().is_some_and(|last| last.trailing_zeros() < u32::from(unused)) {
        return Err(outer.fault());
    }
    let bit = |number: u8| first & (0x80 >> number) != 0;
    Ok(KeyUsage { is_critical, digital_signature: bit(0), key_cert_sign: bit(5), crl_sign: bit(6) })
}

fn read_extended_key_usage(value: &[u8]) -> Result<ExtendedKeyUsage, Fault> {
    let mut purposes = Reader::only(value, SEQUENCE, "extendedKeyUsage")?;
    let mut usage = ExtendedKeyUsage::default();
    if purposes.is_empty() {
        return Err(purposes.fault());
    }
    while !purposes.is_empty() {
        match purposes.expect(der::OID)?.contents {
            ANY_USAGE => usage = ExtendedKeyUsage::ALL,
            SERVER_AUTH => usage.server = true,
            CLIENT_AUTH => usage.client = true,
            _ => {}
        }
    }
    Ok(usage)
}

fn read_subject_key_id(value: &[u8]) -> Result<&[u8], Fault> {
    let mut outer = Reader::new(value, "subjectKeyIdentifier");
    let id = outer.expect(OCTET_STRING)?.contents;
    outer.end().map(|()| id)
}

fn read_authority_key_id(value: &[u8]) -> Result<Option<&[u8]>, Fault> {
    let mut parts = Reader::only(value, SEQUENCE, "authorityKeyIdentifier")?;
    Ok(parts.optional(der::primitive(0))?.map(|id| id.contents))
}
