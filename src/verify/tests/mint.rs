//! Certificates written field by field, right or wrong as told.

use super::super::der::{BIT_STRING, BOOLEAN, INTEGER, OCTET_STRING, OID, SEQUENCE};
use super::super::testing::element;
use super::keys::{Key, Scheme};

pub(super) const ID: &str = "spiffe://a.test/x";

/// A certificate before it is signed (RFC 5280 §4.1), its fields in DER.
#[derive(Clone)]
pub(super) struct Draft {
    pub(super) version: Vec<u8>,
    /// Contents of the INTEGER.
    pub(super) serial: Vec<u8>,
    pub(super) issuer: Vec<u8>,
    pub(super) not_before: Vec<u8>,
    pub(super) not_after: Vec<u8>,
    pub(super) subject: Vec<u8>,
    pub(super) key: Vec<u8>,
    pub(super) unique_ids: Vec<u8>,
    pub(super) extensions: Vec<Extension>,
    /// Of what is signed, if it is another than that of the signature.
    pub(super) inner_algorithm: Option<Vec<u8>>,
}

#[derive(Clone)]
pub(super) struct Extension {
    /// Contents of the OBJECT IDENTIFIER.
    id: Vec<u8>,
    /// The BOOLEAN, if there is one.
    critical: Vec<u8>,
    value: Vec<u8>,
}

impl Draft {
    /// An SVID for [`ID`], valid from 2024 through 2049.
    pub(super) fn leaf(subject: &str, key: &Key) -> Self {
        let mut leaf = Self::bare(subject, key);
        leaf.set(KEY_USAGE, true, DIGITAL_SIGNATURE);
        leaf.set(SUBJECT_ALT_NAME, false, &names(&[(URI, ID.as_bytes())]));
        leaf
    }

    /// A CA for as long.
    pub(super) fn ca(subject: &str, key: &Key) -> Self {
        let mut ca = Self::bare(subject, key);
        ca.set(BASIC_CONSTRAINTS, true, CA);
        ca.set(KEY_USAGE, true, KEY_CERT_SIGN);
        ca
    }

    fn bare(subject: &str, key: &Key) -> Self {
        let mut bare = Self {
            version: VERSION_3.to_vec(),
            serial: vec![1],
            issuer: common_name(subject),
            not_before: utc_time("240101000000Z"),
            not_after: utc_time("491231235959Z"),
            subject: common_name(subject),
            key: key.info.clone(),
            unique_ids: Vec::new(),
            extensions: Vec::new(),
            inner_algorithm: None,
        };
        bare.set(SUBJECT_KEY_ID, false, &element(OCTET_STRING, &key.id));
        bare.set_authority_key_id(&key.id);
        bare
    }

    /// The same, issued by this name and key; it remains to be signed.
    pub(super) fn issued_by(mut self, issuer: &str, key: &Key) -> Self {
        self.issuer = common_name(issuer);
        self.set_authority_key_id(&key.id);
        self
    }

    pub(super) fn set_authority_key_id(&mut self, id: &[u8]) {
        self.set(AUTHORITY_KEY_ID, false, &element(SEQUENCE, &element(0x80, id)));
    }

    /// Puts extension 2.5.29.`number` in the place of the one there is.
    pub(super) fn set(&mut self, number: u8, is_critical: bool, value: &[u8]) {
        self.unset(number);
        self.add(number, is_critical, value);
    }

    pub(super) fn add(&mut self, number: u8, is_critical: bool, value: &[u8]) {
        self.add_other(&[0x55, 0x1d, number], is_critical, value);
    }

    /// Adds an extension of any identifier.
    pub(super) fn add_other(&mut self, id: &[u8], is_critical: bool, value: &[u8]) {
        let critical = if is_critical { element(BOOLEAN, &[0xff]) } else { Vec::new() };
        self.extensions.push(Extension { id: id.to_vec(), critical, value: value.to_vec() });
    }

    pub(super) fn unset(&mut self, number: u8) {
        self.extensions.retain(|extension| extension.id != [0x55, 0x1d, number]);
    }

    /// Encodes the BOOLEAN of an extension as told, if the extension is there.
    pub(super) fn set_critical(&mut self, number: u8, critical: &[u8]) {
        let extensions = self.extensions.iter_mut().filter(|it| it.id == [0x55, 0x1d, number]);
        extensions.for_each(|it| it.critical = critical.to_vec());
    }

    /// A pathLenConstraint, on a leaf too.
    pub(super) fn limit(&mut self, below: u8) {
        let is_ca = self.has(BASIC_CONSTRAINTS);
        let fields = if is_ca { vec![1, 1, 0xff, 2, 1, below] } else { vec![2, 1, below] };
        self.set(BASIC_CONSTRAINTS, true, &element(SEQUENCE, &fields));
    }

    fn has(&self, number: u8) -> bool {
        self.extensions.iter().any(|extension| extension.id == [0x55, 0x1d, number])
    }

    pub(super) fn sign(&self, key: &Key, scheme: Scheme) -> Vec<u8> {
        let signed = self.to_be_signed(scheme);
        let signature = key.sign(scheme, &signed);
        certificate(&signed, &scheme.algorithm(), &signature)
    }

