//! What a relationship says in the log: one line per outcome, and nothing twice.

use tracing::{error, info, warn};

use crate::spiffe::authority::Authority;
use crate::spiffe::bundle::{Authorities, BundleDiff};
use crate::spiffe::trust_domain::TrustDomain;
use crate::store::records::Origin;

use super::endpoint_client::FetchRecord;
use super::known::Known;
use super::outcome::PollError;
use super::routes::Disagreement;

/// One record per attempt, for later forensics (FEC-28). `outcome` is the code of a success.
pub(crate) fn fetched(domain: &TrustDomain, record: &FetchRecord, outcome: Result<&str, &PollError>) {
    let (code, error) = match outcome {
        Ok(code) => (code, None),
        Err(error) => (error.code(), Some(error.to_string())),
    };
    // A 128-bit number would be logged as text.
    let elapsed_ms = u64::try_from(record.elapsed.as_millis()).unwrap_or(u64::MAX);
    info!(
        trust_domain = %domain, code, error, url = %record.url, proxy = record.proxy, final_url = %record.final_url,
        address = record.address.map(tracing::field::display), peer = record.peer, status = record.status,
        bytes = record.bytes, digest = record.digest.map(tracing::field::display),
        elapsed_ms, "bundle fetched"
    );
}

/// What is new since `old`: acceptance, documents and keys that wait, elements that are ignored (OUT-03).
pub(crate) fn changed(domain: &TrustDomain, old: &Known, new: &Known, origin: Origin) {
    if new.revision != old.revision {
        accepted(domain, old, new, origin);
    }
    let (before, now) = (&old.accepted.memory.routes, &new.accepted.memory.routes);
    for Disagreement { sequence, urls: [one, two] } in now.disagreements() {
        let known = before.disagreements().iter().any(|known| known.urls == [one.as_str(), two.as_str()]);
        if !known {
            error!(trust_domain = %domain, code = "endpoints-disagree", sequence, one, two, "other keys under one sequence");
        }
    }
    for held in new.held.iter().filter(|held| !old.held.iter().any(|before| before.digest == held.digest)) {
        warn!(trust_domain = %domain, code = held.code, digest = %held.digest, reason = held.detail, "document held");
    }
    for withheld in new.progress.withheld.iter().filter(|withheld| !old.progress.withheld.contains(withheld)) {
        let (code, reason) = (&withheld.code, &withheld.detail);
        warn!(trust_domain = %domain, code, authority = %withheld.id, reason, "authority held");
    }
    for ignored in new.progress.ignored.iter().filter(|ignored| !old.progress.ignored.contains(ignored)) {
        let (code, index, reason) = (ignored.code.as_str(), ignored.index, ignored.detail.as_str());
        match ignored.alarm {
            true => error!(trust_domain = %domain, code, index, reason, "element ignored"),
            false => warn!(trust_domain = %domain, code, index, reason, "element ignored"),
        }
    }
}

fn accepted(domain: &TrustDomain, old: &Known, new: &Known, origin: Origin) {
    let (Some(bundle), Some(revision)) = (&new.bundle, new.revision) else { return };
    let none = Authorities::new();
    let diff = BundleDiff::between(old.accepted.authorities.as_ref().unwrap_or(&none), bundle.authorities());
    let names = |authorities: &[Authority]| {
        authorities.iter().map(|authority| authority.id().to_string()).collect::<Vec<_>>().join(" ")
    };
    info!(
        trust_domain = %domain, revision, sequence = bundle.sequence(), origin = origin.as_str(),
        added = names(&diff.added), removed = names(&diff.removed), "bundle accepted"
    );
}
