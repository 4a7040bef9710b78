use std::sync::LazyLock;

use proptest::prelude::*;
use rcgen::ExtendedKeyUsagePurpose::{Any, ClientAuth, CodeSigning, ServerAuth};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose, SanType};

use super::super::testing::{Ca, Case, NOW, RsaKey, bundle, ca_params, element, extension, leaf_params, time, uri};
use super::*;
use crate::spiffe::authority::{Authority, JwtAuthority, X509Authority};
use crate::spiffe::bundle::Authorities;
use crate::spiffe::bundle::Bundle;

const ID: &str = "spiffe://a/x";

fn case(change: impl FnOnce(&mut CertificateParams)) -> Case {
    let root = Ca::root("root");
    let mut params = leaf_params(&[ID]);
    change(&mut params);
    Case::new(bundle("a", &[&root]), root.leaf_with(params))
}

fn named(uris: &[&str]) -> Case {
    case(|params| params.subject_alt_names = uris.iter().map(|name| uri(name)).collect())
}

/// A chain whose one intermediate bears these URIs.
fn under_signer(uris: &[&str]) -> Case {
    let root = Ca::root("root");
    let mut params = ca_params("intermediate");
    params.subject_alt_names = uris.iter().map(|name| uri(name)).collect();
    let intermediate = root.intermediate_with(params);
    Case::new(bundle("a", &[&root]), intermediate.leaf(ID)).with(&[&intermediate.der])
}

/// A leaf under an intermediate with this keyUsage.
fn signed_with(usages: &[KeyUsagePurpose]) -> Case {
    let root = Ca::root("root");
    let mut params = ca_params("intermediate");
    params.key_usages = usages.to_vec();
    let intermediate = root.intermediate_with(params);
    Case::new(bundle("a", &[&root]), intermediate.leaf(ID)).with(&[&intermediate.der])
}

#[test]
fn a_leaf_under_its_own_domains_authority_is_accepted() {
    let root = Ca::root("root");
    let verified = Case::new(bundle("a", &[&root]), root.leaf(ID)).verdict().unwrap();
    assert_eq!(verified.spiffe_id.to_string(), ID);
    assert_eq!(verified.authority, root.authority().id());
    assert_eq!(verified.not_after, time(2_019_686_400));
}

#[test]
fn x5_01_exactly_one_uri_of_any_scheme() {
    named(&["spiffe://b/x", "spiffe://a/y"]).is_refused("several-uri-names");
    named(&["spiffe://a/x", "https://h/"]).is_refused("several-uri-names");
    named(&["https://h/", "spiffe://a/x"]).is_refused("several-uri-names");
    named(&[ID, ID]).is_refused("several-uri-names");
}

#[test]
fn x5_02_no_uri_is_no_svid() {
    named(&[]).is_refused("no-spiffe-id");
    let dns = || SanType::DnsName("h.example".try_into().unwrap());
    case(|params| params.subject_alt_names = vec![dns()]).is_refused("no-spiffe-id");
    let again = element(0x30, &element(0x86, b"spiffe://a/y"));
    case(|params| params.custom_extensions = vec![extension(17, false, &again)]).is_refused("malformed-certificate");
}

#[test]
fn x5_03_other_names_do_not_count() {
    let dns = |n| SanType::DnsName(format!("h{n}.example").try_into().unwrap());
    case(|params| params.subject_alt_names.extend((0..20).map(dns))).is_accepted();
}

#[test]
fn x5_04_05_the_uri_is_a_spiffe_id_with_a_path() {
    named(&["SPIFFE://a/x"]).is_refused("invalid-spiffe-id");
    named(&["spiffe://A/x"]).is_refused("invalid-spiffe-id");
    named(&["https://a/x"]).is_refused("invalid-spiffe-id");
    named(&["spiffe://a/x#f"]).is_refused("invalid-spiffe-id");
    named(&["spiffe://a/x?q"]).is_refused("invalid-spiffe-id");
    named(&["spiffe://a/"]).is_refused("invalid-spiffe-id");
    named(&["spiffe://a"]).is_refused("root-spiffe-id");
    named(&[&format!("spiffe://a/{}", "x".repeat(2048))]).is_refused("invalid-spiffe-id");
}

#[test]
fn the_uri_is_read_as_the_bytes_it_is() {
    let raw = |uri: &[u8]| {
        let san = extension(17, false, &element(0x30, &element(0x86, uri)));
        case(|params| (params.subject_alt_names, params.custom_extensions) = (vec![], vec![san]))
    };
    raw(ID.as_bytes()).is_accepted();
    raw(b"spiffe://a/x\0").is_refused("invalid-spiffe-id");
    raw(b"spiffe://a/\xff").is_refused("invalid-spiffe-id");
    raw("spiffe://a/é".as_bytes()).is_refused("invalid-spiffe-id");
    raw(b"").is_refused("invalid-spiffe-id");
}

