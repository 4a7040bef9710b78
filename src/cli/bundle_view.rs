//! Bundles for people: their authorities, and what a held document would change.

use std::time::Duration;

use crate::federation::status::{AuthoritySummary, HeldStatus, RelationshipStatus};
use crate::federation::timestamp::Timestamp;
use crate::spiffe::authority::SvidType;

use super::client::{Decision, FederatedBundle};
use super::output::Page;
use super::relationship_view::{argument, counted, instant};
use super::relative::duration;

/// Which bundle this is, in a line.
pub(super) fn heading(bundle: &FederatedBundle, age_seconds: Option<u64>) -> String {
    let age = age_seconds.map_or_else(|| UNKNOWN.to_owned(), |age| duration(Duration::from_secs(age)));
    format!(
        "{}: sequence {}, revision {}, age {age}, {}",
        bundle.trust_domain,
        number(bundle.sequence),
        number(bundle.revision),
        counted(bundle.authorities.len(), "authority"),
    )
}

/// The bundle's authorities below its heading.
pub(super) fn summary(bundle: &FederatedBundle, age_seconds: Option<u64>, now: Timestamp, page: &mut Page) {
    page.line(heading(bundle, age_seconds));
    page.line(format!("  digest {}", bundle.digest));
    bundle.authorities.iter().for_each(|one| authority(" ", one, now, page));
}

/// What each held document would change.
pub(super) fn diff(status: &RelationshipStatus, held: &[&HeldStatus], now: Timestamp) -> Page {
    let mut page = Page::default();
    if held.is_empty() {
        page.line(format!("{}: no document is held", status.trust_domain));
    }
    for (index, document) in held.iter().enumerate() {
        if index > 0 {
            page.line("");
        }
        change(status, document, now, &mut page);
    }
    page
}

/// The commands that decide about a held document.
pub(super) fn decisions(status: &RelationshipStatus, held: &HeldStatus, page: &mut Page) {
    let name = argument(&status.trust_domain);
    page.line(format!("  accept it: comity bundle accept {name} --digest {}", held.digest));
    page.line(format!("  reject it: comity bundle reject {name} --digest {}", held.digest));
}

/// What a decision led to.
pub(super) fn decided(after: &RelationshipStatus, decision: Decision, held: &HeldStatus) -> Page {
    let mut page = Page::default();
    let digest = held.digest;
    page.line(match decision {
        Decision::Accept => {
            format!("{}: accepted {digest} as revision {}", after.trust_domain, number(after.revision))
        }
        Decision::Reject => format!("{}: rejected {digest}; it will not be held again", after.trust_domain),
    });
    page
}

const UNKNOWN: &str = "-";

fn change(status: &RelationshipStatus, held: &HeldStatus, now: Timestamp, page: &mut Page) {
    let accepted = status.digest.map_or_else(|| "none".to_owned(), |digest| digest.to_string());
    page.line(format!("{}: held because of {}: {}", status.trust_domain, held.code, held.detail));
    page.line(format!("  accepted   {accepted}"));
    page.line(format!("  held       {}", held.digest));
    page.line(format!("  sequence   {} -> {}", number(status.sequence), number(held.sequence)));
    page.line(format!("  first seen {}", instant(held.first_seen, now)));
    page.line(format!("  last seen  {}", instant(held.last_seen, now)));
    if held.added.is_empty() && held.removed.is_empty() {
        page.line("  the same authorities");
    }
    held.added.iter().for_each(|one| authority("+", one, now, page));
    held.removed.iter().for_each(|one| authority("-", one, now, page));
}

pub(super) fn authority(sign: &str, authority: &AuthoritySummary, now: Timestamp, page: &mut Page) {
    let what = match authority.id.svid_type() {
        SvidType::X509Svid => "X.509 authority",
        SvidType::JwtSvid => "JWT authority",
        SvidType::WitSvid => "WIT authority",
    };
    let subject = authority.subject.as_ref().map(|subject| format!(", {subject}")).unwrap_or_default();
    let expiry = authority.not_after.map(|at| format!(", {} {}", expires(at, now), instant(at, now)));
    page.line(format!("{sign} {what} {}{subject}{}", authority.kind, expiry.unwrap_or_default()));
    page.line(format!("{sign}   {}", authority.id));
    // The identity of the others names the key.
    if authority.id.svid_type() == SvidType::X509Svid {
        page.line(format!("{sign}   key {}", authority.key_thumbprint));
    }
}

