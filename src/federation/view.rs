//! What a relationship looks like from outside.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::spiffe::authority::SvidType;
use crate::spiffe::bundle::{Authorities, Bundle, BundleDiff};
use crate::spiffe::trust_domain::TrustDomain;
use crate::store::records::HeldDocument;

use super::acceptance::Accepted;
use super::parameters::Standing;
use super::poller::Progressed;
use super::pollers::Handles;
use super::relationship::{EndpointProfile, FederationRelationship};
use super::status::{HeldStatus, RelationshipState, RelationshipStatus, UrlStatus, Warning};
use super::timestamp::Timestamp;
use super::warnings;

/// Everything an operator asks about a relationship at this moment. `trusted` is what verifiers see of it.
pub(crate) fn status(
    relationship: &FederationRelationship,
    seen: &Progressed,
    trusted: Option<&Bundle>,
    now: Timestamp,
) -> RelationshipStatus {
    let (known, progress) = (&seen.known, &seen.known.progress);
    let (state, since) = known.state(relationship, now);
    let authorities = trusted.map(Bundle::authorities);
    let count = |svid_type| authorities.map_or(0, |authorities| authorities.count(svid_type));
    let endpoint_spiffe_id = match &relationship.endpoint.profile {
        EndpointProfile::HttpsSpiffe { endpoint_id } => Some(endpoint_id.to_string()),
        EndpointProfile::HttpsWeb { .. } => None,
    };
    let interval = relationship.poll.interval(progress.refresh_hint.map(Duration::from_secs));
    let of_peer = authorities.map(|authorities| warnings::of_peer(authorities, interval, now)).unwrap_or_default();
    let next_poll = seen.next_poll.filter(|_| state != RelationshipState::Expired);
    let of_routes = warnings::of_routes(&known.accepted, progress);
    let warnings = warnings::of_policy(&relationship.policy).into_iter().chain(of_routes).chain(of_peer).collect();
    RelationshipStatus {
        trust_domain: relationship.trust_domain.clone(),
        endpoint_url: relationship.endpoint.url.to_string(),
        urls: relationship.endpoint.urls().map(|url| url_status(url.to_string(), &known.accepted)).collect(),
        served_by: known.accepted.memory.routes.served_by.clone(),
        profile: relationship.endpoint.profile.as_str().to_owned(),
        endpoint_spiffe_id,
        via: relationship.via().cloned().into_iter().collect(),
        change_control: relationship.change_control,
        maximum_staleness_seconds: relationship.maximum_staleness.map(|age| age.as_secs()),
        state,
        since,
        age_seconds: progress.confirmed.map(|confirmed| now.since(confirmed).as_secs()),
        sequence: known.accepted.memory.sequence,
        revision: known.revision,
        digest: seen.digest,
        refresh_hint_seconds: progress.refresh_hint,
        last_success: progress.last_success,
        last_attempt: progress.last_attempt,
        last_error: progress.last_error.clone(),
        consecutive_failures: progress.failures,
        next_poll: next_poll.map(|(at, _)| at),
        next_poll_reason: next_poll.map(|(_, reason)| reason.to_owned()),
        soonest_authority_expiry: authorities.and_then(|authorities| soonest_expiry(authorities, now)),
        x509_authorities: authorities.map_or(0, |authorities| usable_x509(authorities, now)),
        jwt_authorities: count(SvidType::JwtSvid),
        held: known.held.iter().map(|held| held_status(held, authorities)).collect(),
        withheld: progress.withheld.clone(),
        ignored: progress.ignored.clone(),
        warnings,
    }
}

/// Warnings for whose keys others publish too, by owner: the alarm is due on both relationships (BND-20).
pub(crate) fn claims(handles: &Handles) -> BTreeMap<TrustDomain, Vec<Warning>> {
    let mut claims: BTreeMap<_, Vec<_>> = BTreeMap::new();
    handles.each(|handle| {
        for withheld in &handle.seen.load().known.progress.withheld {
            let domain = &handle.relationship.trust_domain;
            let detail = format!("{domain} publishes a key of this domain as {}", withheld.id);
            claims
                .entry(withheld.owner.clone())
                .or_default()
                .push(Warning { code: "authority-claimed".into(), detail });
        }
    });
    claims
}

fn url_status(url: String, accepted: &Accepted) -> UrlStatus {
    let route = accepted.memory.routes.get(&url).cloned().unwrap_or_default();
    UrlStatus {
        known: accepted.standing(&url) == Standing::Known,
        sequence: route.latest.and_then(|latest| latest.sequence),
        last_asked: route.asked,
        last_error: route.error,
        url,
    }
}

fn held_status(held: &HeldDocument, accepted: Option<&Authorities>) -> HeldStatus {
    let diff = BundleDiff::between(accepted.unwrap_or(&Authorities::new()), held.bundle.authorities());
    HeldStatus {
        digest: held.digest,
        code: held.code.clone(),
        detail: held.detail.clone(),
        sequence: held.bundle.sequence(),
        first_seen: Timestamp::from_secs(held.first_seen),
        last_seen: Timestamp::from_secs(held.last_seen),
        added: diff.added.iter().map(Into::into).collect(),
        removed: diff.removed.iter().map(Into::into).collect(),
    }
}

/// The first future end of a CA certificate's validity.
fn soonest_expiry(authorities: &Authorities, now: Timestamp) -> Option<Timestamp> {
    let ends = authorities.x509().filter_map(|ca| u64::try_from(ca.not_after()).ok()).map(Timestamp::from_secs);
    ends.filter(|end| *end > now).min()
}

/// CA certificates within their validity.
fn usable_x509(authorities: &Authorities, now: Timestamp) -> usize {
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    authorities.x509().filter(|ca| ca.not_before() <= now && now <= ca.not_after()).count()
}
