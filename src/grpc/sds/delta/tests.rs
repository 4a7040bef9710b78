use discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use envoy_types::pb::google::rpc::Status;

use super::*;
use crate::grpc::sds::secrets::SecretNames;
use crate::grpc::sds::secrets::tests::{contents, view};
use crate::spiffe::authority::Authority;
use crate::spiffe::fixtures::FIXTURES;

const OWN: &str = "spiffe://own.example";
const B: &str = "spiffe://b.example";

fn secrets<const N: usize>(number: u64, bundles: [(&str, Vec<Authority>); N]) -> Secrets {
    Secrets::of(view(number, bundles), SecretNames::default())
}

fn key(at: usize) -> Vec<Authority> {
    vec![FIXTURES[at].x509()]
}

fn subscribes(names: &[&str], nonce: &str) -> DeltaDiscoveryRequest {
    let resource_names_subscribe = names.iter().map(|name| (*name).to_owned()).collect();
    DeltaDiscoveryRequest { resource_names_subscribe, response_nonce: nonce.into(), ..DeltaDiscoveryRequest::default() }
}

fn unsubscribes(names: &[&str], nonce: &str) -> DeltaDiscoveryRequest {
    let resource_names_unsubscribe = names.iter().map(|name| (*name).to_owned()).collect();
    DeltaDiscoveryRequest { resource_names_unsubscribe, ..subscribes(&[], nonce) }
}

/// Names of Secrets, each with those of its domains; removed ones after a minus.
fn shown(response: Option<&DeltaDiscoveryResponse>) -> Vec<String> {
    let Some(response) = response else { return Vec::new() };
    let of = |resource: &discovery::Resource| {
        let (name, domains) = contents(resource.resource.as_ref().unwrap());
        assert_eq!(name, resource.name);
        let domains: Vec<_> = domains.into_iter().map(|(name, _)| name).collect();
        format!("{name}: {}", domains.join(" "))
    };
    let removed = response.removed_resources.iter().map(|name| format!("-{name}"));
    response.resources.iter().map(of).chain(removed).collect()
}

fn says(dialogue: &mut Delta, request: DeltaDiscoveryRequest, secrets: &Secrets) -> Vec<String> {
    dialogue.hear(request, secrets).unwrap();
    let response = dialogue.say(secrets);
    assert!(dialogue.say(secrets).is_none(), "once");
    shown(response.as_ref())
}

#[test]
fn only_what_changed_is_sent() {
    let one = secrets(1, [("own.example", key(1)), ("b.example", key(2))]);
    let mut dialogue = Delta::default();
    assert!(dialogue.say(&one).is_none());
    let first = says(&mut dialogue, subscribes(&["ROOTCA", B], ""), &one);
    assert_eq!(first, ["ROOTCA: own.example", "spiffe://b.example: b.example"]);
    let two = secrets(2, [("own.example", key(3)), ("b.example", key(2))]);
    let response = dialogue.say(&two).unwrap();
    assert_eq!(shown(Some(&response)), ["ROOTCA: own.example"]);
    assert_eq!(response.resources[0].version, two.secret("ROOTCA").unwrap().version);
    let accepted = Heard::Accepted { generation: two.view.generation, is_news: true };
    assert_eq!(dialogue.hear(subscribes(&[], &response.nonce), &two), Ok(accepted));
    assert!(dialogue.say(&two).is_none());
}

#[test]
fn a_list_is_changed_by_subscribing_and_unsubscribing_whatever_the_nonce() {
    let one = secrets(1, [("own.example", key(1)), ("b.example", key(2))]);
    let mut dialogue = Delta::default();
    says(&mut dialogue, subscribes(&[OWN], ""), &one);
    assert_eq!(says(&mut dialogue, subscribes(&[B], "old"), &one), ["spiffe://b.example: b.example"]);
    assert_eq!(says(&mut dialogue, subscribes(&[B], ""), &one), ["spiffe://b.example: b.example"], "asked for again");
    assert!(says(&mut dialogue, unsubscribes(&[B], "old"), &one).is_empty());
    let two = secrets(2, [("own.example", key(1)), ("b.example", key(3))]);
    assert!(dialogue.say(&two).is_none(), "no longer wanted");
}