#[test]
fn x5_06_07_a_leaf_may_not_sign() {
    let usages = |usages: &[KeyUsagePurpose]| case(|params| params.key_usages = usages.to_vec());
    use KeyUsagePurpose::{CrlSign, DigitalSignature, KeyCertSign};
    case(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)).is_refused("leaf-is-ca");
    case(|params| params.is_ca = IsCa::ExplicitNoCa).is_accepted();
    usages(&[DigitalSignature, KeyCertSign]).is_refused("leaf-may-sign");
    usages(&[DigitalSignature, CrlSign]).is_refused("leaf-may-sign");
}

#[test]
fn x5_08_key_usage_is_there_critical_and_signs() {
    use KeyUsagePurpose::{DigitalSignature, KeyAgreement, KeyEncipherment};
    let usages = |usages: &[KeyUsagePurpose]| case(|params| params.key_usages = usages.to_vec());
    usages(&[]).is_refused("leaf-key-usage");
    usages(&[KeyEncipherment]).is_refused("leaf-key-usage");
    usages(&[DigitalSignature, KeyEncipherment, KeyAgreement]).is_accepted();
    let lax = extension(15, false, &[3, 2, 7, 0x80]);
    case(|params| (params.key_usages, params.custom_extensions) = (vec![], vec![lax])).is_refused("leaf-key-usage");
}

#[test]
fn x5_09_an_extended_key_usage_has_both_roles() {
    let extended = |usages: &[_]| case(|params| params.extended_key_usages = usages.to_vec());
    extended(&[]).is_accepted();
    extended(&[ServerAuth, ClientAuth]).is_accepted();
    extended(&[Any]).is_accepted();
    extended(&[ServerAuth]).is_refused("extended-key-usage");
    extended(&[ClientAuth]).is_refused("extended-key-usage");
}

#[test]
fn x5_09_a_signers_extended_key_usage_allows_the_role() {
    let root = Ca::root("root");
    let mut params = ca_params("clients");
    params.extended_key_usages = vec![ClientAuth];
    let clients = root.intermediate_with(params);
    let case = Case::new(bundle("a", &[&root]), clients.leaf(ID)).with(&[&clients.der]);
    case.is_refused("extended-key-usage");
    Case { usage: Usage::Client, ..case }.is_accepted();
}

#[test]
fn x5_10_an_empty_subject_needs_a_critical_san() {
    let nameless = |params: &mut CertificateParams| params.distinguished_name = rcgen::DistinguishedName::new();
    case(nameless).is_accepted();
    let lax = extension(17, false, &element(0x30, &element(0x86, ID.as_bytes())));
    case(|params| {
        nameless(params);
        (params.subject_alt_names, params.custom_extensions) = (vec![], vec![lax]);
    })
    .is_refused("san-not-critical");
}

#[test]
fn x5_11_a_signing_certificate_authenticates_nobody() {
    let mut params = ca_params("root");
    params.subject_alt_names = vec![uri(ID)];
    let root = Ca::root_with(params);
    Case::new(bundle("a", &[&root]), root.der.clone()).is_refused("leaf-is-authority");
    let plain = Ca::root("root");
    Case::new(bundle("a", &[&plain]), plain.der.clone()).is_refused("no-spiffe-id");
    let mut params = leaf_params(&[ID]);
    params.distinguished_name = plain.params.distinguished_name.clone();
    let own_key = plain.sign(&params, &plain.key);
    Case::new(bundle("a", &[&plain]), own_key).is_refused("leaf-is-authority");
    Case::new(bundle("a", &[&plain]), plain.leaf_with(params)).is_accepted();
}

#[test]
fn x5_14_a_signer_bears_the_root_id_of_the_domain_or_none() {
    under_signer(&[]).is_accepted();
    under_signer(&["spiffe://a"]).is_accepted();
    under_signer(&["https://pki.example/"]).is_accepted();
    under_signer(&["spiffe://a/"]).is_refused("foreign-signer");
    under_signer(&["spiffe://a/ca"]).is_refused("signer-has-path");
    under_signer(&["spiffe://b"]).is_refused("foreign-signer");
    under_signer(&["SPIFFE://a"]).is_refused("foreign-signer");
    under_signer(&["spiffe://a", "spiffe://a"]).is_refused("several-uri-names");
    under_signer(&["spiffe://a", "https://h/"]).is_refused("several-uri-names");
}