fn expires(at: Timestamp, now: Timestamp) -> &'static str {
    match at > now {
        true => "expires",
        false => "EXPIRED",
    }
}

pub(super) fn number(number: Option<u64>) -> String {
    number.map_or_else(|| "none".to_owned(), |number| number.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::samples::{self, NOW};
    use crate::spiffe::public_key::Fingerprint;

    fn now() -> Timestamp {
        Timestamp::from_secs(NOW)
    }

    #[test]
    fn a_diff_shows_each_authority_and_the_sequence() {
        let held = samples::held();
        let print = |text: &str| Fingerprint::of(text.as_bytes());
        assert_eq!(
            diff(&samples::current(), &[&held], now()).as_str(),
            format!(
                "\
bank-b.example: held because of sequence-rollback: sequence went back from 1794000000 to 7
  accepted   {}
  held       {}
  sequence   1794000000 -> 7
  first seen 2026-11-18T10:56:40Z (10 min ago)
  last seen  2026-11-18T11:05:40Z (1 min ago)
+ X.509 authority P-256, CN=new, expires 2027-02-16T11:06:40Z (in 90 d)
+   x509:{}
+   key {}
- X.509 authority P-256, CN=old, expires 2026-11-30T11:06:40Z (in 12 d)
-   x509:{}
-   key {}
",
                print("accepted"),
                print("held"),
                print("CN=new"),
                print("key"),
                print("CN=old"),
                print("key"),
            )
        );
    }

    #[test]
    fn a_diff_of_nothing_says_so() {
        assert_eq!(diff(&samples::current(), &[], now()).as_str(), "bank-b.example: no document is held\n");
        let same = HeldStatus { added: vec![], removed: vec![], sequence: None, ..samples::held() };
        let page = diff(&samples::bootstrapping(), &[&same, &same], now());
        assert!(page.as_str().contains("\n  accepted   none\n"), "{page}");
        assert!(page.as_str().contains("\n  sequence   none -> none\n"), "{page}");
        assert_eq!(page.as_str().matches("  the same authorities\n").count(), 2, "{page}");
    }

    #[test]
    fn a_bundle_is_its_heading_and_its_authorities() {
        let bundle = FederatedBundle {
            trust_domain: "bank-b.example".parse().unwrap(),
            sequence: Some(7),
            revision: Some(3),
            digest: Fingerprint::of(b"x"),
            authorities: vec![samples::authority("CN=a\nb", -1), samples::jwt_authority("k\x1b1")],
            document: json!({}),
        };
        let mut page = Page::default();
        summary(&bundle, Some(50), now(), &mut page);
        let lines: Vec<_> = page.as_str().lines().collect();
        assert_eq!(lines[0], "bank-b.example: sequence 7, revision 3, age 50 s, 2 authorities");
        assert_eq!(lines[2], "  X.509 authority P-256, CN=a\\nb, EXPIRED 2026-11-17T11:06:40Z (1 d ago)");
        assert_eq!(lines[4], format!("    key {}", Fingerprint::of(b"key")));
        assert_eq!(lines[5], "  JWT authority RSA-2048");
        assert_eq!(lines[6], format!("    jwt:{}:k\\u{{1b}}1", Fingerprint::of(b"key")));
    }

    #[test]
    fn decisions_name_the_whole_digest() {
        let mut page = Page::default();
        decisions(&samples::current(), &samples::held(), &mut page);
        let digest = Fingerprint::of(b"held");
        assert_eq!(page.as_str().matches(&format!("bank-b.example --digest {digest}\n")).count(), 2, "{page}");
    }
}
