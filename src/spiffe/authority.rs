//! Authorities: the keys of a bundle.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::public_key::{Fingerprint, PublicKey, PublicKeyError};
use super::trust_domain::TrustDomain;

/// One key of a bundle, for one type of SVID (JWT-SVID §6.2: never for two).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authority {
    /// A CA certificate that anchors X509-SVIDs.
    X509(X509Authority),
    /// A key that signs JWT-SVIDs.
    Jwt(JwtAuthority),
    /// A key that signs WIT-SVIDs: kept and compared, verified nowhere (WIT-04).
    Wit(JwtAuthority),
}

impl Authority {
    /// What tells this authority from any other of the same bundle.
    pub fn id(&self) -> AuthorityId {
        match self {
            Self::X509(authority) => AuthorityId::X509(authority.fingerprint()),
            Self::Jwt(authority) => AuthorityId::Jwt(authority.key_thumbprint(), authority.key_id.clone()),
            Self::Wit(authority) => AuthorityId::Wit(authority.key_thumbprint(), authority.key_id.clone()),
        }
    }

    /// The SVID type that it verifies.
    pub fn svid_type(&self) -> SvidType {
        self.id().svid_type()
    }

    /// The key itself, by which reuse between domains is noticed (BND-20).
    pub fn key(&self) -> &PublicKey {
        match self {
            Self::X509(authority) => &authority.facts.key,
            Self::Jwt(authority) | Self::Wit(authority) => &authority.key,
        }
    }

    /// RFC 7638 thumbprint of the key.
    pub fn key_thumbprint(&self) -> Fingerprint {
        match self {
            Self::X509(authority) => authority.facts.key_thumbprint,
            Self::Jwt(authority) | Self::Wit(authority) => authority.key_thumbprint(),
        }
    }

    /// When it ceases to verify, in Unix seconds; JWT keys bear no date.
    pub fn not_after(&self) -> Option<i64> {
        match self {
            Self::X509(authority) => Some(authority.not_after()),
            Self::Jwt(_) | Self::Wit(_) => None,
        }
    }
}

/// The types of SVID that have a standard (SPIFFE-ID §3.3), in the spelling of a bundle's `use`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SvidType {
    /// X509-SVID
    X509Svid,
    /// JWT-SVID
    JwtSvid,
    /// WIT-SVID (Incubating)
    WitSvid,
}

impl SvidType {
    /// The value of `use` in a bundle.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::X509Svid => "x509-svid",
            Self::JwtSvid => "jwt-svid",
            Self::WitSvid => "wit-svid",
        }
    }
}

/// Identity of an authority inside its bundle: a certificate by its DER, a key by material and `kid`.
///
/// Printed as `x509:<sha256>`, `jwt:<thumbprint>:<kid>` or `wit:<thumbprint>:<kid>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuthorityId {
    /// SHA-256 of the certificate's DER.
    X509(Fingerprint),
    /// Key thumbprint and `kid`.
    Jwt(Fingerprint, Arc<str>),
    /// Key thumbprint and `kid`.
    Wit(Fingerprint, Arc<str>),
}

impl AuthorityId {
    /// The SVID type that the authority verifies.
    pub fn svid_type(&self) -> SvidType {
        match self {
            Self::X509(_) => SvidType::X509Svid,
            Self::Jwt(..) => SvidType::JwtSvid,
            Self::Wit(..) => SvidType::WitSvid,
        }
    }
}

impl fmt::Display for AuthorityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::X509(fingerprint) => write!(f, "x509:{fingerprint}"),
            Self::Jwt(thumbprint, key_id) => write!(f, "jwt:{thumbprint}:{}", key_id.escape_debug()),
            Self::Wit(thumbprint, key_id) => write!(f, "wit:{thumbprint}:{}", key_id.escape_debug()),
        }
    }
}

/// The JSON form keeps the `kid` as it is, where the printed form escapes it.
impl Serialize for AuthorityId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::X509(fingerprint) => serializer.collect_str(&format_args!("x509:{fingerprint}")),
            Self::Jwt(thumbprint, key_id) => serializer.collect_str(&format_args!("jwt:{thumbprint}:{key_id}")),
            Self::Wit(thumbprint, key_id) => serializer.collect_str(&format_args!("wit:{thumbprint}:{key_id}")),
        }
    }
}

impl<'de> Deserialize<'de> for AuthorityId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(|()| de::Error::custom("not an authority's identity"))
    }
}

impl FromStr for AuthorityId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (kind, rest) = text.split_once(':').ok_or(())?;
        if kind == "x509" {
            return rest.parse().map(Self::X509).map_err(drop);
        }
        let (thumbprint, key_id) = rest.split_once(':').ok_or(())?;
        let thumbprint = thumbprint.parse().map_err(drop)?;
        match kind {
            "jwt" => Ok(Self::Jwt(thumbprint, key_id.into())),
            "wit" => Ok(Self::Wit(thumbprint, key_id.into())),
            _ => Err(()),
        }
    }
}

/// A CA certificate of a bundle (X509-SVID §6), with the facts that acceptance and people need.
///
/// Cloning is a reference count. The verifier reads the DER itself, dates and constraints included.
#[derive(Clone)]
pub struct X509Authority {
    der: Arc<[u8]>,
    facts: Arc<Facts>,
}

#[derive(Debug)]
struct Facts {
    fingerprint: Fingerprint,
    key: PublicKey,
    key_thumbprint: Fingerprint,
    subject: String,
    not_before: i64,
    not_after: i64,
    spiffe_uris: Vec<String>,
    has_key_usage: bool,
}

