//! Others who judge the same chains.

use std::fmt;
use std::time::Duration;

use openssl::stack::Stack;
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::verify::{X509VerifyFlags, X509VerifyParam};
use openssl::x509::{X509, X509PurposeId, X509StoreContext, X509VerifyResult};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use super::super::x509::Usage;
use super::random::Sample;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Judge {
    OpenSsl,
    /// With `X509_V_FLAG_X509_STRICT`.
    OpenSslStrict,
    /// It refuses most name constraints, so it is asked only where there are none.
    Webpki,
}

/// Why a judge refuses.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Reason {
    OpenSsl(X509VerifyResult),
    Webpki(webpki::Error),
    /// A certificate could not be read.
    Unreadable,
}

impl Judge {
    pub(super) const ALL: [Self; 3] = [Self::OpenSsl, Self::OpenSslStrict, Self::Webpki];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::OpenSsl => "OpenSSL",
            Self::OpenSslStrict => "OpenSSL, strict",
            Self::Webpki => "webpki",
        }
    }

    /// The path that it accepts, the leaf first.
    pub(super) fn verdict(self, sample: &Sample) -> Result<Vec<Vec<u8>>, Reason> {
        match self {
            Self::OpenSsl => openssl(sample, X509VerifyFlags::PARTIAL_CHAIN),
            Self::OpenSslStrict => openssl(sample, X509VerifyFlags::PARTIAL_CHAIN | X509VerifyFlags::X509_STRICT),
            Self::Webpki => webpki(sample),
        }
    }
}

fn openssl(sample: &Sample, flags: X509VerifyFlags) -> Result<Vec<Vec<u8>>, Reason> {
    let read = |der: &Vec<u8>| X509::from_der(der).map_err(|_| Reason::Unreadable);
    let mut store = X509StoreBuilder::new().unwrap();
    for der in &sample.authorities {
        store.add_cert(read(der)?).unwrap();
    }
    let mut param = X509VerifyParam::new().unwrap();
    param.set_time(i64::try_from(sample.at).unwrap());
    param.set_flags(flags).unwrap();
    param
        .set_purpose(if sample.usage == Usage::Server { X509PurposeId::SSL_SERVER } else { X509PurposeId::SSL_CLIENT })
        .unwrap();
    store.set_param(&param).unwrap();
    let (store, leaf) = (store.build(), read(&sample.leaf)?);
    let mut sent = Stack::new().unwrap();
    for der in &sample.sent {
        // Like a TLS stack that skips what it can't read, rather than to end the handshake.
        if let Ok(certificate) = read(der) {
            sent.push(certificate).unwrap();
        }
    }
    let mut context = X509StoreContext::new().unwrap();
    let verdict = context.init(&store, &leaf, &sent, |context| {
        let accepts = context.verify_cert()?;
        let path = context.chain().into_iter().flatten().map(|certificate| certificate.to_der());
        Ok(if accepts { Ok(path.collect::<Result<_, _>>()?) } else { Err(Reason::OpenSsl(context.error())) })
    });
    verdict.unwrap_or(Err(Reason::Unreadable))
}

fn webpki(sample: &Sample) -> Result<Vec<Vec<u8>>, Reason> {
    let authorities: Vec<_> = sample.authorities.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let anchors: Vec<_> = authorities.iter().filter_map(|der| anchor_from_trusted_cert(der).ok()).collect();
    let sent: Vec<_> = sample.sent.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let leaf = CertificateDer::from(sample.leaf.as_slice());
    let usage = if sample.usage == Usage::Server { KeyUsage::server_auth() } else { KeyUsage::client_auth() };
    let at = UnixTime::since_unix_epoch(Duration::from_secs(sample.at));
    let algorithms = default_provider().signature_verification_algorithms.all;
    let leaf = EndEntityCert::try_from(&leaf).map_err(Reason::Webpki)?;
    let path = leaf.verify_for_usage(algorithms, &anchors, &sent, at, usage, None, None);
    let path = path.map_err(Reason::Webpki)?;
    let anchor = authorities.iter().find(|der| anchor_from_trusted_cert(der).is_ok_and(|it| it == *path.anchor()));
    let sent = path.intermediate_certificates().map(|certificate| certificate.der());
    let path = std::iter::once(CertificateDer::from(sample.leaf.as_slice())).chain(sent).chain(anchor.cloned());
    Ok(path.map(|der| der.to_vec()).collect())
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OpenSsl(error) => write!(f, "{} ({})", error.error_string(), error.as_raw()),
            Self::Webpki(error) => write!(f, "{error:?}"),
            Self::Unreadable => f.write_str("unreadable"),
        }
    }
}
