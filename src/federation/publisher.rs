//! Our own bundle, from its authorities to the endpoint.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use rustls::pki_types::CertificateDer;
use tokio::sync::watch;
use tracing::info;

use crate::spiffe::authority::AuthorityId;
use crate::spiffe::bundle::{Authorities, Bundle, BundleDiff};
use crate::spiffe::document::render::WitAuthorities;
use crate::spiffe::document::render::render;
use crate::spiffe::trust_domain::TrustDomain;
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::records::OwnBundle;
use crate::verify::x509::{Usage, verify_x509};

use super::clock::Clock;
use super::poller::Shared;
use super::published_bundle::PublishedBundle;
use super::status::Warning;
use super::timestamp::Timestamp;
use super::trust_feed::TrustFeed;

/// Turns our authorities into the published bundle; the sequence rises exactly when contents change.
pub(crate) struct Publisher {
    trust_domain: TrustDomain,
    refresh_hint: Duration,
    store: Arc<dyn Store>,
    clock: Arc<Clock>,
    feed: Arc<TrustFeed>,
    own: ArcSwapOption<OwnKeys>,
    published: watch::Sender<Option<Arc<PublishedBundle>>>,
}

/// What we publish, and since when each key has been public.
#[derive(Clone, Debug)]
pub(crate) struct OwnKeys {
    pub(crate) bundle: Arc<Bundle>,
    pub(crate) since: BTreeMap<AuthorityId, Timestamp>,
}

impl Publisher {
    pub(crate) fn new(trust_domain: &TrustDomain, refresh_hint: Duration, shared: &Shared) -> Self {
        Self {
            trust_domain: trust_domain.clone(),
            refresh_hint,
            store: shared.store.clone(),
            clock: shared.clock.clone(),
            feed: shared.feed.clone(),
            own: ArcSwapOption::empty(),
            published: watch::Sender::new(None),
        }
    }

    /// What the endpoints serve; `None` while there is no bundle.
    pub(crate) fn published(&self) -> watch::Receiver<Option<Arc<PublishedBundle>>> {
        self.published.subscribe()
    }

    pub(crate) fn own(&self) -> Option<Arc<OwnKeys>> {
        self.own.load_full()
    }

    /// Says so if the chain that an `https_spiffe` endpoint shows does not lead to our own authorities:
    /// then no peer can authenticate it (FES-08).
    pub(crate) fn foreign_svid(&self, chain: &[CertificateDer<'_>]) -> Option<Warning> {
        let own = self.own()?;
        let (leaf, intermediates) = chain.split_first()?;
        let intermediates: Vec<&[u8]> = intermediates.iter().map(AsRef::as_ref).collect();
        let error = verify_x509(&own.bundle, leaf, &intermediates, Usage::Server, self.clock.now().into()).err()?;
        Some(Warning {
            code: "endpoint-svid-untrusted".into(),
            detail: format!("the endpoint's SVID does not verify under our own bundle: {error}"),
        })
    }

    /// Serves what the store has, before anything else is looked at.
    pub(crate) fn restore(&self, own: OwnBundle) {
        let since = serde_json::from_str(&own.progress).unwrap_or_default();
        self.serve(own.bundle, since);
    }

    /// Publishes these authorities; false if they are public already, under the same refresh hint.
    ///
    /// The number is the stored one plus 1, or the time if that is more: so a lost store doesn't lock our
    /// peers out.
    ///
    /// # Errors
    /// The store did not take the new number: then nothing changes at the endpoint.
    pub(crate) async fn publish(&self, authorities: Authorities) -> Result<bool, StoreError> {
        let current = self.own();
        let (old, old_since) = match &current {
            Some(current) => (Some(&current.bundle), current.since.clone()),
            None => (None, BTreeMap::new()),
        };
        let unchanged =
            |old: &Arc<Bundle>| *old.authorities() == authorities && old.refresh_hint() == Some(self.refresh_hint);
        if old.is_some_and(unchanged) {
            return Ok(false);
        }
        let now = self.clock.now();
        let after = old.and_then(|old| old.sequence()).map_or(1, |stored| stored.saturating_add(1));
        let sequence = after.max(now.as_secs());
        let since = authorities.ids().map(|id| (id.clone(), *old_since.get(id).unwrap_or(&now))).collect();
        let bundle = Bundle::new(self.trust_domain.clone(), authorities, Some(sequence), Some(self.refresh_hint));
        let progress = serde_json::to_string(&since).expect("identities and times always serialise");
        self.store.put_own(&bundle, &progress).await?;
        let diff = BundleDiff::between(old.map_or(&Authorities::new(), |old| old.authorities()), bundle.authorities());
        info!(sequence, added = diff.added.len(), removed = diff.removed.len(), "own bundle published");
        self.serve(bundle, since);
        Ok(true)
    }

    fn serve(&self, bundle: Bundle, since: BTreeMap<AuthorityId, Timestamp>) {
        let published =
            PublishedBundle::new(render(&bundle, WitAuthorities::Omit)).expect("writing to memory does not fail");
        let bundle = Arc::new(bundle);
        self.feed.set_own(bundle.clone());
        self.own.store(Some(Arc::new(OwnKeys { bundle, since })));
        self.published.send_replace(Some(Arc::new(published)));
    }
}
