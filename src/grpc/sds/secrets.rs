//! Secrets: what a view shows, as Envoy reads it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::config::core::v3::{DataSource, TypedExtensionConfig};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3 as tls;
use envoy_types::pb::google::protobuf::Any;
use prost::Name as _;
use tls::secret::Type;
use tls::spiffe_cert_validator_config::TrustDomain as ValidatedDomain;

use crate::outputs::nobody::nobody;
use crate::outputs::view::View;
use crate::spiffe::authority::{SvidType, X509Authority};
use crate::spiffe::bundle::Bundle;
use crate::spiffe::public_key::Fingerprint;
use crate::spiffe::trust_domain::TrustDomain;

/// Names of the Secrets that are not of a single domain; `spiffe://td` is that of the domain `td` (SDS-01).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SecretNames {
    /// Every domain, each with its own authorities.
    pub(crate) all: String,
    /// Our own domain.
    pub(crate) own: String,
}

impl Default for SecretNames {
    /// As SPIRE's agent calls them.
    fn default() -> Self {
        Self { all: "ALL".into(), own: "ROOTCA".into() }
    }
}

/// One Secret, ready to be sent.
#[derive(Debug, PartialEq)]
pub(super) struct Resource {
    pub(super) name: String,
    /// SHA-256 of what is sent: equal for equal contents, also after a restart.
    pub(super) version: String,
    pub(super) secret: Any,
}

/// The Secrets of one view, each made once and when it is asked for.
#[derive(Debug)]
pub(super) struct Secrets {
    pub(super) view: Arc<View>,
    names: SecretNames,
    made: Mutex<BTreeMap<String, Arc<Resource>>>,
}

impl Secrets {
    pub(super) fn of(view: Arc<View>, names: SecretNames) -> Self {
        Self { view, names, made: Mutex::default() }
    }

    /// The Secret of this name; `None` for a name that means nothing here, or to this caller.
    pub(super) fn secret(&self, name: &str) -> Option<Arc<Resource>> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = made.get(name) {
            return Some(known.clone());
        }
        let new = Arc::new(resource(name, domains(self.contents(name)?)));
        made.insert(name.to_owned(), new.clone());
        Some(new)
    }

    /// Names of all Secrets with something in them, sorted, and of the two that are always there.
    pub(super) fn every(&self) -> impl Iterator<Item = String> {
        let SecretNames { all, own } = self.names.clone();
        let with_authorities = self.view.selected.bundles.iter().filter(|(_, bundle)| has_x509(bundle));
        [all, own].into_iter().chain(with_authorities.map(|(name, _)| name.to_id()))
    }

    /// The bundles that a Secret is made of.
    fn contents(&self, name: &str) -> Option<Vec<(&TrustDomain, &Bundle)>> {
        let bundles = &self.view.selected.bundles;
        let single = |name: &TrustDomain| bundles.get_key_value(name).map(|(name, bundle)| (name, &**bundle));
        if *name == self.names.all {
            return Some(bundles.iter().map(|(name, bundle)| (name, &**bundle)).collect());
        }
        if *name == self.names.own {
            return Some(self.view.own().map(|bundle| (&self.view.trust_domain, &**bundle)).into_iter().collect());
        }
        let named = name.strip_prefix("spiffe://")?.parse::<TrustDomain>().ok()?;
        let is_known = named == self.view.trust_domain || self.view.selected.lacking.contains_key(&named);
        let bundle = single(&named);
        (is_known || bundle.is_some()).then(|| bundle.into_iter().collect())
    }
}

/// A Secret of this name that trusts nobody.
pub(super) fn emptied(name: &str) -> Arc<Resource> {
    Arc::new(resource(name, domains([])))
}

