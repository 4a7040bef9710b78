use rcgen::{BasicConstraints, CertificateParams, IsCa};

use super::super::rejection::Rejection;
use super::super::testing::{Ca, Case, Field, bundle, ca_params, element, extension, leaf_params, uri};
use super::*;

const ID: &str = "spiffe://a/x";

/// A CA's parameters without hints about keys.
fn anonymous(name: &str) -> CertificateParams {
    let mut params = ca_params(name);
    params.use_authority_key_identifier_extension = false;
    params
}

/// What a peer sends so that one CA certificate above is visited 48 times, and that CA.
fn diamond(leaf: impl FnOnce(&Ca) -> Vec<u8>, constraints: &[u8]) -> (Case, Ca) {
    let mut params = anonymous("n");
    params.custom_extensions = vec![extension(30, true, constraints)];
    let top = Ca::root_with(params);
    let (lower, upper) = (Ca::root_with(anonymous("n")), Ca::root_with(anonymous("n")));
    let serial = |params: &CertificateParams, number: u8| {
        let mut params = params.clone();
        params.serial_number = Some(vec![number].into());
        params
    };
    let mut sent: Vec<Vec<u8>> = (1..=2).map(|n| upper.sign(&serial(&lower.params, n), &lower.key)).collect();
    sent.extend((1..=24).map(|n| top.sign(&serial(&upper.params, n), &upper.key)));
    let case = Case::new(bundle("a", &[&Ca::root("root")]), leaf(&lower));
    let sent: Vec<&[u8]> = sent.iter().map(Vec::as_slice).chain([top.der.as_slice()]).collect();
    (case.with(&sent), top)
}

/// A leaf whose subject has thousands of attributes.
fn with_long_subject(ca: &Ca) -> Vec<u8> {
    let subject = element(0x30, &[0x31, 7, 0x30, 5, 6, 1, 0x55, 0x0c, 0].repeat(2_500));
    ca.with_field(&ca.leaf(ID), Field::Subject, &subject)
}

/// A leaf with thousands of DNS names.
fn with_many_names(ca: &Ca) -> Vec<u8> {
    let mut params = leaf_params(&[]);
    let names = [element(0x86, ID.as_bytes()), [0x82, 0].repeat(10_000)].concat();
    params.custom_extensions = vec![extension(17, false, &element(0x30, &names))];
    ca.leaf_with(params)
}

fn permitted(subtree: &[u8], times: usize) -> Vec<u8> {
    element(0x30, &element(0xa0, &subtree.repeat(times)))
}

fn excluded(subtree: &[u8], times: usize) -> Vec<u8> {
    element(0x30, &element(0xa1, &subtree.repeat(times)))
}

#[test]
fn x5_20_constraints_of_strangers_cost_nothing() {
    let empty_directory = permitted(&[0x30, 4, 0xa4, 2, 0x30, 0], 200);
    let every_mailbox = excluded(&[0x30, 2, 0x81, 0], 3_000);
    for case in [diamond(with_long_subject, &empty_directory).0, diamond(with_many_names, &every_mailbox).0] {
        let (verdict, (steps, checks, comparisons)) = case.work();
        assert!(verdict.is_err());
        assert!(steps <= MAX_STEPS && checks <= MAX_SIGNATURE_CHECKS, "{steps} steps, {checks} checks");
        assert_eq!(comparisons, 0);
    }
}

#[test]
fn x5_20_long_names_count_for_more() {
    let (case, top) = diamond(with_long_subject, &permitted(&[0x30, 4, 0xa4, 2, 0x30, 0], 200));
    let verdict = Case { bundle: bundle("a", &[&top]), ..case }.verdict();
    assert_eq!(verdict, Err(Rejection::BudgetExhausted(Limit::NameComparisons)));
}

