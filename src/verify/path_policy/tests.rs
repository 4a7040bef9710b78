use std::sync::LazyLock;

use proptest::prelude::*;
use rcgen::CertificateParams;

use super::super::certificate::Certificate;
use super::super::policy::SvidChecks;
use super::super::testing::{Ca, Case, bundle, ca_params, element, extension, uri};
use super::*;

const URI: u8 = 0x86;
const DNS: u8 = 0x82;

/// A CA that permits URIs with these hosts; without hosts it says nothing about URIs.
fn permitting(name: &str, hosts: &[&str]) -> CertificateParams {
    let bases: Vec<(u8, &str)> = hosts.iter().map(|host| (URI, *host)).collect();
    constrained(name, &bases, &[])
}

fn constrained(name: &str, permitted: &[(u8, &str)], excluded: &[(u8, &str)]) -> CertificateParams {
    let list = |tag, bases: &[(u8, &str)]| match bases {
        [] => Vec::new(),
        _ => {
            let subtree = |(tag, base): &(u8, &str)| element(0x30, &element(*tag, base.as_bytes()));
            element(tag, &bases.iter().flat_map(subtree).collect::<Vec<_>>())
        }
    };
    let mut params = ca_params(name);
    if !permitted.is_empty() || !excluded.is_empty() {
        let content = element(0x30, &[list(0xa0, permitted), list(0xa1, excluded)].concat());
        params.custom_extensions = vec![extension(30, true, &content)];
    }
    params
}

fn thumbprint(ca: &Ca) -> Fingerprint {
    ca.authority().key_thumbprint()
}

fn sharing(cas: &[&Ca]) -> Policy {
    Policy { shared_keys: cas.iter().map(|ca| thumbprint(ca)).collect(), ..Policy::default() }
}

/// A leaf of `b` under an intermediate under a root.
fn chain(root: &Ca, middle: &Ca) -> Case {
    Case::new(bundle("b", &[root]), middle.leaf("spiffe://b/x")).with(&[&middle.der])
}

#[test]
fn bnd_20_x5_16_a_path_over_a_shared_key_permits_uris_of_its_domain_alone() {
    let uris = |hosts: &'static [&'static str]| move |name: &str| permitting(name, hosts);
    type Params<'p> = Box<dyn Fn(&str) -> CertificateParams + 'p>;
    // Whether the whole path is scoped, and whether what is below the root is.
    let cases: [(&str, Params<'_>, Params<'_>, [bool; 2]); 12] = [
        ("nothing said", Box::new(uris(&[])), Box::new(uris(&[])), [false; 2]),
        ("by the intermediate", Box::new(uris(&[])), Box::new(uris(&["b"])), [true; 2]),
        ("by the root", Box::new(uris(&["b"])), Box::new(uris(&[])), [true, false]),
        ("in capitals", Box::new(uris(&[])), Box::new(uris(&["B"])), [true; 2]),
        ("two domains", Box::new(uris(&[])), Box::new(uris(&["b", "a"])), [false; 2]),
        ("two, of which one is left", Box::new(uris(&["b", "c"])), Box::new(uris(&["a", "b"])), [true, false]),
        ("all", Box::new(uris(&[])), Box::new(uris(&[""])), [false; 2]),
        ("all, then one", Box::new(uris(&[""])), Box::new(uris(&["b"])), [true; 2]),
        ("one, then all", Box::new(uris(&["b"])), Box::new(uris(&[""])), [true, false]),
        ("one and what is below it", Box::new(uris(&[])), Box::new(uris(&["b", ".b"])), [false; 2]),
        (
            "only DNS names",
            Box::new(uris(&[])),
            Box::new(|name: &str| constrained(name, &[(DNS, "b")], &[])),
            [false; 2],
        ),
        (
            "all others excluded",
            Box::new(uris(&[])),
            Box::new(|name: &str| constrained(name, &[], &[(URI, "a"), (URI, ".b"), (URI, "c")])),
            [false; 2],
        ),
    ];
    for (name, root, middle, [path_is_scoped, below_is_scoped]) in cases {
        let root = Ca::root_with(root("root"));
        let middle = root.intermediate_with(middle("middle"));
        let case = chain(&root, &middle);
        case.is_accepted();
        let demands = Policy { scoped_paths: true, ..Policy::default() };
        let lifted = Policy { shared_unscoped: true, ..sharing(&[&root]) };
        let both = Policy { scoped_paths: true, ..lifted.clone() };
        for (policy, is_scoped, code) in [
            (sharing(&[&root]), below_is_scoped, "shared-authority-unscoped"),
            (demands, path_is_scoped, "policy-unscoped"),
            (both, path_is_scoped, "policy-unscoped"),
            (lifted, false, "accepted"),
            (sharing(&[&Ca::root("another")]), false, "accepted"),
        ] {
            let verdict = case.clone().under(policy.clone()).verdict();
            let found = verdict.map_or_else(|rejection| rejection.code(), |_| "accepted");
            assert_eq!(found, if is_scoped { "accepted" } else { code }, "{name}: {policy:?}");
        }
    }
}

