use super::*;
use crate::spiffe::authority::SvidType;
use crate::spiffe::public_key::Fingerprint;
use crate::verify::key_strength::KeyStrength;
use crate::verify::policy::SvidChecks;

const ALL: &str = r#"
svid_types = ["x509-svid"]
spiffe_ids = ["/ns/prod/**", "/ns/*/sa/web"]
jwt_audiences = ["payments", "ledger"]
jwt_maximum_lifetime = "1h"
not_after = "2027-12-31T23:59:59Z"
signing_domains = ["ca.b.example"]
scoped_paths = true
minimum_key_strength = 192
shared_authorities = ["sha256:KEY"]
shared_unscoped = true
svid_checks = "compatible"
"#;

fn key() -> Fingerprint {
    Fingerprint::of(b"key")
}

fn all() -> String {
    ALL.replace("KEY", &key().to_string())
}

fn expected() -> Policy {
    Policy {
        svid_types: Some([SvidType::X509Svid].into()),
        paths: Some(["/ns/prod/**", "/ns/*/sa/web"].map(|pattern| pattern.parse().unwrap()).into()),
        jwt_audiences: Some(["payments", "ledger"].map(str::to_owned).into()),
        jwt_maximum_lifetime: Some(Duration::from_secs(3600)),
        not_after: Some(rustls::pki_types::UnixTime::since_unix_epoch(Duration::from_secs(1_830_297_599))),
        signing_domains: ["ca.b.example".parse().unwrap()].into(),
        scoped_paths: true,
        minimum_key_strength: KeyStrength::Bits192,
        shared_keys: [key()].into(),
        shared_unscoped: true,
        svid_checks: SvidChecks::Compatible,
    }
}

fn policy_of(config: &Config) -> Policy {
    Policy::clone(&config.relationships[0].policy)
}

#[test]
fn each_key_of_a_policy_is_read() {
    let folder = Folder::new();
    assert_eq!(policy_of(&folder.load(&with("")).unwrap()), Policy::default());
    let config = folder.load(&with(&all())).unwrap();
    assert_eq!(policy_of(&config), expected());
    let said = format!(
        "; SVIDs: until 2027-12-31T23:59:59Z, only x509-svid, only /ns/prod/**, /ns/*/sa/web, audiences ledger, \
         payments, tokens of at most 1h, signing domains ca.b.example, scoped paths, keys of 192 bits, shared keys {}, \
         which need no scope, compatible checks",
        key()
    );
    assert!(describe(&config).contains(&said), "{}", describe(&config));
}

#[test]
fn a_date_of_toml_itself_will_do_too() {
    let config = Folder::new().load(&with("not_after = 2027-12-31T23:59:59Z")).unwrap();
    assert_eq!(policy_of(&config).not_after, expected().not_after);
}

#[test]
fn what_holds_for_all_holds_unless_a_relationship_says_otherwise() {
    let all = "[federation.\"*\"]\nspiffe_ids = [\"/ns/prod/**\"]\nscoped_paths = true\nsvid_checks = \"compatible\"\n\
               minimum_key_strength = 128\nnot_after = \"2027-12-31T23:59:59Z\"";
    let folder = Folder::new();
    let policy = policy_of(&folder.load(&format!("{}\n{all}", with(""))).unwrap());
    let patterns = |patterns: &[&str]| Some(patterns.iter().map(|one| one.parse().unwrap()).collect::<Vec<_>>());
    assert_eq!((policy.paths, policy.scoped_paths), (patterns(&["/ns/prod/**"]), true));
    assert_eq!((policy.svid_checks, policy.minimum_key_strength), (SvidChecks::Compatible, KeyStrength::Bits128));
    assert_eq!(policy.not_after, expected().not_after);
    let own = "spiffe_ids = [\"/**\"]\nscoped_paths = false\nsvid_checks = \"strict\"\n";
    let policy = policy_of(&folder.load(&format!("{}\n{all}", with(own))).unwrap());
    assert_eq!((policy.paths, policy.scoped_paths), (patterns(&["/**"]), false));
    assert_eq!((policy.svid_checks, policy.minimum_key_strength), (SvidChecks::Strict, KeyStrength::Bits128));
}

#[test]
fn mistakes_of_a_policy_are_told_all_at_once() {
    let text = r#"
svid_types = ["x509-svid", "wit-svid"]
spiffe_ids = ["spiffe://b.example/ns", "/a/**/b", "/web*"]
jwt_audiences = []
jwt_maximum_lifetime = "31d"
not_after = "2027-12-31"
signing_domains = ["spiffe://c.example"]
scoped_paths = "maybe"
minimum_key_strength = 129
shared_authorities = ["x509:00", "00"]
shared_unscoped = 1
svid_checks = "lax"
"#;
    let problems = messages(Folder::new().load(&with(text)));
    let found = |key: &str, message: &str| {
        let key = format!("federation.\"b.example\".{key}");
        let found = problems.iter().any(|(at, said)| *at == key && said.contains(message));
        assert!(found, "{key}: {message} is not in {problems:#?}");
    };
    found("svid_types", "\"wit-svid\": not x509-svid or jwt-svid");
    found("spiffe_ids", "\"spiffe://b.example/ns\": a pattern is the path of SPIFFE IDs alone");
    found("spiffe_ids", "\"/a/**/b\": ** at byte 3 is not the last segment");
    found("spiffe_ids", "\"/web*\": a * at byte 4 stands beside other characters");
    found("jwt_audiences", "[] accepts nothing at all; leave the key out");
    found("jwt_maximum_lifetime", "\"31d\" is above the maximum of 30days");
    found("not_after", "\"2027-12-31\": not an instant such as 2027-12-31T23:59:59Z");
    found("signing_domains", "\"spiffe://c.example\": ");
    found("scoped_paths", "\"maybe\" is neither true nor false");
    found("minimum_key_strength", "129 is not 112, 128, 192 or 256 bits of security");
    found("shared_authorities", "\"x509:00\": names a certificate; a key is what");
    found("shared_authorities", "\"00\": a SHA-256 digest is 64 hexadecimal digits");
    found("shared_unscoped", "1 is neither true nor false");
    found("svid_checks", "\"lax\" is not strict or compatible");
    assert_eq!(problems.len(), 14, "{problems:#?}");
}

