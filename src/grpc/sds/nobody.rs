//! What a Secret holds that trusts nobody.

use std::sync::LazyLock;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose};

/// A name that no workload has: `!` is in no trust domain's name (SPIFFE-ID §2.1).
pub(super) const NAME: &str = "!nobody";

/// A CA in PEM, another one in each process, whose key was never kept.
///
/// Envoy refuses a Secret with a domain of no certificate, an older one also a Secret of no domain, and goes on with the
/// one that it has, revoked authorities and all (SDS-07). So what trusts nobody has both: a name that nobody has, and a
/// CA for it.
pub(super) static AUTHORITY: LazyLock<String> =
    LazyLock::new(|| authority().expect("a key of P-256 and fixed parameters make a certificate"));

fn authority() -> Result<String, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "nobody: its key was never kept");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    // Envoy tells by a metric when the first of its CAs expires; this one never raises an alarm.
    params.not_after = rcgen::date_time_ymd(9999, 12, 31);
    Ok(params.self_signed(&KeyPair::generate()?)?.pem())
}