#[test]
fn bnd_20_what_the_shared_keys_own_certificate_constrains_tells_no_domains_apart() {
    let shared = Ca::root("enterprise");
    // Anybody can write such a certificate: nothing checks an authority's own signature.
    let params = permitting("enterprise", &["b"]);
    let der = params.self_signed(&shared.key).unwrap().der().to_vec();
    let constrained = Ca { der, params, key: rcgen::KeyPair::generate().unwrap() };
    let of_a = shared.intermediate("A's, without constraints");
    let case = Case::new(bundle("b", &[&constrained]), of_a.leaf("spiffe://b/x")).with(&[&of_a.der]);
    case.is_accepted();
    case.under(sharing(&[&shared])).is_refused("shared-authority-unscoped");
    let of_b = shared.intermediate_with(permitting("B's", &["b"]));
    let below = of_b.intermediate("below");
    let case = Case::new(bundle("b", &[&constrained]), below.leaf("spiffe://b/x")).with(&[&of_b.der, &below.der]);
    case.under(sharing(&[&shared])).is_accepted();
}

#[test]
fn x5_16_a_domain_below_another_is_another() {
    let root = Ca::root("root");
    let below = root.intermediate_with(permitting("below", &[".td"]));
    let verdict = |domain: &str, middle: &Ca| {
        let case = Case::new(bundle(domain, &[&root]), middle.leaf(&format!("spiffe://{domain}/x")));
        let verdict = case.with(&[&middle.der]).under(sharing(&[&root])).verdict();
        verdict.map_or_else(|rejection| rejection.code(), |_| "accepted")
    };
    assert_eq!(verdict("x.td", &below), "shared-authority-unscoped", "it permits its neighbours too");
    assert_eq!(verdict("td", &below), "name-constraint-violation");
    let exact = root.intermediate_with(permitting("exact", &["x.td"]));
    assert_eq!(verdict("x.td", &exact), "accepted");
    assert_eq!(verdict("y.td", &exact), "name-constraint-violation");
}

#[test]
fn the_key_counts_whatever_certificate_it_is_in_and_wherever_it_stands() {
    let (shared, own) = (Ca::root("enterprise"), Ca::root("own"));
    let policy = sharing(&[&shared]);
    let key = thumbprint(&shared);
    let refused = Err(Rejection::Policy(PolicyBreach::SharedUnscoped { key, trust_domain: "b".parse().unwrap() }));
    let middle = shared.intermediate("middle");
    let verdict = |case: Case| case.under(policy.clone()).verdict().map(drop);
    assert_eq!(verdict(chain(&shared, &middle)), refused);

    let mut params = ca_params("enterprise");
    params.subject_alt_names = vec![uri("spiffe://b")];
    let again = Ca {
        der: params.self_signed(&shared.key).unwrap().der().to_vec(),
        params,
        key: rcgen::KeyPair::generate().unwrap(),
    };
    let renewed = Case::new(bundle("b", &[&again]), middle.leaf("spiffe://b/x")).with(&[&middle.der]);
    assert_eq!(verdict(renewed), refused, "the same key in another certificate");

    let crossed = own.cross_sign(&shared);
    let below = Case::new(bundle("b", &[&own]), middle.leaf("spiffe://b/x")).with(&[&middle.der, &crossed]);
    below.is_accepted();
    assert_eq!(verdict(below), refused, "certified by an authority of the domain's own");
    assert_eq!(verdict(Case::new(bundle("b", &[&shared, &own]), own.leaf("spiffe://b/x"))), Ok(()), "not on the path");
}

#[test]
fn an_unscoped_path_leaves_room_for_a_scoped_one() {
    let (shared, own) = (Ca::root("enterprise"), Ca::root("own"));
    let middle = shared.intermediate("middle");
    let by_own = own.cross_sign(&middle);
    let sent: [&[u8]; 2] = [&middle.der, &by_own];
    let case = Case::new(bundle("b", &[&shared, &own]), middle.leaf("spiffe://b/x")).with(&sent);
    let verified = case.under(sharing(&[&shared])).verdict().unwrap();
    assert_eq!(verified.authority, own.authority().id());
}

