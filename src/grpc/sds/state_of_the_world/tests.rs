use envoy_types::pb::google::rpc::Status;

use super::*;
use crate::grpc::sds::secrets::SecretNames;
use crate::grpc::sds::secrets::tests::{contents, view};
use crate::spiffe::authority::Authority;
use crate::spiffe::fixtures::FIXTURES;

fn secrets<const N: usize>(number: u64, bundles: [(&str, Vec<Authority>); N]) -> Secrets {
    Secrets::of(view(number, bundles), SecretNames::default())
}

fn key(at: usize) -> Vec<Authority> {
    vec![FIXTURES[at].x509()]
}

fn asks(names: &[&str], nonce: &str) -> DiscoveryRequest {
    let resource_names = names.iter().map(|name| (*name).to_owned()).collect();
    DiscoveryRequest { resource_names, response_nonce: nonce.into(), ..DiscoveryRequest::default() }
}

fn refuses(names: &[&str], nonce: &str) -> DiscoveryRequest {
    let error = Status { code: 13, message: "no certificate".into(), details: Vec::new() };
    DiscoveryRequest { error_detail: Some(error), ..asks(names, nonce) }
}

/// Names of Secrets, each with the names of its domains.
fn shown(response: &DiscoveryResponse) -> Vec<String> {
    let of = |(name, domains): (String, Vec<(String, usize)>)| {
        let domains: Vec<_> = domains.into_iter().map(|(name, _)| name).collect();
        format!("{name}: {}", domains.join(" "))
    };
    response.resources.iter().map(|secret| of(contents(secret))).collect()
}

/// A stream that asked for these names, and what it was answered.
fn begun(names: &[&str], secrets: &Secrets) -> (StateOfTheWorld, DiscoveryResponse) {
    let mut dialogue = StateOfTheWorld::default();
    assert!(dialogue.say(secrets).is_none(), "nothing before it is asked for");
    assert_eq!(dialogue.hear(asks(names, ""), secrets), Ok(Heard::Nothing));
    let response = dialogue.say(secrets).unwrap();
    assert!(dialogue.say(secrets).is_none(), "once");
    (dialogue, response)
}

#[test]
fn sds_02_03_all_that_is_named_is_served_and_no_names_are_everything() {
    let secrets = secrets(1, [("own.example", key(1)), ("b.example", key(2)), ("jwt.example", vec![])]);
    let all = "ALL: b.example own.example";
    for (names, expected) in [
        (
            &["ROOTCA", "ALL", "spiffe://own.example"][..],
            &[all, "ROOTCA: own.example", "spiffe://own.example: own.example"][..],
        ),
        (&["ROOTCA", "ROOTCA"], &["ROOTCA: own.example"]),
        (&[], &[all, "ROOTCA: own.example", "spiffe://b.example: b.example", "spiffe://own.example: own.example"]),
        (
            &["*", "spiffe://stale.example"],
            &[
                all,
                "ROOTCA: own.example",
                "spiffe://b.example: b.example",
                "spiffe://own.example: own.example",
                "spiffe://stale.example: nobody.invalid",
            ],
        ),
    ] {
        let (_, response) = begun(names, &secrets);
        assert_eq!(shown(&response), expected, "{names:?}");
        assert_eq!(response.type_url, "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret");
    }
}

#[test]
fn sds_02_an_unknown_name_ends_the_stream() {
    let secrets = secrets(1, [("own.example", key(1))]);
    let (mut dialogue, _) = begun(&["ALL"], &secrets);
    let unknown = Err(Refusal::unknown("spiffe://b.example"));
    assert_eq!(dialogue.hear(asks(&["ALL", "spiffe://b.example"], "1"), &secrets), unknown);
    assert_eq!(StateOfTheWorld::default().hear(asks(&["spiffe://b.example"], ""), &secrets), unknown);
    let long = "x".repeat(1000);
    let Err(refusal) = StateOfTheWorld::default().hear(asks(&[&long], ""), &secrets) else { panic!("{long}") };
    assert!(refusal.to_string().len() < 500, "{refusal}");
}

