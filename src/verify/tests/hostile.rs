//! Chains and bundles made to cost work: each ends within its bounds, counted, never timed.

use crate::spiffe::authority::{Authority, X509Authority};
use crate::spiffe::bundle::Bundle;

use super::super::budget::{MAX_NAME_COMPARISONS, MAX_SIGNATURE_CHECKS, MAX_STEPS};
use super::super::rejection::{Limit, Rejection};
use super::super::testing::Case;
use super::keys::{Kind, key};
use super::mint::*;

/// A CA of one key, certified by the name and key of another; without key identifiers, so that all look alike.
fn ca(name: &str, number: usize, issuer: &str, signer: usize, change: impl FnOnce(&mut Draft)) -> Vec<u8> {
    sign(Draft::ca(name, key(Kind::P256, number)), issuer, signer, change)
}

fn leaf(issuer: &str, signer: usize, change: impl FnOnce(&mut Draft)) -> Vec<u8> {
    sign(Draft::leaf("workload", key(Kind::P256, 99)), issuer, signer, change)
}

fn sign(draft: Draft, issuer: &str, signer: usize, change: impl FnOnce(&mut Draft)) -> Vec<u8> {
    let signer = key(Kind::P256, signer);
    let mut draft = draft.issued_by(issuer, signer);
    draft.unset(AUTHORITY_KEY_ID);
    draft.unset(SUBJECT_KEY_ID);
    change(&mut draft);
    draft.sign(signer, signer.kind.scheme())
}

fn case(authorities: impl IntoIterator<Item = Vec<u8>>, leaf: Vec<u8>, sent: &[Vec<u8>]) -> Case {
    let authorities = authorities.into_iter().map(|der| Authority::X509(X509Authority::from_der(&der).unwrap()));
    let bundle = Bundle::new("a.test".parse().unwrap(), authorities.collect(), None, None);
    Case::new(bundle, leaf).with(&sent.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

#[track_caller]
fn exhausts(case: &Case, limit: Limit) {
    let (verdict, (steps, checks, comparisons)) = case.work();
    assert_eq!(verdict.unwrap_err(), Rejection::BudgetExhausted(limit));
    assert!(steps <= MAX_STEPS && checks <= MAX_SIGNATURE_CHECKS && comparisons <= MAX_NAME_COMPARISONS);
}

fn serial(number: usize) -> impl Fn(&mut Draft) {
    move |draft| draft.serial = vec![1, u8::try_from(number / 100).unwrap() + 1, u8::try_from(number % 100).unwrap()]
}

#[test]
fn x5_20_thirty_one_cross_signed_namesakes_end_within_the_budget() {
    let pairs = (0..6).flat_map(|own| (0..6).map(move |signer| (own, signer))).filter(|(own, signer)| own != signer);
    let mut sent: Vec<_> = pairs.map(|(own, signer)| ca("n", own, "n", signer, |_| {})).collect();
    sent.push(ca("n", 0, "n", 9, |_| {}));
    let unrelated = ca("root", 8, "root", 8, |_| {});
    exhausts(&case([unrelated], leaf("n", 0, |_| {}), &sent[..31]), Limit::SignatureChecks);
}

#[test]
fn x5_20_24_of_thousands_of_namesakes_the_one_with_the_identifier_is_found_at_once() {
    let root = Draft::ca("n", key(Kind::P256, 0)).sign(key(Kind::P256, 0), Kind::P256.scheme());
    let others = (0..3_000).map(|number| ca("n", 1, "n", 1, serial(number)));
    let authorities: Vec<_> = others.chain([root]).collect();
    let identified = leaf("n", 0, |draft| draft.set_authority_key_id(&key(Kind::P256, 0).id));
    let (verdict, work) = case(authorities.clone(), identified, &[]).work();
    assert_eq!((verdict.is_ok(), work), (true, (1, 1, 0)));
    exhausts(&case(authorities, leaf("n", 0, |_| {}), &[]), Limit::SignatureChecks);
}

#[test]
fn x5_20_thousands_of_namesakes_that_cost_no_signature_run_out_too() {
    let authorities = (0..3_000).map(|number| {
        ca("n", 1, "n", 1, |draft| {
            serial(number)(draft);
            draft.not_after = utc_time("250101000000Z");
        })
    });
    exhausts(&case(authorities, leaf("n", 0, |_| {}), &[]), Limit::Steps);
}

#[test]
fn x5_20_many_names_under_many_constraints_run_out() {
    let hosts: Vec<_> = (0..200).map(|number| format!("h{number}.test")).collect();
    let permitted: Vec<(u8, &[u8])> = hosts.iter().map(|host| (DNS, host.as_bytes())).collect();
    let root = ca("n", 0, "n", 0, |draft| draft.set(NAME_CONSTRAINTS, true, &name_constraints(&permitted, &[])));
    let with_names = |count: usize| {
        let named: Vec<(u8, &[u8])> = permitted[200 - count..].to_vec();
        let all = [vec![(URI, ID.as_bytes())], named].concat();
        leaf("n", 0, |draft| draft.set(SUBJECT_ALT_NAME, false, &names(&all)))
    };
    let (verdict, (_, checks, comparisons)) = case([root.clone()], with_names(40), &[]).work();
    assert_eq!((verdict.is_ok(), checks), (true, 1));
    assert!((40 * 200..MAX_NAME_COMPARISONS).contains(&comparisons), "{comparisons}");
    exhausts(&case([root], with_names(60), &[]), Limit::NameComparisons);
}

#[test]
fn x5_20_a_chain_of_thirty_two_ends_at_eight() {
    let name = |number: usize| format!("n{number}");
    let sent: Vec<_> = (0..31).map(|at| ca(&name(at), at, &name(at + 1), at + 1, |_| {})).collect();
    let root = ca(&name(31), 31, &name(31), 31, |_| {});
    let (verdict, (steps, checks, _)) = case([root], leaf(&name(0), 0, |_| {}), &sent).work();
    assert_eq!(verdict.unwrap_err(), Rejection::BudgetExhausted(Limit::PathLength));
    assert!(steps <= 9 && checks <= 9, "{steps} steps, {checks} signature checks");
}
