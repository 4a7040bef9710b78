//! What a configured relationship would make of a bundle as its first one.

use std::sync::Arc;

use super::fetch;
use super::report::{Probe, Problem, RelationshipOutcome};
use crate::federation::acceptance::{self, Accepted};
use crate::federation::endpoint_client::{EndpointClient, FetchError, FetchRecord, PinnedAuthority};
use crate::federation::offered::{Offered, Second};
use crate::federation::ownership::KeyOwners;
use crate::federation::parameters::Parameters;
use crate::federation::relationship::{EndpointUrl, FederationRelationship};
use crate::federation::timestamp::Timestamp;
use crate::spiffe::document::BundleDocument;
use crate::verify::snapshot::DomainTrust;

impl Probe {
    /// Adds what those of `relationships` that have this URL would make of the document as their first one. A running
    /// service also looks at what it has accepted before, and at keys of domains that it has polled.
    pub(crate) async fn judge(
        &mut self,
        client: &EndpointClient,
        relationships: &[Arc<FederationRelationship>],
        now: Timestamp,
    ) {
        let mut owners = KeyOwners::default();
        for relationship in relationships {
            if let Some(bundle) = relationship.bootstrap_bundle() {
                owners.set_foreign(
                    &relationship.trust_domain,
                    bundle.authorities().iter().map(|authority| (authority, now)),
                );
            }
        }
        for relationship in relationships {
            if let Some(url) = relationship.endpoint.urls().find(|url| url.to_string() == self.url) {
                let rehearsal = Rehearsal { client, relationships, relationship, owners: &owners, now };
                let outcome =
                    rehearsal.of(url).await.unwrap_or_else(|problem| rehearsal.ended("failed", 0, vec![problem]));
                self.relationships.push(outcome);
            }
        }
    }
}

struct Rehearsal<'a> {
    client: &'a EndpointClient,
    relationships: &'a [Arc<FederationRelationship>],
    relationship: &'a FederationRelationship,
    owners: &'a KeyOwners,
    now: Timestamp,
}

/// What another URL serves, and where its route meets the first one's.
struct Other {
    url: String,
    document: BundleDocument,
    meets: Option<String>,
}

impl Rehearsal<'_> {
    /// The error is that nothing could be fetched.
    async fn of(&self, url: &EndpointUrl) -> Result<RelationshipOutcome, Problem> {
        let FederationRelationship { trust_domain, .. } = self.relationship;
        let (record, bytes) = self.fetch(url).await.map_err(|error| Problem::of_fetch(&error))?;
        let document = match BundleDocument::parse(trust_domain, &bytes) {
            Ok(document) => document,
            Err(error) => return Ok(self.ended("refused", 0, vec![Problem::new(error.code(), &error)])),
        };
        let others = if self.relationship.two_routes { self.others(url, &record).await } else { Vec::new() };
        let apart = others.iter().find(|other| other.meets.is_none());
        let second = match apart.or_else(|| others.first()) {
            Some(Other { url, meets: Some(place), .. }) => Second::Meets(url, place),
            Some(Other { url, document, .. }) => Second::Serves(url, document.bundle()),
            None if self.relationship.two_routes => Second::Missing("no other URL brings a bundle"),
            None => Second::NotNeeded,
        };
        Ok(self.judged(&Offered { second, ..Offered::alone(&document, &url.to_string()) }))
    }

    /// As its first poll would.
    async fn fetch(&self, url: &EndpointUrl) -> Result<(FetchRecord, Vec<u8>), FetchError> {
        let FederationRelationship { endpoint, policy, .. } = self.relationship;
        let host = self.relationship.via().unwrap_or(&self.relationship.trust_domain);
        let host = self.relationships.iter().find(|one| one.trust_domain == *host);
        let trust = host.and_then(|host| {
            Some(DomainTrust::new(host.bootstrap_bundle()?.clone(), 0).with_policy(host.policy.clone()))
        });
        let authentication = match self.relationship.pinned_authority() {
            Some(pin) => self.client.find(endpoint, url, &PinnedAuthority { pin, policy: policy.clone() }).await.1?,
            None => self.client.authentication(&endpoint.profile, trust.as_ref())?,
        };
        let (record, fetched) = fetch(self.client, endpoint, url, authentication).await;
        Ok((record, fetched?.0))
    }

    fn judged(&self, offered: &Offered<'_>) -> RelationshipOutcome {
        let FederationRelationship { endpoint, .. } = self.relationship;
        let accepted = Accepted {
            authorities: self.relationship.bootstrap_bundle().map(|bundle| bundle.authorities().clone()),
            came_by: Parameters::of(endpoint),
            configured: Parameters::of(endpoint),
            ..Accepted::default()
        };
        match acceptance::judge(self.relationship, &accepted, offered, self.owners, self.now) {
            Err(refusal) => self.ended("refused", 0, vec![Problem::new(refusal.code(), &refusal)]),
            Ok(judgement) => {
                let withheld = judgement.withheld.iter().map(|reused| Problem::new(reused.code(), reused));
                let hold = judgement.hold.iter().map(|hold| Problem::new(hold.code(), hold));
                let trusted = judgement.accept.or(accepted.authorities).map_or(0, |trusted| trusted.iter().count());
                let how = if judgement.hold.is_some() { "held" } else { "accepted" };
                self.ended(how, trusted, hold.chain(withheld).collect())
            }
        }
    }

    /// Other URLs that bring a bundle, up to the first by a route of its own.
    async fn others(&self, first: &EndpointUrl, record: &FetchRecord) -> Vec<Other> {
        let FederationRelationship { trust_domain, endpoint, .. } = self.relationship;
        let mut others = Vec::new();
        for url in endpoint.urls().filter(|url| *url != first) {
            let Ok((theirs, bytes)) = self.fetch(url).await else { continue };
            let Ok(document) = BundleDocument::parse(trust_domain, &bytes) else { continue };
            let meets = theirs.meets(record);
            let is_apart = meets.is_none();
            others.push(Other { url: url.to_string(), document, meets });
            if is_apart {
                break;
            }
        }
        others
    }

    fn ended(&self, outcome: &'static str, trusted: usize, problems: Vec<Problem>) -> RelationshipOutcome {
        let FederationRelationship { trust_domain, endpoint, .. } = self.relationship;
        let (trust_domain, profile) = (trust_domain.clone(), endpoint.profile.as_str());
        RelationshipOutcome { trust_domain, profile, outcome, trusted, problems }
    }
}
