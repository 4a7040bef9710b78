//! What `comity bundle history` tells, with the real program on both sides.

use serde_json::json;

use crate::process::until;
use crate::scripted::Partner;
use crate::support::ca::Ca;

#[tokio::test]
async fn every_revision_is_told_with_what_it_changed_and_who_accepted_it() {
    let [first, second] = [(); 2].map(|()| Ca::of("b.example"));
    let partner = Partner::start().await;
    let home = partner.home("");
    partner.publishes(1, &[&first]);
    let service = home.start().await;
    assert_eq!(home.refreshed().await["revision"], 1);
    partner.publishes(2, &[&first, &second]);
    assert_eq!(home.refreshed().await["revision"], 2);
    partner.publishes(1, &[&first]);
    let digest = home.refreshed().await["held"][0]["digest"].as_str().unwrap().to_owned();
    let accepted = home.ask(&["bundle", "accept", "b.example", "--digest", &digest, "--yes"]).await;
    assert_eq!(accepted.code, Some(0), "{accepted:?}");

    let history = home.ask(&["bundle", "history", "b.example", "--output", "json"]).await.json();
    for (at, revision, sequence, origin, [authorities, added, removed]) in
        [(0, 3, 1, "operator", [1, 0, 1]), (1, 2, 2, "fetch", [2, 1, 0]), (2, 1, 1, "fetch", [1, 1, 0])]
    {
        let told = &history["revisions"][at];
        assert_eq!((&told["revision"], &told["sequence"]), (&json!(revision), &json!(sequence)), "{history:#}");
        assert_eq!((&told["origin"], &told["authorities"]), (&json!(origin), &json!(authorities)), "{history:#}");
        for (change, count) in [("added", added), ("removed", removed)] {
            assert_eq!(told["changes"][change].as_array().map(Vec::len), Some(count), "{change} in {told:#}");
        }
    }
    assert_eq!((&history["revisions"][0]["digest"], &history["next_before"]), (&json!(digest), &json!(null)));

    let page = home.ask(&["bundle", "history", "b.example", "--limit", "1"]).await;
    assert!(
        page.out.starts_with("revision 3, sequence 1, accepted ") && page.out.contains(" by an operator: "),
        "{page:?}"
    );
    assert!(page.out.ends_with("older ones: comity bundle history b.example --before 3\n"), "{page:?}");
    let page = home.ask(&["bundle", "history", "b.example", "--before", "3", "--limit", "100"]).await;
    assert!(page.out.starts_with("revision 2, ") && page.out.contains("+ X.509 authority P-256"), "{page:?}");
    assert!(!page.out.contains("revision 3") && !page.out.contains("older ones"), "{page:?}");

    home.configure(&partner.relationship("").replace("b.example", "c.example"));
    service.signal("HUP").await;
    until(async || home.admin("GET", "/v1/relationships/b.example").await.status, |status| *status == 404).await;
    let ended = home.ask(&["bundle", "history", "b.example"]).await;
    assert!(ended.code == Some(0) && ended.out.starts_with("revision 3, "), "it outlives the relationship: {ended:?}");
    service.stop().await;
}

#[tokio::test]
async fn a_page_has_bounds_and_a_stranger_no_history() {
    let partner = Partner::start().await;
    let home = partner.home("change_control = \"manual\"");
    let service = home.start().await;
    let none = home.ask(&["bundle", "history", "b.example"]).await;
    assert_eq!(none.out, "b.example: nothing was accepted, or it is no longer kept\n");
    for (arguments, code, error) in [
        (&["c.example"][..], 1, "error: unknown-trust-domain: "),
        (&[".."], 1, "error: unaddressable: "),
        (&["b.example", "--limit", "0"], 2, "error: invalid value '0'"),
        (&["b.example", "--limit", "101"], 2, "error: invalid value '101'"),
        (&[], 2, "error: the following required arguments"),
    ] {
        let refused = home.ask(&[&["bundle", "history"], arguments].concat()).await;
        assert_eq!(refused.code, Some(code), "{arguments:?}: {refused:?}");
        assert!(refused.err.starts_with(error) && refused.out.is_empty(), "{arguments:?}: {refused:?}");
    }
    for query in ["limit=0", "limit=101", "limit=x", "before=-1", "after=1"] {
        let refused = home.admin("GET", &format!("/v1/bundles/b.example/history?{query}")).await;
        assert_eq!((refused.status, &refused.json()["code"]), (400, &json!("invalid-request")), "{query}");
    }
    service.stop().await;
}
