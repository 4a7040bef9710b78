//! `docs/operating.md` lists every metric.

use std::collections::BTreeSet;
use std::fs;

use crate::sources::root;

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
