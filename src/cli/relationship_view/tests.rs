use super::*;
use crate::cli::samples::{self, NOW, at};
use crate::federation::status::IgnoredStatus;
use crate::spiffe::authority::AuthorityId;
use crate::spiffe::public_key::Fingerprint;

fn now() -> Timestamp {
    Timestamp::from_secs(NOW)
}

fn shown(status: RelationshipStatus) -> String {
    overview(None, &[status], 120, now()).to_string()
}

fn row(status: RelationshipStatus) -> String {
    shown(status).lines().nth(1).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_healthy_relationship_is_one_line_of_at_most_120_columns() {
    let page = overview(Some(&samples::service()), &[samples::current()], 120, now()).to_string();
    assert_eq!(
        page,
        "\
bank-a.example: ready, sequence 1794990000, snapshot 41, 1 relationship, comity 0.1.0 up 2 h 1 min

TRUST DOMAIN    STATE        AGE   SEQUENCE    REV  LAST OK   NEXT POLL                   EXPIRES  AUTHORITIES
bank-b.example  current 3 h  50 s  1794000000  12   50 s ago  in 4 min 10 s refresh-hint  in 12 d  2 x509 1 jwt
"
    );
}

#[test]
fn every_state_has_its_line() {
    let stale =
        RelationshipStatus { state: RelationshipState::Stale, age_seconds: Some(100_000), ..samples::failing() };
    let lost =
        RelationshipStatus { state: RelationshipState::NeedsBootstrap, x509_authorities: 0, ..samples::current() };
    let held = RelationshipStatus { state: RelationshipState::Held, ..samples::current() };
    for (status, expected) in [
        (samples::bootstrapping(), "bank-b.example bootstrapping 5 s - - - - now requested - 0 x509 0 jwt"),
        (
            samples::failing(),
            "bank-b.example failing 12 min 12 min 1794000000 12 12 min ago in 4 min 10 s retry in 12 d 2 x509 1 jwt",
        ),
        (stale, "bank-b.example stale 12 min 1 d 1794000000 12 12 min ago in 4 min 10 s retry in 12 d 2 x509 1 jwt"),
        (held, "bank-b.example held 3 h 50 s 1794000000 12 50 s ago in 4 min 10 s refresh-hint in 12 d 2 x509 1 jwt"),
        (
            lost,
            "bank-b.example needs_bootstrap 3 h 50 s 1794000000 12 50 s ago in 4 min 10 s refresh-hint in 12 d 0 x509 1 jwt",
        ),
    ] {
        let state = status.state;
        assert_eq!(row(status), expected, "{state:?}");
    }
}

#[test]
fn a_failure_is_told_with_its_code_time_count_and_detail() {
    let text =
        "error      connect-failed 2 min ago, 3 failures in a row: bundle.bank-b.example:443: connection refused";
    assert!(shown(samples::failing()).contains(text), "{}", shown(samples::failing()));
    let wide = overview(None, &[samples::failing()], 200, now()).to_string();
    assert!(wide.contains("connect-failed 2 min ago  in 4 min") && wide.contains(text), "{wide}");
}

#[test]
fn of_several_urls_each_is_told_with_what_it_last_came_to_and_hosts_by_their_chain() {
    let alone = full(&samples::current(), now()).to_string();
    assert!(!alone.contains("contents from") && !alone.contains("via"), "{alone}");
    let error = samples::failing().last_error;
    let [first, second] = ["https://bundle.bank-b.example/", "https://2.bank-b.example/"];
    let urls = vec![
        UrlStatus { last_error: error, ..samples::url(first) },
        UrlStatus { known: false, last_asked: None, sequence: None, ..samples::url(second) },
    ];
    let via = ["hub.example", "root.example"].map(|name| name.parse().unwrap()).to_vec();
    let page = full(&RelationshipStatus { urls, via, ..samples::current() }, now()).to_string();
    let page: Vec<_> = page.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let page = page.join("\n");
    for expected in [
        "fallback https://2.bank-b.example/",
        "contents from https://bundle.bank-b.example/",
        "via hub.example, which is via root.example",
        "url https://bundle.bank-b.example/ asked 50 s ago, connect-failed: bundle.bank-b.example:443: connection refused",
        "url https://2.bank-b.example/ not asked yet, new here, sequence -",
    ] {
        assert!(page.contains(expected), "{expected} is not in\n{page}");
    }
}

#[test]
fn an_error_that_is_over_costs_a_line_only_where_it_has_no_column() {
    let recovered = RelationshipStatus { consecutive_failures: 0, ..samples::failing() };
    let wide = overview(None, std::slice::from_ref(&recovered), 200, now()).to_string();
    assert_eq!(wide.lines().count(), 2, "{wide}");
    assert!(shown(recovered).contains("error      connect-failed 2 min ago, recovered since:"));
}

#[test]
fn what_is_held_comes_with_the_commands_to_run_next() {
    let status = RelationshipStatus { held: vec![samples::held()], ..samples::current() };
    let page = shown(status);
    let notes: Vec<_> = page.lines().skip(2).collect();
    assert_eq!(
        notes,
        [
            "  held       sequence-rollback, sequence 7, +1 -1, seen 1 min ago: sequence went back from 1794000000 to 7",
            "             see it:    comity bundle diff bank-b.example",
            &format!(
                "             accept it: comity bundle accept bank-b.example --digest {}",
                Fingerprint::of(b"held")
            ),
        ]
    );
}

#[test]
fn withheld_ignored_and_warnings_follow() {
    let detail = String::from("because");
    let status = RelationshipStatus {
        withheld: vec![WithheldAuthority {
            id: AuthorityId::Jwt(Fingerprint::of(b"k"), "k\x1b".into()),
            code: "authority-reused".into(),
            detail: detail.clone(),
            owner: "bank-c.example".parse().unwrap(),
        }],
        ignored: vec![IgnoredStatus { index: 3, code: "unknown-use".into(), detail: detail.clone(), alarm: false }],
        warnings: vec![Warning { code: "no-successor".into(), detail }],
        ..samples::current()
    };
    let page = shown(status);
    for text in [
        &format!("withheld   jwt:{}:k\\u{{1b}} authority-reused: because", Fingerprint::of(b"k")),
        "ignored    keys[3] unknown-use: because",
        "warning    no-successor: because",
    ] {
        assert!(page.contains(text), "{page}");
    }
}

#[test]
fn text_of_a_peer_cannot_forge_lines() {
    let evil = "x\n\x1b[2Jbank-c.example  current";
    let mut status = samples::failing();
    status.endpoint_url = evil.into();
    status.last_error = Some(ErrorStatus { code: evil.into(), detail: evil.into(), at: at(-1) });
    status.held = vec![HeldStatus { detail: evil.into(), ..samples::held() }];
    status.warnings = vec![Warning { code: evil.into(), detail: evil.into() }];
    let statuses = [status];
    for page in [overview(None, &statuses, 120, now()), full(&statuses[0], now()), list(&statuses)] {
        let text = page.to_string();
        assert!(text.lines().all(|line| !line.contains(char::is_control)), "{text}");
        assert!(!text.lines().any(|line| line.trim_start().starts_with("bank-c")), "{text}");
    }
}

#[test]
fn a_relationship_is_shown_in_full() {
    let page = full(&samples::failing(), now()).to_string();
    for line in [
        "trust domain        bank-b.example",
        "endpoint SPIFFE ID  spiffe://bank-b.example/comity",
        "change control      overlapping",
        "maximum staleness   1 d",
        "state               failing since 2026-11-18T10:54:40Z (12 min ago)",
        "authorities         2 x509 1 jwt",
        "next poll           2026-11-18T11:10:50Z (in 4 min 10 s), retry",
        "failures in a row   3",
    ] {
        assert!(page.lines().any(|shown| shown == line), "{line}\n{page}");
    }
}

#[test]
fn a_refresh_says_what_it_changed() {
    let next = RelationshipStatus { revision: Some(13), sequence: Some(1_794_000_001), ..samples::current() };
    for (after, expected) in [
        (samples::current(), "fetched, nothing new was accepted; current, 2 x509 1 jwt"),
        (samples::failing(), "the fetch failed, the accepted bundle stays; failing, 2 x509 1 jwt"),
        (next, "fetched, accepted revision 13 (sequence 1794000000 -> 1794000001); current, 2 x509 1 jwt"),
    ] {
        let page = outcome(&samples::current(), &after, now());
        assert_eq!(page.as_str(), format!("bank-b.example: {expected}\n"));
    }
}

#[test]
fn the_list_names_every_endpoint() {
    assert_eq!(list(&[]).as_str(), "0 federation relationships\n");
    let page = list(&[samples::current()]).to_string();
    assert_eq!(
        page.lines().last().unwrap(),
        "bank-b.example  https_spiffe  https://bundle.bank-b.example/  spiffe://bank-b.example/comity  current"
    );
}

#[test]
fn a_name_that_looks_like_an_option_stays_an_argument() {
    assert_eq!(argument(&"-rf".parse().unwrap()), "--trust-domain=-rf");
    assert_eq!(argument(&"td".parse().unwrap()), "td");
}