#[test]
fn what_constrains_thousands_of_names_is_no_scope() {
    let hosts: Vec<String> = (0..MANY).map(|number| format!("h{number}")).collect();
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).chain(["b"]).collect();
    let root = Ca::root_with(permitting("root", &hosts));
    let middle = root.intermediate_with(permitting("middle", &["b"]));
    let demands = Policy { scoped_paths: true, ..Policy::default() };
    chain(&root, &middle).under(demands).is_refused("policy-unscoped");
}

const MANY: usize = 1_001;

/// The shared root of `a` and `b`, and intermediates that permit these domains' URIs.
struct Enterprise {
    root: Ca,
    middles: Vec<Ca>,
}

static ENTERPRISE: LazyLock<Enterprise> = LazyLock::new(|| {
    let root = Ca::root("enterprise");
    let scopes: [&[&str]; 7] = [&["b"], &["a"], &[], &["a", "b"], &[""], &["b", ".b"], &[".b"]];
    let middles = scopes
        .iter()
        .enumerate()
        .map(|(number, scope)| root.intermediate_with(permitting(&format!("middle {number}"), scope)));
    Enterprise { middles: middles.collect(), root }
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whatever B's scoped CA certifies, and whatever is sent along: no ID outside B comes of it, in any domain that
    /// holds the same root, however leniently it is judged.
    #[test]
    fn bnd_20_nothing_signed_under_a_shared_root_scoped_to_b_names_anybody_outside_b(
        id in "spiffe://(a|b|x\\.b|c)/x",
        certified in prop::collection::vec(0usize..4, 0..3),
        sent in prop::collection::vec(0usize..7, 0..4),
        compatible: bool,
    ) {
        let Enterprise { root, middles } = &*ENTERPRISE;
        // B's CA certifies others below itself, with whatever constraints it likes.
        let scopes: [&[&str]; 4] = [&[], &["a"], &[""], &["a", "b"]];
        let mut chain: Vec<Vec<u8>> = vec![middles[0].der.clone()];
        let mut issuer: Option<Ca> = None;
        for scope in &certified {
            let next = issuer.as_ref().unwrap_or(&middles[0]).intermediate_with(permitting("below", scopes[*scope]));
            chain.push(next.der.clone());
            issuer = Some(next);
        }
        let leaf = issuer.as_ref().unwrap_or(&middles[0]).leaf(&id);
        chain.extend(sent.iter().map(|number| middles[*number].der.clone()));
        let intermediates: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
        for domain in ["a", "b", "c", "x.b"] {
            let checks = if compatible { SvidChecks::Compatible } else { SvidChecks::Strict };
            for shared_unscoped in [false, true] {
                let policy = Policy { svid_checks: checks, shared_unscoped, ..sharing(&[root]) };
                let case = Case::new(bundle(domain, &[root]), leaf.clone()).with(&intermediates).under(policy);
                if let Ok(verified) = case.verdict() {
                    prop_assert_eq!(verified.spiffe_id.trust_domain().as_str(), "b");
                    prop_assert_eq!(domain, "b");
                }
            }
        }
    }

    /// Without anything that lifts it, an intermediate that is scoped to another domain, or to none, vouches for nobody.
    #[test]
    fn bnd_20_under_a_shared_root_each_intermediate_vouches_for_its_own_domain_alone(
        number in 0usize..7, domain in "(a|b|x\\.b)",
    ) {
        let Enterprise { root, middles } = &*ENTERPRISE;
        let case = Case::new(bundle(&domain, &[root]), middles[number].leaf(&format!("spiffe://{domain}/x")));
        let is_accepted = case.with(&[&middles[number].der]).under(sharing(&[root])).verdict().is_ok();
        prop_assert_eq!(is_accepted, matches!((number, domain.as_str()), (0, "b") | (1, "a")));
    }
}

#[test]
fn a_key_has_one_thumbprint_in_whatever_shape_it_comes() {
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
        let (params, key) = (ca_params("root"), rcgen::KeyPair::generate_for(algorithm).unwrap());
        let root = Ca { der: params.self_signed(&key).unwrap().der().to_vec(), params, key };
        let certificate = Certificate::parse(&root.der).unwrap();
        assert_eq!(key::thumbprint(&certificate.key), Ok(thumbprint(&root)), "{algorithm:?}");
    }
}