#[test]
fn x5_20_every_subtree_that_is_read_counts() {
    let under = |times| {
        let mut params = ca_params("root");
        params.custom_extensions = vec![extension(30, true, &excluded(&[0x30, 2, 0x81, 0], times))];
        let root = Ca::root_with(params);
        Case::new(bundle("a", &[&root]), with_many_names(&root)).work()
    };
    let (verdict, (_, _, comparisons)) = under(6_500);
    assert!(verdict.is_ok());
    assert_eq!(comparisons, 6_500);
    let (verdict, _) = under(10_001);
    assert_eq!(verdict, Err(Rejection::BudgetExhausted(Limit::NameComparisons)));
}

#[test]
fn x5_20_every_signer_that_is_tried_counts() {
    let names = ["a".repeat(1_400), "b".repeat(1_400)];
    let cas: Vec<Ca> = (0..8).map(|n| Ca::root_with(anonymous(&names[n % 2]))).collect();
    let mut sent: Vec<Vec<u8>> = (0..10).map(|n| cas[n % 8].cross_sign(&cas[(n + 1) % 8])).collect();
    sent.extend((0..6).map(|n| {
        let mut params = anonymous(&names[n % 2]);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        cas[n].intermediate_with(params).der
    }));
    let mut params = leaf_params(&[ID]);
    params.use_authority_key_identifier_extension = false;
    let case = Case::new(bundle("a", &[&Ca::root("root")]), cas[0].leaf_with(params));
    let (verdict, (steps, ..)) = case.with(&sent.iter().map(Vec::as_slice).collect::<Vec<_>>()).work();
    assert!(verdict.is_err());
    assert!(0 < steps && steps <= MAX_STEPS);
}

#[test]
fn x5_20_signers_with_many_names_run_out() {
    let root = Ca::root("root");
    let mut params = anonymous("n");
    params.subject_alt_names = vec![uri("spiffe://b"); 1_000];
    let middle = root.intermediate_with(params.clone());
    let sent: Vec<Vec<u8>> = (1..=2)
        .map(|n| {
            params.serial_number = Some(vec![n].into());
            root.sign(&params, &middle.key)
        })
        .collect();
    let case = Case::new(bundle("a", &[&root]), middle.leaf(ID));
    let (_, (steps, ..)) = case.with(&sent.iter().map(Vec::as_slice).collect::<Vec<_>>()).work();
    assert_eq!(steps, 2 * (1 + 1_000 / NAMES_IN_A_STEP));
}

#[test]
fn x5_20_messages_are_short_whatever_was_sent() {
    let root = Ca::root("root");
    let short = |case: Case, code: &str| {
        let rejection = case.verdict().unwrap_err();
        assert_eq!(rejection.code(), code);
        assert!(rejection.to_string().len() < 1_000, "{code}: {} bytes", rejection.to_string().len());
    };
    let foreign = format!("spiffe://b/{}", "\u{7f}".repeat(20_000));
    let mut params = ca_params("intermediate");
    params.subject_alt_names = vec![uri(&foreign)];
    let middle = root.intermediate_with(params);
    short(Case::new(bundle("a", &[&root]), middle.leaf(ID)).with(&[&middle.der]), "foreign-signer");

    let mut params = leaf_params(&[ID]);
    let id: Vec<u64> = [1, 3].into_iter().chain(std::iter::repeat_n(6, 20_000)).collect();
    let mut unknown = rcgen::CustomExtension::from_oid_content(&id, vec![5, 0]);
    unknown.set_criticality(true);
    params.custom_extensions = vec![unknown];
    short(Case::new(bundle("a", &[&root]), root.leaf_with(params)), "unsupported-critical-extension");

    let mut params = leaf_params(&[ID]);
    params.not_after = rcgen::date_time_ymd(2025, 1, 1);
    let subject = element(0x30, &[0x31, 9, 0x30, 7, 6, 3, 0x55, 4, 3, 0x0c, 0].repeat(4_000));
    let leaf = root.with_field(&root.leaf_with(params), Field::Subject, &subject);
    short(Case::new(bundle("a", &[&root]), leaf), "expired");
}