impl X509Authority {
    /// Reads one DER certificate that may act as a CA: `cA` true, and keyCertSign where keyUsage is present.
    pub fn from_der(der: &[u8]) -> Result<Self, X509AuthorityError> {
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| X509AuthorityError::Malformed)?;
        if !rest.is_empty() {
            return Err(X509AuthorityError::Malformed);
        }
        let malformed = |_| X509AuthorityError::Malformed;
        if certificate.basic_constraints().map_err(malformed)?.is_none_or(|constraints| !constraints.value.ca) {
            return Err(X509AuthorityError::NotCa);
        }
        let key_usage = certificate.key_usage().map_err(malformed)?;
        if key_usage.as_ref().is_some_and(|usage| !usage.value.key_cert_sign()) {
            return Err(X509AuthorityError::NoKeyCertSign);
        }
        let names = certificate.subject_alternative_name().map_err(malformed)?;
        let names = names.iter().flat_map(|extension| &extension.value.general_names);
        let uris = names.filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        });
        let key = PublicKey::from_spki(certificate.public_key()).map_err(X509AuthorityError::Key)?;
        let facts = Facts {
            fingerprint: Fingerprint::of(der),
            key_thumbprint: key.thumbprint(),
            key,
            subject: certificate.subject().to_string().escape_debug().to_string(),
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            spiffe_uris: uris.filter(|uri| has_spiffe_scheme(uri)).map(str::to_owned).collect(),
            has_key_usage: key_usage.is_some(),
        };
        Ok(Self { der: der.into(), facts: Arc::new(facts) })
    }

    /// The certificate in PEM (RFC 7468 §5), in lines of 64 characters.
    pub fn to_pem(&self) -> String {
        let mut text = STANDARD.encode(self.der());
        for end in (64..text.len()).step_by(64).rev() {
            text.insert(end, '\n');
        }
        format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
    }

    /// The certificate as it was published.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// SHA-256 of the DER.
    pub fn fingerprint(&self) -> Fingerprint {
        self.facts.fingerprint
    }

    /// The certified key.
    pub fn key(&self) -> &PublicKey {
        &self.facts.key
    }

    /// Subject for people, escaped for terminals and logs.
    pub fn subject(&self) -> &str {
        &self.facts.subject
    }

    /// Start of validity in Unix seconds.
    pub fn not_before(&self) -> i64 {
        self.facts.not_before
    }

    /// End of validity in Unix seconds.
    pub fn not_after(&self) -> i64 {
        self.facts.not_after
    }

    /// Whether the certificate says what its key may do; if it does, that is to sign certificates.
    pub fn has_key_usage(&self) -> bool {
        self.facts.has_key_usage
    }

    /// The first `spiffe` URI, its scheme in any case, that is not exactly the root ID of `domain`
    /// (a trailing slash is tolerated, as the standard's own example has one).
    pub fn foreign_spiffe_uri(&self, domain: &TrustDomain) -> Option<&str> {
        self.facts.spiffe_uris.iter().map(String::as_str).find(|uri| !is_root_id(uri, domain))
    }

    /// The `spiffe:` URIs that the certificate names, as written.
    #[cfg(feature = "server")]
    pub(crate) fn spiffe_uris(&self) -> impl Iterator<Item = &str> {
        self.facts.spiffe_uris.iter().map(String::as_str)
    }

    /// Whether the certificate says that it belongs to `domain`.
    pub fn bears_root_id(&self, domain: &TrustDomain) -> bool {
        self.facts.spiffe_uris.iter().any(|uri| is_root_id(uri, domain))
    }
}

impl PartialEq for X509Authority {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for X509Authority {}

impl fmt::Debug for X509Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.facts, f)
    }
}

/// Why a certificate is no X.509 authority (BND-24).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum X509AuthorityError {
    /// No DER certificate, bytes after it, or an extension given twice.
    #[error("not one well-formed DER certificate")]
    Malformed,
    /// An end-entity certificate, which must never anchor anything.
    #[error("certificate is no CA certificate (basicConstraints cA is not true)")]
    NotCa,
    /// keyUsage is present and does not allow signing certificates.
    #[error("certificate may not sign certificates (keyUsage lacks keyCertSign)")]
    NoKeyCertSign,
    /// Its key is unknown, broken or too large.
    #[error("{0}")]
    Key(#[source] PublicKeyError),
}

impl X509AuthorityError {
    /// Stable identifier; see docs/problems.md.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "malformed-certificate",
            Self::NotCa => "not-a-ca",
            Self::NoKeyCertSign => "no-key-cert-sign",
            Self::Key(_) => "unusable-key",
        }
    }
}

/// A key that signs JWT-SVIDs (or, under another `use`, WIT-SVIDs), known by its `kid`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtAuthority {
    key_id: Arc<str>,
    key: PublicKey,
}

impl JwtAuthority {
    /// `key_id` is the JWK's `kid`, compared as bytes; an empty one is none (BND-17).
    pub fn new(key_id: &str, key: PublicKey) -> Option<Self> {
        (!key_id.is_empty()).then(|| Self { key_id: key_id.into(), key })
    }

    /// The `kid`.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The key.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// RFC 7638 thumbprint of the key.
    pub fn key_thumbprint(&self) -> Fingerprint {
        self.key.thumbprint()
    }
}

fn has_spiffe_scheme(uri: &str) -> bool {
    uri.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("spiffe:"))
}

fn is_root_id(uri: &str, domain: &TrustDomain) -> bool {
    uri.strip_prefix("spiffe://").is_some_and(|rest| rest.strip_suffix('/').unwrap_or(rest) == domain.as_str())
}