/// Each domain with its authorities under its bare name, sorted (SDS-05); those without one are left out, since Envoy
/// would refuse the whole (SDS-07).
fn domains<'a>(bundles: impl IntoIterator<Item = (&'a TrustDomain, &'a Bundle)>) -> Vec<ValidatedDomain> {
    let mut with_authorities: Vec<_> = bundles.into_iter().filter(|(_, bundle)| has_x509(bundle)).collect();
    if with_authorities.is_empty() {
        with_authorities.push((nobody().trust_domain(), nobody()));
    }
    let pem = |bundle: &Bundle| bundle.authorities().x509().map(X509Authority::to_pem).collect();
    with_authorities.into_iter().map(|(name, bundle)| domain(name.as_str(), pem(bundle))).collect()
}

fn has_x509(bundle: &Bundle) -> bool {
    bundle.authorities().count(SvidType::X509Svid) > 0
}

fn domain(name: &str, pem: String) -> ValidatedDomain {
    let trust_bundle = DataSource { specifier: Some(Specifier::InlineString(pem)), ..DataSource::default() };
    ValidatedDomain { name: name.to_owned(), trust_bundle: Some(trust_bundle), ..ValidatedDomain::default() }
}

/// Always Envoy's SPIFFE validator: a plain `trusted_ca` would let any of its CAs name anybody (SDS-06, REL-02).
fn resource(name: &str, trust_domains: Vec<ValidatedDomain>) -> Resource {
    let validator = tls::SpiffeCertValidatorConfig { trust_domains, trust_bundles: None };
    let custom = TypedExtensionConfig { name: VALIDATOR.into(), typed_config: Some(any(&validator)) };
    let context = tls::CertificateValidationContext {
        custom_validator_config: Some(custom),
        ..tls::CertificateValidationContext::default()
    };
    let secret = any(&tls::Secret { name: name.into(), r#type: Some(Type::ValidationContext(context)) });
    Resource { name: name.into(), version: Fingerprint::of(&secret.value).to_string(), secret }
}

fn any<M: prost::Message + prost::Name>(message: &M) -> Any {
    Any { type_url: M::type_url(), value: message.encode_to_vec() }
}

/// The type of what is asked for here.
pub(super) fn type_url() -> String {
    tls::Secret::type_url()
}

const VALIDATOR: &str = "envoy.tls.cert_validator.spiffe";

#[cfg(test)]
pub(super) mod tests {
    use prost::Message as _;
    use tokio::time::Instant;

    use super::*;
    use crate::federation::trust_feed::Generation;
    use crate::outputs::selection::{Lack, Selected};
    use crate::spiffe::authority::Authority;
    use crate::spiffe::fixtures::FIXTURES;

    /// A view of `own.example` with these bundles, and of `stale.example`, which has none to show.
    pub(in crate::grpc::sds) fn view<const N: usize>(number: u64, bundles: [(&str, Vec<Authority>); N]) -> Arc<View> {
        let bundles = bundles.into_iter().map(|(name, keys)| {
            let domain: TrustDomain = name.parse().unwrap();
            (domain.clone(), Arc::new(Bundle::new(domain, keys.into_iter().collect(), Some(1), None)))
        });
        let lacking = [("stale.example".parse().unwrap(), Lack::Stale)].into();
        Arc::new(View {
            trust_domain: "own.example".parse().unwrap(),
            selected: Selected { bundles: bundles.collect(), lacking, until: None },
            generation: Generation { number, since: Instant::now() },
        })
    }

    fn secrets<const N: usize>(bundles: [(&str, Vec<Authority>); N]) -> Secrets {
        Secrets::of(view(1, bundles), SecretNames::default())
    }

    /// Names and numbers of certificates in what Envoy is sent.
    pub(in crate::grpc::sds) fn contents(secret: &Any) -> (String, Vec<(String, usize)>) {
        let secret = tls::Secret::decode(&*secret.value).unwrap();
        let Some(Type::ValidationContext(context)) = secret.r#type else { panic!("no validation context: {secret:?}") };
        let custom = context.custom_validator_config.clone().unwrap();
        let alone = tls::CertificateValidationContext { custom_validator_config: None, ..context };
        assert_eq!(alone, tls::CertificateValidationContext::default(), "no list of authorities beside the names");
        assert_eq!(custom.name, "envoy.tls.cert_validator.spiffe");
        let config = tls::SpiffeCertValidatorConfig::decode(&*custom.typed_config.unwrap().value).unwrap();
        let domains = config.trust_domains.into_iter().map(|domain| {
            let Some(Specifier::InlineString(pem)) = domain.trust_bundle.unwrap().specifier else { panic!("inline") };
            (domain.name, pem.matches("-----BEGIN CERTIFICATE-----\n").count())
        });
        (secret.name, domains.collect())
    }

    #[test]
    fn sds_01_05_06_each_secret_has_the_requested_name_and_binds_keys_to_names() {
        let (x509, more) = (FIXTURES[1].x509(), FIXTURES[2].x509());
        let secrets = secrets([
            ("z.example", vec![x509.clone(), more.clone()]),
            ("own.example", vec![more.clone()]),
            ("jwt.example", vec![FIXTURES[3].jwt("k")]),
        ]);
        let own = ("own.example".to_owned(), 1);
        let z = ("z.example".to_owned(), 2);
        let nobody = ("nobody.invalid".to_owned(), 1);
        for (name, expected) in [
            ("ALL", vec![own.clone(), z.clone()]),
            ("ROOTCA", vec![own.clone()]),
            ("spiffe://own.example", vec![own]),
            ("spiffe://z.example", vec![z]),
            ("spiffe://jwt.example", vec![nobody.clone()]),
            ("spiffe://stale.example", vec![nobody]),
        ] {
            let resource = secrets.secret(name).unwrap();
            assert_eq!(contents(&resource.secret), (name.to_owned(), expected), "{name}");
            assert_eq!(resource.name, name);
        }
        let unknown =
            ["", "all", "own.example", "spiffe://c.example", "spiffe://z.example/", "SPIFFE://z.example", "*"];
        for name in unknown {
            assert!(secrets.secret(name).is_none(), "{name}");
        }
        let every: Vec<_> = secrets.every().collect();
        assert_eq!(every, ["ALL", "ROOTCA", "spiffe://own.example", "spiffe://z.example"]);
    }

    #[test]
    fn sds_07_what_is_left_of_nothing_is_valid_and_trusts_nobody() {
        for (name, secrets) in [
            ("not there yet", secrets([])),
            ("revoked", secrets([("own.example", vec![])])),
            ("without X.509", secrets([("own.example", vec![FIXTURES[3].jwt("k")])])),
        ] {
            for asked in ["ALL", "ROOTCA", "spiffe://own.example"] {
                let resource = secrets.secret(asked).unwrap();
                assert_eq!(contents(&resource.secret), (asked.into(), vec![("nobody.invalid".into(), 1)]), "{name}");
                assert_eq!(*resource, *emptied(asked));
            }
        }
    }

    #[test]
    fn a_version_stands_for_the_contents_and_the_name() {
        let of = |keys| secrets([("own.example", keys)]).secret("ROOTCA").unwrap().version.clone();
        let (x509, more) = (FIXTURES[1].x509(), FIXTURES[2].x509());
        assert_eq!(of(vec![x509.clone(), more.clone()]), of(vec![more.clone(), x509.clone()]));
        assert_ne!(of(vec![x509.clone()]), of(vec![more]));
        let one = secrets([("own.example", vec![x509])]);
        assert_ne!(one.secret("ROOTCA").unwrap().version, one.secret("ALL").unwrap().version);
    }

    #[test]
    fn names_are_as_configured() {
        let names = SecretNames { all: "every-domain".into(), own: "ours".into() };
        let secrets = Secrets::of(view(1, []), names);
        assert!(["every-domain", "ours"].iter().all(|name| secrets.secret(name).is_some()));
        assert!(["ALL", "ROOTCA"].iter().all(|name| secrets.secret(name).is_none()));
    }
}
