//! `docs/operating.md` lists every metric.

use std::collections::BTreeSet;
use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::ExtendedKeyUsagePurpose;
use serde_json::json;

use crate::partner::Partner;
use crate::service::Service;
use crate::sources::root;
use crate::support::ca::{Ca, Leaf};

#[test]
fn every_metric_of_the_state_is_in_the_table() {
    let source = fs::read_to_string(root().join("src/http/state_metrics.rs")).unwrap();
    let source = source.split("#[cfg(test)]").next().unwrap();
    let page = fs::read_to_string(root().join("docs/operating.md")).unwrap();
    let listed: BTreeSet<&str> = page.split('`').map(|name| name.trim_end_matches("_total")).collect();
    let missing: Vec<_> = names(source).filter(|name| !listed.contains(name)).collect();
    assert!(names(source).count() > 15, "the source was not read");
    assert_eq!(missing, [""; 0]);
}

fn names(source: &str) -> impl Iterator<Item = &str> {
    source.split('"').filter(|text| text.starts_with("comity_") && !text.contains(' '))
}

#[tokio::test]
async fn verdicts_are_counted_and_so_are_the_lapses_that_compatible_checks_let_pass() {
    let ca = Ca::of("b.example");
    let b = Partner::publishing("b.example", 1, &[&ca]).await;
    let service = Service::with([b.relationship().with("svid_checks", "compatible")]).await;
    let lax = Leaf {
        uris: vec!["spiffe://b.example/web".into()],
        extended_key_usages: vec![ExtendedKeyUsagePurpose::ServerAuth],
        ..Leaf::default()
    };
    let svids = [ca.issue(lax), ca.svid("spiffe://b.example/web"), Ca::of("b.example").svid("spiffe://b.example/web")];
    for svid in svids {
        let chain: Vec<String> = svid.chain.iter().map(|certificate| STANDARD.encode(certificate)).collect();
        for question in [json!({"chain": &chain}), json!({"chain": chain, "at": "2027-01-15T08:00:00Z"})] {
            service.post("/v1/verify/x509-svid", &question).await;
        }
    }
    let (_, text) = service.operations("/metrics").await;
    for line in [
        r#"comity_verdicts_total{svid_type="x509-svid",code="accepted"} 2"#,
        r#"comity_verdicts_total{svid_type="x509-svid",code="unknown-authority"} 1"#,
        r#"comity_verdict_lapses_total{trust_domain="b.example",code="extended-key-usage"} 1"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}