#[test]
fn x5_14_policy_names_the_other_domains_that_may_sign() {
    let named = |uris, domains: &[&str]| {
        let signing_domains = domains.iter().map(|domain| domain.parse().unwrap()).collect();
        under_signer(uris).under(Policy { signing_domains, ..Policy::default() })
    };
    named(&["spiffe://b"], &["b"]).is_accepted();
    named(&["spiffe://b"], &["c"]).is_refused("foreign-signer");
    named(&["spiffe://b/ca"], &["b"]).is_refused("foreign-signer");
    named(&["spiffe://b/"], &["b"]).is_refused("foreign-signer");
    let mut params = ca_params("root");
    params.subject_alt_names = vec![uri("spiffe://b")];
    let root = Ca::root_with(params);
    let signing_domains = ["b".parse().unwrap()].into();
    let policy = Policy { signing_domains, ..Policy::default() };
    Case::new(bundle("a", &[&root]), root.leaf(ID)).under(policy).is_refused("foreign-signer");
}

#[test]
fn compatible_checks_let_the_listed_lapses_pass_and_name_them() {
    let let_pass = |case: Case, expected: &[Lapse]| {
        let verified = case.compatibly().verdict().unwrap();
        assert_eq!(verified.lapses, expected);
    };
    let_pass(case(|_| {}), &[]);
    let_pass(case(|params| params.key_usages.clear()), &[Lapse::LeafKeyUsage]);
    let_pass(case(|params| params.key_usages = vec![KeyUsagePurpose::KeyEncipherment]), &[Lapse::LeafKeyUsage]);
    let_pass(case(|params| params.extended_key_usages = vec![ServerAuth]), &[Lapse::LeafExtendedKeyUsage]);
    let_pass(under_signer(&["spiffe://a/ca"]), &[Lapse::SignerPath]);
    let_pass(under_signer(&["spiffe://a", "https://h/"]), &[Lapse::SignerUris]);
    let_pass(under_signer(&["spiffe://a/ca", "https://h/"]), &[Lapse::SignerPath, Lapse::SignerUris]);
    let_pass(signed_with(&[]), &[Lapse::SignerKeyUsage]);
}

#[test]
fn compatible_checks_let_nothing_else_pass() {
    let refused = |case: Case, code| case.compatibly().is_refused(code);
    refused(under_signer(&["spiffe://b"]), "foreign-signer");
    refused(under_signer(&["spiffe://a", "spiffe://b"]), "foreign-signer");
    refused(under_signer(&["spiffe://b/ca"]), "foreign-signer");
    refused(signed_with(&[KeyUsagePurpose::DigitalSignature]), "issuer-may-not-sign");
    refused(case(|params| params.extended_key_usages = vec![ClientAuth]), "extended-key-usage");
    refused(case(|params| params.key_usages.push(KeyUsagePurpose::KeyCertSign)), "leaf-may-sign");
    refused(case(|params| params.key_usages = vec![KeyUsagePurpose::CrlSign]), "leaf-may-sign");
    refused(named(&["spiffe://a"]), "root-spiffe-id");
}

#[test]
fn x5_09_some_role_is_left_for_a_caller_that_names_none() {
    let any = |signer: &[_], leaf: &[_]| {
        let mut params = ca_params("root");
        params.extended_key_usages = signer.to_vec();
        let root = Ca::root_with(params);
        let mut params = leaf_params(&[ID]);
        params.extended_key_usages = leaf.to_vec();
        let case = Case::new(bundle("a", &[&root]), root.leaf_with(params)).compatibly();
        Case { usage: Usage::Any, ..case }
    };
    any(&[], &[]).is_accepted();
    any(&[ServerAuth], &[]).is_accepted();
    any(&[ServerAuth], &[ServerAuth]).is_accepted();
    any(&[ServerAuth], &[ClientAuth]).is_refused("extended-key-usage");
    any(&[], &[CodeSigning]).is_refused("extended-key-usage");
}

#[test]
fn x5_14_an_authority_may_write_its_root_id_with_a_slash() {
    let under = |name| {
        let mut params = ca_params("root");
        params.subject_alt_names = vec![uri(name)];
        let root = Ca::root_with(params);
        Case::new(bundle("a", &[&root]), root.leaf(ID))
    };
    under("spiffe://a").is_accepted();
    under("spiffe://a/").is_accepted();
    under("spiffe://a//").is_refused("foreign-signer");
    under("spiffe://b").is_refused("foreign-signer");
}

