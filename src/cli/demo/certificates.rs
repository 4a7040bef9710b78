//! The CAs of the demo.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType, date_time_ymd,
};

use crate::federation::timestamp::Timestamp;

/// A CA with its key: for as long as the demo runs, in memory alone.
pub(super) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pub(super) pem: String,
}

/// A certificate for a workload or an endpoint, with its key.
pub(super) struct Leaf {
    pub(super) der: Vec<u8>,
    pub(super) pem: String,
    pub(super) key_pem: String,
}

impl Ca {
    /// A CA named `name`; a SPIFFE CA bears its trust domain's ID `uri`.
    pub(super) fn new(name: &str, uri: Option<&str>, now: Timestamp) -> Result<Self, rcgen::Error> {
        let mut params = params(name, now)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.subject_alt_names = uri.map(uri_name).transpose()?.into_iter().collect();
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    /// An X509-SVID for whatever ID is asked for: nothing but its verifiers keep a CA to its own domain.
    pub(super) fn svid(&self, spiffe_id: &str, now: Timestamp) -> Result<Leaf, rcgen::Error> {
        self.leaf(vec![uri_name(spiffe_id)?], now)
    }

    /// A server certificate for 127.0.0.1 and localhost.
    pub(super) fn loopback(&self, now: Timestamp) -> Result<Leaf, rcgen::Error> {
        let localhost = SanType::DnsName("localhost".try_into()?);
        self.leaf(vec![SanType::IpAddress(std::net::Ipv4Addr::LOCALHOST.into()), localhost], now)
    }

    fn leaf(&self, names: Vec<SanType>, now: Timestamp) -> Result<Leaf, rcgen::Error> {
        let mut params = params("demo", now)?;
        params.subject_alt_names = names;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Leaf { der: certificate.der().to_vec(), pem: certificate.pem(), key_pem: key.serialize_pem() })
    }
}

fn params(name: &str, now: Timestamp) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, name);
    let (from, to) = (day(now, -1), day(now, 90));
    params.not_before = date_time_ymd(from.0, from.1, from.2);
    params.not_after = date_time_ymd(to.0, to.1, to.2);
    Ok(params)
}

fn uri_name(uri: &str) -> Result<SanType, rcgen::Error> {
    Ok(SanType::URI(uri.try_into()?))
}

/// Year, month and day so many days from now.
fn day(now: Timestamp, days: i64) -> (i32, u8, u8) {
    let then = Timestamp::from_secs(now.as_secs().saturating_add_signed(days * 86_400)).to_string();
    let number = |range: std::ops::Range<usize>| then[range].parse().unwrap_or(1);
    (then[..4].parse().unwrap_or(2026), number(5..7), number(8..10))
}
