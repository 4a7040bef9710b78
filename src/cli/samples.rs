//! Statuses for the tests of this floor.

use crate::federation::relationship::ChangeControl;
use crate::federation::status::{
    AuthoritySummary, ErrorStatus, HeldStatus, RelationshipState, RelationshipStatus, ServiceStatus, UrlStatus,
};
use crate::federation::timestamp::Timestamp;
use crate::spiffe::authority::AuthorityId;
use crate::spiffe::public_key::Fingerprint;

pub(super) const NOW: u64 = 1_795_000_000;

pub(super) fn at(seconds_from_now: i64) -> Timestamp {
    Timestamp::from_secs(NOW.checked_add_signed(seconds_from_now).unwrap_or_default())
}

pub(super) fn current() -> RelationshipStatus {
    RelationshipStatus {
        trust_domain: "bank-b.example".parse().expect("a valid name"),
        endpoint_url: "https://bundle.bank-b.example/".into(),
        urls: vec![url("https://bundle.bank-b.example/")],
        served_by: Some("https://bundle.bank-b.example/".into()),
        profile: "https_spiffe".into(),
        endpoint_spiffe_id: Some("spiffe://bank-b.example/comity".into()),
        via: vec![],
        change_control: ChangeControl::Overlapping,
        maximum_staleness_seconds: Some(86_400),
        state: RelationshipState::Current,
        since: at(-3 * 3600),
        age_seconds: Some(50),
        sequence: Some(1_794_000_000),
        revision: Some(12),
        digest: Some(Fingerprint::of(b"accepted")),
        refresh_hint_seconds: Some(300),
        last_success: Some(at(-50)),
        last_attempt: Some(at(-50)),
        last_error: None,
        consecutive_failures: 0,
        next_poll: Some(at(250)),
        next_poll_reason: Some("refresh-hint".into()),
        soonest_authority_expiry: Some(at(12 * 86_400 + 5)),
        x509_authorities: 2,
        jwt_authorities: 1,
        held: vec![],
        withheld: vec![],
        ignored: vec![],
        warnings: vec![],
    }
}

pub(super) fn url(url: &str) -> UrlStatus {
    UrlStatus {
        url: url.into(),
        known: true,
        sequence: Some(1_794_000_000),
        last_asked: Some(at(-50)),
        last_error: None,
    }
}

pub(super) fn failing() -> RelationshipStatus {
    let detail = "bundle.bank-b.example:443: connection refused".to_owned();
    RelationshipStatus {
        state: RelationshipState::Failing,
        since: at(-720),
        age_seconds: Some(770),
        last_success: Some(at(-770)),
        last_error: Some(ErrorStatus { code: "connect-failed".into(), detail, at: at(-120) }),
        consecutive_failures: 3,
        next_poll_reason: Some("retry".into()),
        ..current()
    }
}

pub(super) fn bootstrapping() -> RelationshipStatus {
    RelationshipStatus {
        state: RelationshipState::Bootstrapping,
        since: at(-5),
        age_seconds: None,
        sequence: None,
        revision: None,
        digest: None,
        refresh_hint_seconds: None,
        last_success: None,
        last_attempt: None,
        next_poll: Some(at(0)),
        next_poll_reason: Some("requested".into()),
        soonest_authority_expiry: None,
        x509_authorities: 0,
        jwt_authorities: 0,
        ..current()
    }
}

pub(super) fn held() -> HeldStatus {
    HeldStatus {
        digest: Fingerprint::of(b"held"),
        code: "sequence-rollback".into(),
        detail: "sequence went back from 1794000000 to 7".into(),
        sequence: Some(7),
        first_seen: at(-600),
        last_seen: at(-60),
        added: vec![authority("CN=new", 90)],
        removed: vec![authority("CN=old", 12)],
    }
}

pub(super) fn authority(subject: &str, days: i64) -> AuthoritySummary {
    AuthoritySummary {
        id: AuthorityId::X509(Fingerprint::of(subject.as_bytes())),
        key_thumbprint: Fingerprint::of(b"key"),
        kind: "P-256".into(),
        subject: Some(subject.into()),
        not_before: Some(at(-86_400)),
        not_after: Some(at(days * 86_400)),
    }
}

pub(super) fn jwt_authority(key_id: &str) -> AuthoritySummary {
    AuthoritySummary {
        id: AuthorityId::Jwt(Fingerprint::of(b"key"), key_id.into()),
        key_thumbprint: Fingerprint::of(b"key"),
        kind: "RSA-2048".into(),
        subject: None,
        not_before: None,
        not_after: None,
    }
}

pub(super) fn service() -> ServiceStatus {
    ServiceStatus {
        trust_domain: "bank-a.example".parse().expect("a valid name"),
        version: "0.1.0".into(),
        started: at(-7300),
        sequence: Some(1_794_990_000),
        snapshot_generation: 41,
        relationships: 1,
        not_ready: vec![],
        sources: vec![],
        outputs: vec![],
        warnings: vec![],
    }
}