#[test]
fn rel_04_x5_15_a_foreign_ca_cannot_name_our_workloads() {
    let (ours, theirs) = (Ca::root("root"), Ca::root("root"));
    let (a, b) = (bundle("a", &[&ours]), bundle("b", &[&theirs]));
    let forged = theirs.leaf(ID);
    Case::new(a.clone(), forged.clone()).is_refused("unknown-authority");
    Case::new(b.clone(), forged.clone()).is_refused("foreign-trust-domain");
    Case::new(a.clone(), forged.clone()).with(&[&theirs.der]).is_refused("unknown-authority");
    Case::new(bundle("a", &[]), forged.clone()).is_refused("domain-revoked");
    Case::new(b, theirs.leaf("spiffe://b/x")).is_accepted();

    let mut params = ca_params("b");
    params.subject_alt_names = vec![uri("spiffe://b")];
    let labelled = Ca::root_with(params);
    let cross = ours.cross_sign(&labelled);
    Case::new(a, labelled.leaf(ID)).with(&[&cross, &labelled.der]).is_refused("foreign-signer");
}

#[test]
fn bnd_04_16_a_bundle_without_x509_authorities_says_why_it_verifies_nothing() {
    let leaf = Ca::root("root").leaf(ID);
    Case::new(bundle("a", &[]), leaf.clone()).is_refused("domain-revoked");
    let key = Ca::root("jwt").authority().key().clone();
    let keys: Authorities = [Authority::Jwt(JwtAuthority::new("k", key).unwrap())].into_iter().collect();
    let only_jwt = Bundle::new("a".parse().unwrap(), keys, None, None);
    Case::new(only_jwt, leaf).is_refused("svid-type-not-supported");
}

#[test]
fn x5_21_the_leaf_comes_first() {
    let root = Ca::root("root");
    let case = Case::new(bundle("a", &[&root]), root.der.clone()).with(&[&root.leaf(ID)]);
    case.is_refused("no-spiffe-id");
}

#[test]
fn x5_22_weak_and_unknown_keys_are_refused() {
    let root = Ca::root("root");
    let leaf = root.sign(&leaf_params(&[ID]), &RsaKey::of_bits(1024));
    Case::new(bundle("a", &[&root]), leaf).is_refused("weak-key");
    let post_quantum = KeyPair::generate_for(&rcgen::PKCS_ML_DSA_44).unwrap();
    let leaf = root.sign(&leaf_params(&[ID]), &post_quantum);
    Case::new(bundle("a", &[&root]), leaf).is_refused("unusable-key");
}

#[test]
fn x5_20_a_chain_is_at_most_32_certificates_and_64_kib() {
    let root = Ca::root("root");
    let case = Case::new(bundle("a", &[&root]), root.leaf(ID));
    case.clone().with(&[root.der.as_slice(); 31]).is_accepted();
    case.clone().with(&[root.der.as_slice(); 32]).is_refused("path-budget-exhausted");
    case.clone().with(&[&[0; MAX_CHAIN_BYTES]]).is_refused("path-budget-exhausted");
    let huge = vec![0; MAX_CHAIN_BYTES + 1];
    assert_eq!(spiffe_id_of(&huge).unwrap_err().code(), "path-budget-exhausted");
}

proptest! {
    /// Whatever is changed in a certificate on the wire: an answer, and never yes.
    #[test]
    fn x5_12_a_changed_certificate_is_refused_and_breaks_nothing(
        place in 0usize..3,
        changes in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..4),
        cut in prop::option::weighted(0.1, any::<prop::sample::Index>()),
    ) {
        static CHAIN: LazyLock<[Vec<u8>; 3]> = LazyLock::new(|| {
            let root = Ca::root("root");
            let middle = root.intermediate("middle");
            [middle.leaf("spiffe://a/x"), middle.der, root.der]
        });
        let mut chain = CHAIN.clone();
        for (at, change) in &changes {
            let at = at.index(chain[place].len());
            chain[place][at] ^= change;
        }
        if let Some(cut) = cut {
            let length = cut.index(chain[place].len());
            chain[place].truncate(length);
        }
        let [leaf, middle, root] = &chain;
        let Ok(authority) = X509Authority::from_der(root) else { return Ok(()) };
        let bundle = Bundle::new("a".parse().unwrap(), [Authority::X509(authority)].into_iter().collect(), None, None);
        let verdict = DomainTrust::new(bundle.into(), 1).verify_x509(leaf, &[middle], Usage::Server, time(NOW));
        // An authority is what it says; its self-signature and dates that still hold don't count.
        prop_assert!(place == 2 || verdict.is_err() || chain == *CHAIN);
    }

    #[test]
    fn arbitrary_bytes_are_refused(leaf: Vec<u8>, other: Vec<u8>) {
        let bundle = bundle("a", &[&Ca::root("root")]);
        prop_assert!(DomainTrust::new(bundle.into(), 1).verify_x509(&leaf, &[&other], Usage::Client, time(NOW)).is_err());
    }
}
