use super::*;
use crate::support::ca::{Ca, Leaf};

fn settings(domains: &[&str]) -> AcmeSettings {
    AcmeSettings {
        domains: domains.iter().map(|&domain| domain.into()).collect(),
        contact: Vec::new(),
        directory: "https://acme.example/directory".parse().unwrap(),
        roots: None,
        external_account: None,
    }
}

fn chain(hosts: &[&str]) -> String {
    let hosts = hosts.iter().map(|&host| host.into()).collect();
    let leaf = Leaf { hosts, not_before: 1_700_000_000, not_after: 1_700_000_090, ..Leaf::default() };
    Ca::web("CA").issue(leaf).chain_pem()
}

#[test]
fn a_certificate_names_every_domain_that_was_asked_for() {
    let asked = settings(&["a.example", "b.example"]);
    for (name, chain, expected) in [
        ("exactly", chain(&["b.example", "a.example"]), None),
        ("more, in capitals", chain(&["A.example", "c.example", "b.EXAMPLE"]), None),
        ("one of two", chain(&["a.example"]), Some("acme-name-missing")),
        ("a wildcard", chain(&["*.example"]), Some("acme-name-missing")),
        ("none", chain(&[]), Some("acme-name-missing")),
        ("ten certificates", chain(&["a.example", "b.example"]).repeat(10), None),
        ("eleven", chain(&["a.example", "b.example"]).repeat(11), Some("acme-malformed")),
        ("text without end", chain(&["a.example", "b.example"]) + &" ".repeat(64 << 10), Some("acme-malformed")),
        ("nothing", String::new(), Some("acme-no-certificate")),
        ("garbled", chain(&["a.example"]).replacen("MI", "AA", 1), Some("acme-no-certificate")),
    ] {
        let issued = IssuedCertificate::new(&asked, chain, "key".into(), Timestamp::default());
        assert_eq!(issued.err().map(|error| error.code()), expected, "{name}");
    }
}

#[test]
fn a_certificate_is_for_what_it_was_asked_for() {
    let asked = settings(&["a.example"]);
    let chain = chain(&["a.example", "b.example"]);
    let issued = IssuedCertificate::new(&asked, chain, "key".into(), Timestamp::default()).unwrap();
    assert!(issued.is_for(&asked));
    assert!(!issued.is_for(&settings(&["a.example", "b.example"])));
    let elsewhere = AcmeSettings { directory: "https://other.example/directory".parse().unwrap(), ..asked };
    assert!(!issued.is_for(&elsewhere));
}

#[test]
fn its_life_begins_with_the_leaf_or_with_us_also_after_a_restart() {
    for (name, obtained, begin) in [
        ("dated back", 1_700_000_060, 1_700_000_060),
        ("dated ahead", 1_699_999_990, 1_700_000_000),
        ("after its end", 1_700_000_100, 1_700_000_100),
    ] {
        let (asked, obtained) = (settings(&["a.example"]), Timestamp::from_secs(obtained));
        let issued = IssuedCertificate::new(&asked, chain(&["a.example"]), "key".into(), obtained).unwrap();
        let kept = serde_json::to_vec(&issued).unwrap();
        let issued: IssuedCertificate = serde_json::from_slice(&kept).unwrap();
        let life = issued.life().unwrap();
        let seconds = (life.begin.as_secs(), life.not_after.as_secs(), &*issued.private_key);
        assert_eq!(seconds, (begin, 1_700_000_090, "key"), "{name}");
    }
}