#[test]
fn sds_04_an_ack_settles_and_a_nack_is_told_once_and_not_answered() {
    let one = secrets(1, [("own.example", key(1))]);
    let (mut dialogue, first) = begun(&["ALL"], &one);
    assert!(!dialogue.exchange().is_settled());
    let accepted = |generation, is_news| Ok(Heard::Accepted { generation, is_news });
    assert_eq!(dialogue.hear(asks(&["ALL"], &first.nonce), &one), accepted(one.view.generation, false));
    assert!(dialogue.say(&one).is_none());
    assert!(dialogue.exchange().is_settled());

    let two = secrets(2, [("own.example", key(2))]);
    let second = dialogue.say(&two).unwrap();
    assert_ne!((&first.nonce, &first.version_info), (&second.nonce, &second.version_info));
    let refused = Ok(Heard::Refused { detail: "no certificate".into() });
    assert_eq!(dialogue.hear(refuses(&["ALL"], &second.nonce), &two), refused);
    assert!(!dialogue.exchange().is_settled(), "it has what was before");
    assert_eq!(dialogue.hear(refuses(&["ALL"], &second.nonce), &two), Ok(Heard::Nothing), "said before");
    assert!(dialogue.say(&two).is_none(), "not sent again");

    let three = secrets(3, [("own.example", key(3))]);
    let third = dialogue.say(&three).unwrap();
    assert_eq!(dialogue.hear(asks(&["ALL"], &third.nonce), &three), accepted(three.view.generation, true));
    assert!(dialogue.say(&secrets(4, [("own.example", key(3))])).is_none(), "the same contents");
}

#[test]
fn sds_04_what_answers_an_older_response_is_ignored() {
    let one = secrets(1, [("own.example", key(1)), ("b.example", key(2))]);
    let (mut dialogue, first) = begun(&["ALL"], &one);
    let two = secrets(2, [("own.example", key(1))]);
    let second = dialogue.say(&two).unwrap();
    for stale in [refuses(&["ALL"], &first.nonce), asks(&["ROOTCA"], &first.nonce), asks(&["nobody's"], "99")] {
        assert_eq!(dialogue.hear(stale, &two), Ok(Heard::Nothing));
        assert!(dialogue.say(&two).is_none());
    }
    assert!(matches!(dialogue.hear(asks(&["ALL"], &second.nonce), &two), Ok(Heard::Accepted { .. })));
}

#[test]
fn sds_04_a_changed_list_is_answered_at_once() {
    let secrets = secrets(1, [("own.example", key(1)), ("b.example", key(2))]);
    let (mut dialogue, first) = begun(&["ALL"], &secrets);
    let mut says = |request| {
        dialogue.hear(request, &secrets).unwrap();
        dialogue.say(&secrets)
    };
    let second = says(asks(&["spiffe://b.example", "ALL"], &first.nonce)).unwrap();
    assert_eq!(shown(&second), ["ALL: b.example own.example", "spiffe://b.example: b.example"]);
    assert!(says(asks(&["ALL", "spiffe://b.example"], &second.nonce)).is_none(), "another order is no change");
    let third = says(refuses(&["ROOTCA"], &second.nonce)).unwrap();
    assert_eq!(shown(&third), ["ROOTCA: own.example"]);
    assert!(says(asks(&[], &third.nonce)).is_none(), "it wants nothing any more");
    assert!(says(asks(&["ROOTCA"], &third.nonce)).is_some(), "again");
}

#[test]
fn sds_07_what_a_client_holds_is_emptied_and_never_left_behind() {
    let (own, b) = (("own.example", key(1)), ("b.example", key(2)));
    let both = secrets(1, [own.clone(), b]);
    let gone = secrets(2, [own]);
    for names in [&["spiffe://b.example", "ROOTCA"][..], &[]] {
        let (mut dialogue, _) = begun(names, &both);
        let response = dialogue.say(&gone).unwrap();
        assert!(shown(&response).contains(&"spiffe://b.example: nobody.invalid".into()), "{names:?}: {response:?}");
    }
    let again = DiscoveryRequest { version_info: "from before".into(), ..asks(&["spiffe://b.example"], "") };
    let mut dialogue = StateOfTheWorld::default();
    dialogue.hear(again, &gone).unwrap();
    assert_eq!(shown(&dialogue.say(&gone).unwrap()), ["spiffe://b.example: nobody.invalid"], "after a reconnect");
}

#[test]
fn more_than_secrets_and_more_than_enough_is_refused() {
    let secrets = secrets(1, []);
    let other =
        DiscoveryRequest { type_url: "type.googleapis.com/envoy.config.cluster.v3.Cluster".into(), ..asks(&[], "") };
    let many: Vec<_> = (0..1025).map(|at| format!("spiffe://{at}.example")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    for (request, code) in [(other, "unknown-resource-type"), (asks(&many, ""), "too-many-secrets")] {
        let refusal = StateOfTheWorld::default().hear(request, &secrets).unwrap_err();
        assert_eq!(refusal.code(), code);
    }
    assert_eq!(StateOfTheWorld::default().hear(asks(&["x"], ""), &secrets).unwrap_err().code(), "unknown-secret");
}
