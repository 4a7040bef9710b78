use super::*;
use crate::cli::samples;
use crate::spiffe::public_key::Fingerprint;

fn bundle(name: &str) -> FederatedBundle {
    FederatedBundle {
        trust_domain: name.parse().unwrap(),
        sequence: Some(7),
        revision: Some(3),
        digest: Fingerprint::of(b"x"),
        authorities: vec![samples::authority("CN=a", 1)],
        document: json!({ "keys": [], "spiffe_sequence": 7 }),
    }
}

#[test]
fn documents_of_several_domains_each_have_their_heading() {
    let ages = BTreeMap::from([("a.example".parse().unwrap(), Some(60))]);
    let page = documents(&[bundle("a.example"), bundle("b.example")], &ages).unwrap();
    let headings: Vec<_> = page.as_str().lines().filter(|line| line.starts_with('#')).collect();
    assert_eq!(
        headings,
        [
            "# a.example: sequence 7, revision 3, age 1 min, 1 authority",
            "# b.example: sequence 7, revision 3, age -, 1 authority",
        ]
    );
    assert_eq!(page.as_str().matches("\"spiffe_sequence\": 7").count(), 2, "{page}");
}

#[test]
fn no_bundle_yet_is_said() {
    assert_eq!(summaries(&[], &Ages::new()).as_str(), "no foreign bundle is accepted yet\n");
}

#[test]
fn a_diff_in_json_has_what_is_accepted_beside_what_is_held() {
    let held = samples::held();
    let value = diff_json(&samples::current(), &[&held]);
    assert_eq!(value["accepted"]["sequence"], 1_794_000_000);
    assert_eq!(value["held"][0]["digest"], Fingerprint::of(b"held").to_string());
    assert_eq!(value["held"][0]["last_seen"], "2026-11-18T11:05:40Z");
}