    pub(super) fn to_be_signed(&self, scheme: Scheme) -> Vec<u8> {
        let algorithm = self.inner_algorithm.clone().unwrap_or_else(|| scheme.algorithm());
        let validity = element(SEQUENCE, &[self.not_before.as_slice(), &self.not_after].concat());
        let extensions: Vec<u8> = self.extensions.iter().flat_map(Extension::der).collect();
        let extensions = match self.version.as_slice() {
            VERSION_3 => element(0xa3, &element(SEQUENCE, &extensions)),
            _ => Vec::new(),
        };
        let fields = [
            self.version.clone(),
            element(INTEGER, &self.serial),
            algorithm,
            self.issuer.clone(),
            validity,
            self.subject.clone(),
            self.key.clone(),
            self.unique_ids.clone(),
            extensions,
        ];
        element(SEQUENCE, &fields.concat())
    }
}

impl Extension {
    fn der(&self) -> Vec<u8> {
        let parts = [element(OID, &self.id), self.critical.clone(), element(OCTET_STRING, &self.value)];
        element(SEQUENCE, &parts.concat())
    }
}

/// The three parts of a certificate put together.
pub(super) fn certificate(signed: &[u8], algorithm: &[u8], signature: &[u8]) -> Vec<u8> {
    let signature = element(BIT_STRING, &[&[0], signature].concat());
    element(SEQUENCE, &[signed, algorithm, &signature].concat())
}

/// A name of one commonName.
pub(super) fn common_name(name: &str) -> Vec<u8> {
    distinguished_name(&[(COMMON_NAME, 0x0c, name.as_bytes())])
}

/// Attributes by identifier, tag and value, each in a set of its own.
pub(super) fn distinguished_name(attributes: &[(&[u8], u8, &[u8])]) -> Vec<u8> {
    let set = |(id, tag, value): &(&[u8], u8, &[u8])| {
        element(0x31, &element(SEQUENCE, &[element(OID, id), element(*tag, value)].concat()))
    };
    element(SEQUENCE, &attributes.iter().flat_map(set).collect::<Vec<_>>())
}

/// The contents of a subjectAltName.
pub(super) fn names(names: &[(u8, &[u8])]) -> Vec<u8> {
    element(SEQUENCE, &names.iter().flat_map(|(tag, name)| element(*tag, name)).collect::<Vec<_>>())
}

/// The contents of nameConstraints, without the lists that are empty.
pub(super) fn name_constraints(permitted: &[(u8, &[u8])], excluded: &[(u8, &[u8])]) -> Vec<u8> {
    let subtrees = |list: &[(u8, &[u8])]| -> Vec<u8> {
        list.iter().flat_map(|(tag, base)| element(SEQUENCE, &element(*tag, base))).collect()
    };
    let list = |tag, list: &[_]| if list.is_empty() { Vec::new() } else { element(tag, &subtrees(list)) };
    element(SEQUENCE, &[list(0xa0, permitted), list(0xa1, excluded)].concat())
}

/// The contents of an extendedKeyUsage: 1.3.6.1.5.5.7.3.n for each number, 0 for any usage.
pub(super) fn extended_key_usage(purposes: &[u8]) -> Vec<u8> {
    let id = |purpose: &u8| match purpose {
        0 => element(OID, &[0x55, 0x1d, 37, 0]),
        number => element(OID, &[0x2b, 6, 1, 5, 5, 7, 3, *number]),
    };
    element(SEQUENCE, &purposes.iter().flat_map(id).collect::<Vec<_>>())
}

pub(super) fn utc_time(digits: &str) -> Vec<u8> {
    element(0x17, digits.as_bytes())
}

pub(super) const VERSION_3: &[u8] = &[0xa0, 3, 2, 1, 2];

pub(super) const SUBJECT_KEY_ID: u8 = 14;
pub(super) const KEY_USAGE: u8 = 15;
pub(super) const SUBJECT_ALT_NAME: u8 = 17;
pub(super) const BASIC_CONSTRAINTS: u8 = 19;
pub(super) const NAME_CONSTRAINTS: u8 = 30;
pub(super) const AUTHORITY_KEY_ID: u8 = 35;
pub(super) const EXTENDED_KEY_USAGE: u8 = 37;

/// Contents of basicConstraints: cA, and no limit.
pub(super) const CA: &[u8] = &[0x30, 3, 1, 1, 0xff];
/// Contents of keyUsage.
pub(super) const DIGITAL_SIGNATURE: &[u8] = &[3, 2, 7, 0x80];
pub(super) const KEY_CERT_SIGN: &[u8] = &[3, 2, 1, 6];

pub(super) const SERVER: u8 = 1;
pub(super) const CLIENT: u8 = 2;
pub(super) const CODE_SIGNING: u8 = 3;
pub(super) const ANY: u8 = 0;

// GeneralName
pub(super) const EMAIL: u8 = 0x81;
pub(super) const DNS: u8 = 0x82;
pub(super) const DIRECTORY: u8 = 0xa4;
pub(super) const URI: u8 = 0x86;
pub(super) const IP: u8 = 0x87;

pub(super) const COMMON_NAME: &[u8] = &[0x55, 4, 3];
