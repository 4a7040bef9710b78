//! Trouble that can be seen coming.

use std::time::Duration;

use crate::spiffe::authority::{AuthorityId, X509Authority};
use crate::spiffe::bundle::Authorities;
use crate::verify::policy::Policy;

use super::acceptance::Accepted;
use super::known::Progress;
use super::outcome::PollError;
use super::parameters::Standing;
use super::publisher::{OwnKeys, OwnProgress};
use super::routes::{Disagreement, OneRoute};
use super::status::Warning;
use super::timestamp::Timestamp;

/// What stands as long as a relationship is configured so.
pub(crate) fn of_policy(policy: &Policy) -> Option<Warning> {
    (policy.shared_unscoped && !policy.shared_keys.is_empty()).then(|| Warning {
        code: "shared-unscoped".into(),
        detail: "paths over the keys of shared_authorities need no name constraints: whoever has a CA under one of \
                 them can issue identities of this domain"
            .into(),
    })
}

/// What several URLs of one relationship say about each other.
pub(crate) fn of_routes(accepted: &Accepted, progress: &Progress) -> Vec<Warning> {
    let (urls, routes) = (accepted.configured.urls(), &accepted.memory.routes);
    if urls.len() < 2 {
        return Vec::new();
    }
    let disagree = routes.disagreements().into_iter().map(|Disagreement { sequence, urls: [one, two] }| Warning {
        code: "endpoints-disagree".into(),
        detail: format!("{one} and {two} have other keys under the same sequence, {sequence}"),
    });
    let one_route = routes.one_route.iter().map(|OneRoute { urls: [one, two], place }| Warning {
        code: "one-route".into(),
        detail: format!("{one} and {two} both lead through {place}, so they are one route and vouch for no new key"),
    });
    let of_url = |url: &String| {
        let route = routes.get(url).filter(|route| route.asked >= progress.last_attempt)?;
        // Where all fail, that is the relationship's own trouble.
        let failure = route.error.as_ref().filter(|_| progress.failures == 0);
        let lags = failure.is_some_and(|error| error.code == PollError::Behind { accepted: 0, offered: 0 }.code());
        match failure {
            // A copy that lags does no harm; but if the first URL does, another one leads, which may be in wrong hands.
            Some(error) if lags => (urls.first() == Some(url)).then(|| Warning {
                code: "endpoint-behind".into(),
                detail: format!("{url} is asked first, and another one leads: {}", error.detail),
            }),
            Some(error) => Some(Warning {
                code: "endpoint-failing".into(),
                detail: format!("{url} does not answer, so another one was asked: {} [{}]", error.detail, error.code),
            }),
            None => (accepted.standing(url) == Standing::Added).then(|| Warning {
                code: "endpoint-new".into(),
                detail: format!("{url} has not served the accepted contents yet: what else it brings is held"),
            }),
        }
    };
    disagree.chain(one_route).chain(urls.iter().filter_map(of_url)).collect()
}

/// What a peer's accepted authorities announce. `interval` is the one at which we poll it.
pub(crate) fn of_peer(authorities: &Authorities, interval: Duration, now: Timestamp) -> Vec<Warning> {
    let living: Vec<_> = authorities.x509().filter(|ca| end(ca) > now).collect();
    let shortest = living.iter().min_by_key(|ca| lifetime(ca)).filter(|ca| lifetime(ca) < interval * NOTICE);
    let short = shortest.map(|ca| Warning {
        code: "authority-lifetime-short".into(),
        detail: format!(
            "authority {} lives {}, less than three polls: its successor may come too late",
            ca.fingerprint(),
            humantime::format_duration(lifetime(ca))
        ),
    });
    let soonest = living.iter().min_by_key(|ca| ca.not_after());
    let soonest = soonest.filter(|ca| !living.iter().any(|other| other.not_after() > ca.not_after()));
    let lonely =
        soonest.filter(|ca| left(ca, now) < (lifetime(ca) / 6).min(WEEK).max(interval * NOTICE)).map(|ca| Warning {
            code: "no-successor".into(),
            detail: format!(
                "authority {} expires at {} and no longer-lived one is published",
                ca.fingerprint(),
                end(ca)
            ),
        });
    short.into_iter().chain(lonely).collect()
}

/// Own keys that peers may not have seen yet (FES-11); the first ones ever have nobody to surprise.
pub(crate) fn of_own(own: &OwnKeys, now: Timestamp) -> Vec<Warning> {
    let hint = own.bundle.refresh_hint().unwrap_or_default();
    let OwnProgress { begun, since } = &own.progress;
    let young = since.iter().filter(|(_, at)| *at != begun && now.since(**at) < hint * NOTICE);
    let warning = |(id, at): (&AuthorityId, &Timestamp)| Warning {
        code: "own-key-new".into(),
        detail: format!("{id} is public since {at}; sign nothing with it before {}", at.after(hint * NOTICE)),
    };
    young.map(warning).collect()
}

fn end(ca: &X509Authority) -> Timestamp {
    Timestamp::from_signed(ca.not_after())
}

fn left(ca: &X509Authority, now: Timestamp) -> Duration {
    end(ca).since(now)
}

fn lifetime(ca: &X509Authority) -> Duration {
    end(ca).since(Timestamp::from_signed(ca.not_before()))
}

/// Polls that a key should be public for before it is used (Federation §4.1).
pub(crate) const NOTICE: u32 = 3;
const WEEK: Duration = Duration::from_secs(7 * 86_400);

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "helpers are test code outside of test functions")]
mod tests;
