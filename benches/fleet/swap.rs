//! What it takes to put a changed bundle in force among those of all domains.

use std::sync::Arc;
use std::time::{Duration, Instant};

use comity::{Authority, Bundle, DomainTrust, TrustSnapshot, X509Authority};

use super::domain::Domain;

/// The median of a hundred swaps.
pub(crate) fn median(domains: &[Domain]) -> Duration {
    let trust = |domain: &Domain, revision| {
        let authority = Authority::X509(X509Authority::from_der(domain.ca()).expect("a CA"));
        let name = domain.name.parse().expect("a valid name");
        let bundle = Bundle::new(name, [authority].into_iter().collect(), Some(revision), None);
        DomainTrust::new(Arc::new(bundle), revision)
    };
    let mut snapshot = TrustSnapshot::new(1, domains.iter().map(|domain| trust(domain, 1)));
    let mut times: Vec<Duration> = (2..102)
        .map(|revision| {
            let changed = trust(&domains[domains.len() / 2], revision);
            let name = changed.bundle().trust_domain().clone();
            let began = Instant::now();
            snapshot = snapshot.updated(revision, [(name, Some(changed))]);
            began.elapsed()
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}