#[test]
fn edges_of_a_policy() {
    for (text, key, expected) in [
        ("jwt_maximum_lifetime = \"59s\"", "jwt_maximum_lifetime", "\"59s\" is below the minimum of 1m"),
        ("minimum_key_strength = 80", "minimum_key_strength", "80 is below the minimum of 112"),
        ("minimum_key_strength = 512", "minimum_key_strength", "512 is above the maximum of 256"),
        ("not_after = \"2027-12-31T23:59:59\"", "not_after", "not an instant"),
        ("not_after = \"1969-12-31T23:59:59Z\"", "not_after", "not an instant"),
        ("jwt_audiences = [\"\"]", "jwt_audiences", "\"\": an audience is not empty"),
        ("svid_types = []", "svid_types", "[] accepts nothing at all"),
        ("spiffe_ids = 7", "spiffe_ids", "7 is not a list of patterns for paths such as [\"/ns/prod/**\"]"),
        ("shared_unscoped = true", "shared_unscoped", "counts only with shared_authorities"),
    ] {
        let problems = messages(Folder::new().load(&with(text)));
        let at = format!("federation.\"b.example\".{key}");
        assert!(problems.len() == 1 && problems[0].0 == at && problems[0].1.contains(expected), "{text}: {problems:?}");
    }
    for text in ["jwt_maximum_lifetime = \"30d\"", "jwt_maximum_lifetime = \"1m\"", "shared_authorities = []"] {
        assert!(Folder::new().load(&with(text)).is_ok(), "{text}");
    }
    let one = policy_of(&Folder::new().load(&with("spiffe_ids = \"/web\"")).unwrap());
    assert_eq!(one.paths.map(|paths| paths.len()), Some(1), "one text is a list of one");
}

#[test]
fn what_gives_something_away_is_said_of_one_relationship() {
    for (name, value) in [("signing_domains", "[\"c\"]"), ("shared_authorities", "[]"), ("shared_unscoped", "false")] {
        let problems = messages(Folder::new().load(&with(&format!("[federation.\"*\"]\n{name} = {value}"))));
        assert_eq!(problems[0].0, format!("federation.\"*\".{name}"));
        assert_eq!(problems[0].1, "belongs to one relationship, not to all");
    }
}

#[test]
fn policies_alone_are_read_from_a_file_with_or_without_the_rest() {
    let folder = Folder::new();
    let toml =
        format!("[federation.\"*\"]\nscoped_paths = true\n[federation.\"b.example\"]\n{}[federation.c]\n", all());
    let yaml = "federation:\n  b.example:\n    spiffe_ids: [/web]\n";
    let json = r#"{"federation":{"b.example":{"spiffe_ids":["/web"]}}}"#;
    let read = policies(&folder.write("p.toml", &toml)).unwrap();
    assert_eq!(read.keys().map(TrustDomain::as_str).collect::<Vec<_>>(), ["b.example", "c"]);
    assert_eq!(read[&"b.example".parse().unwrap()], expected());
    assert_eq!(read[&"c".parse().unwrap()], Policy { scoped_paths: true, ..Policy::default() });
    for (name, text) in [("p.yaml", yaml), ("p.json", json)] {
        let read = policies(&folder.write(name, text)).unwrap();
        assert_eq!(read[&"b.example".parse().unwrap()].paths, Some(vec!["/web".parse().unwrap()]), "{name}");
    }
    let whole = policies(&folder.write("c.toml", &with("svid_types = [\"jwt-svid\"]\nredirects = 99"))).unwrap();
    assert_eq!(whole[&"b.example".parse().unwrap()].svid_types, Some([SvidType::JwtSvid].into()));
    assert_eq!(policies(&folder.write("empty.toml", "")).unwrap().len(), 0);

    let errors =
        policies(&folder.write("w.toml", "[federation.\"B\"]\nsvid_chekcs = \"strict\"\nnot_after = 1")).unwrap_err();
    let keys: Vec<_> = errors.problems().iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, ["federation.B", "federation.B.not_after", "federation.B.svid_chekcs"]);
    assert!(errors.problems().iter().all(|one| one.source.as_ref().is_none_or(|source| source.ends_with("w.toml"))));
    assert_eq!(policies(Path::new("/nonexistent/p.toml")).unwrap_err().problems().len(), 1);
}
