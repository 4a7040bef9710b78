//! The extensions that the rules read (RFC 5280 §4.2).

use std::borrow::Cow;

use x509_parser::oid_registry::Oid;

use super::der::{self, BIT_STRING, OCTET_STRING, Reader, SEQUENCE};
use super::name_constraints::NameConstraints;
use super::names::{GeneralName, owned, read_names};
use super::policies;
use super::rejection::Fault;

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
    /// The first extension that is critical, or must be processed, and isn't by anything here.
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

impl ExtendedKeyUsage {
    pub(super) const ALL: Self = Self { server: true, client: true };

    pub(super) fn and(self, other: Self) -> Self {
        Self { server: self.server && other.server, client: self.client && other.client }
    }
}

impl Extensions<'_> {
    fn cannot_process(&mut self, id: &[u8]) {
        self.unsupported.get_or_insert_with(|| match id.len() {
            ..=MAX_ID_IN_MESSAGE => Oid::new(id.into()).to_id_string(),
            bytes => format!("with an identifier of {bytes} bytes"),
        });
    }

    pub(super) fn into_owned(self) -> Extensions<'static> {
        Extensions {
            names: self.names.into_iter().map(GeneralName::into_owned).collect(),
            name_constraints: self.name_constraints.map(NameConstraints::into_owned),
            subject_key_id: self.subject_key_id.map(owned),
            authority_key_id: self.authority_key_id.map(owned),
            ..self
        }
    }
}

/// Reads a list of extensions, one at least.
pub(super) fn read_extensions(list: &[u8]) -> Result<Extensions<'_>, Fault> {
    let mut list = Reader::only(list, SEQUENCE, "extensions")?;
    if list.is_empty() {
        return Err(list.fault());
    }
    let mut extensions = Extensions::default();
    let mut seen = Vec::with_capacity(USUAL_EXTENSIONS);
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
        CERTIFICATE_POLICIES if !policies::can_read(value)? && is_critical => extensions.cannot_process(id),
        POLICY_CONSTRAINTS if policies::require_policy(value)? => extensions.cannot_process(id),
        POLICY_MAPPINGS => policies::check_mappings(value)?,
        INHIBIT_ANY_POLICY => policies::check_inhibition(value)?,
        CERTIFICATE_POLICIES | POLICY_CONSTRAINTS => {}
        _ if is_critical => extensions.cannot_process(id),
        // Only hints for the order of candidates, so a broken one is none.
        SUBJECT_KEY_ID => extensions.subject_key_id = read_subject_key_id(value).ok().map(Cow::from),
        AUTHORITY_KEY_ID => extensions.authority_key_id = read_authority_key_id(value).ok().flatten().map(Cow::from),
        _ => {}
    }
    Ok(())
}

fn read_basic_constraints(value: &[u8]) -> Result<(bool, Option<u64>), Fault> {
    let mut parts = Reader::only(value, SEQUENCE, "basicConstraints")?;
    let is_ca = parts.lax_flag()?;
    let path_length = match parts.is_empty() {
        true => None,
        false => Some(match parts.integer()? {
            digits if digits.len() > 8 => u64::MAX,
            digits => digits.iter().fold(0, |number, digit| number << 8 | u64::from(*digit)),
        }),
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
    if bits.last().is_some_and(|last| last.trailing_zeros() != u32::from(unused)) {
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

/// Far more than any certificate has; it bounds the search for one that is given twice.
const MAX_EXTENSIONS: usize = 64;
const USUAL_EXTENSIONS: usize = 8;

/// Longer identifiers are told by their length.
const MAX_ID_IN_MESSAGE: usize = 64;

// 2.5.29.n
const SUBJECT_KEY_ID: &[u8] = &[0x55, 0x1d, 14];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 15];
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 17];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];
const NAME_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 30];
const CERTIFICATE_POLICIES: &[u8] = &[0x55, 0x1d, 32];
const POLICY_MAPPINGS: &[u8] = &[0x55, 0x1d, 33];
const AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1d, 35];
const POLICY_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 36];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 37];
const INHIBIT_ANY_POLICY: &[u8] = &[0x55, 0x1d, 54];
const ANY_USAGE: &[u8] = &[0x55, 0x1d, 37, 0];
// 1.3.6.1.5.5.7.3.n
const SERVER_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
const CLIENT_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];