#[test]
fn no_names_are_everything_and_what_comes_later_too() {
    let one = secrets(1, [("own.example", key(1))]);
    let mut dialogue = Delta::default();
    let first = says(&mut dialogue, subscribes(&[], ""), &one);
    assert_eq!(first, ["ALL: own.example", "ROOTCA: own.example", "spiffe://own.example: own.example"]);
    let two = secrets(2, [("own.example", key(1)), ("b.example", key(2))]);
    assert_eq!(shown(dialogue.say(&two).as_ref()), ["ALL: b.example own.example", "spiffe://b.example: b.example"]);
    assert_eq!(
        shown(dialogue.say(&one).as_ref()),
        ["ALL: own.example", "spiffe://b.example: nobody.invalid"],
        "sds_07"
    );
    assert!(says(&mut dialogue, unsubscribes(&["*"], ""), &two).is_empty());
}

#[test]
fn what_the_client_has_is_not_sent_again_after_a_reconnect() {
    let secrets = secrets(1, [("own.example", key(1)), ("b.example", key(2))]);
    let held = [(OWN, secrets.secret(OWN).unwrap().version.clone()), (B, "old".into()), ("gone", "old".into())];
    let initial_resource_versions = held.into_iter().map(|(name, version)| (name.to_owned(), version)).collect();
    let request = DeltaDiscoveryRequest { initial_resource_versions, ..subscribes(&[OWN, B, "gone"], "") };
    let expected = ["gone: nobody.invalid", "spiffe://b.example: b.example"];
    assert_eq!(says(&mut Delta::default(), request, &secrets), expected, "sds_07: what is gone is emptied");
}

#[test]
fn sds_02_an_unknown_name_is_said_to_be_removed_once_and_sent_when_it_comes() {
    let (own, b) = (("own.example", key(1)), ("b.example", key(2)));
    let one = secrets(1, [own.clone()]);
    let mut dialogue = Delta::default();
    assert_eq!(
        says(&mut dialogue, subscribes(&[B, OWN], ""), &one),
        ["spiffe://own.example: own.example", "-spiffe://b.example"]
    );
    assert!(dialogue.say(&secrets(2, [own.clone()])).is_none());
    assert_eq!(says(&mut dialogue, subscribes(&[B], ""), &one), ["-spiffe://b.example"], "asked for again");
    assert_eq!(shown(dialogue.say(&secrets(3, [own, b])).as_ref()), ["spiffe://b.example: b.example"]);
}

#[test]
fn sds_04_a_nack_is_told_once_and_its_contents_are_not_sent_again() {
    let one = secrets(1, [("own.example", key(1))]);
    let mut dialogue = Delta::default();
    dialogue.hear(subscribes(&["ALL"], ""), &one).unwrap();
    let nonce = dialogue.say(&one).unwrap().nonce;
    let error = Some(Status { code: 13, message: "no".into(), details: Vec::new() });
    let nack = DeltaDiscoveryRequest { error_detail: error, ..subscribes(&[], &nonce) };
    assert_eq!(dialogue.hear(nack.clone(), &one), Ok(Heard::Refused { detail: "no".into() }));
    assert_eq!(dialogue.hear(nack, &one), Ok(Heard::Nothing));
    assert!(dialogue.say(&one).is_none());
    assert_eq!(shown(dialogue.say(&secrets(2, [("own.example", key(2))])).as_ref()), ["ALL: own.example"]);
}

#[test]
fn more_than_enough_is_refused_also_in_parts() {
    let secrets = secrets(1, []);
    let names: Vec<_> = (0..1025).map(|at| format!("spiffe://{at}.example")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut dialogue = Delta::default();
    dialogue.hear(subscribes(&names[..1024], ""), &secrets).unwrap();
    assert_eq!(dialogue.hear(subscribes(&names[1024..], ""), &secrets), Err(Refusal::TooManyNames));
    assert_eq!(Delta::default().hear(subscribes(&names, ""), &secrets), Err(Refusal::TooManyNames));
    let initial_resource_versions = names.iter().map(|name| ((*name).to_owned(), String::new())).collect();
    let claimed = DeltaDiscoveryRequest { initial_resource_versions, ..subscribes(&[], "") };
    assert_eq!(Delta::default().hear(claimed, &secrets), Err(Refusal::TooManyNames));
}
