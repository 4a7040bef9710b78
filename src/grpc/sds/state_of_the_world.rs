//! SDS as state of the world: each response has all that is asked for.

use std::collections::BTreeSet;
use std::sync::Arc;

use envoy_types::pb::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};

use crate::spiffe::public_key::Fingerprint;

use super::dialogue::{Dialogue, Exchange, Heard, Refusal, WILDCARD, check};
use super::secrets::{Resource, Secrets, emptied, type_url};

/// A stream of `StreamSecrets`.
#[derive(Default)]
pub(super) struct StateOfTheWorld {
    /// `None` before the first request.
    wanted: Option<Wanted>,
    /// Names under which the client has a Secret of ours. It would keep one that is never replaced, so these stay, at
    /// the end with nobody in them.
    held: BTreeSet<String>,
    /// Whether the client waits for an answer, news or not.
    is_due: bool,
    version: String,
    exchange: Exchange,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    everything: bool,
    named: BTreeSet<String>,
}

impl Wanted {
    /// No names ask for everything, until some were given (SDS-02).
    fn new(mut named: BTreeSet<String>, before: Option<&Self>) -> Self {
        let names_nothing =
            named.is_empty() && before.is_none_or(|before| before.everything && before.named.is_empty());
        Self { everything: named.remove(WILDCARD) || names_nothing, named }
    }
}

impl Dialogue for StateOfTheWorld {
    type Request = DiscoveryRequest;
    type Response = DiscoveryResponse;

    fn hear(&mut self, request: DiscoveryRequest, secrets: &Secrets) -> Result<Heard, Refusal> {
        check(&request.type_url, request.resource_names.len())?;
        let heard = match self.wanted {
            None => Heard::Nothing,
            Some(_) => match self.exchange.answered(&request.response_nonce, request.error_detail.as_ref()) {
                Some(heard) => heard,
                None => return Ok(Heard::Nothing),
            },
        };
        let wanted = Wanted::new(request.resource_names.into_iter().collect(), self.wanted.as_ref());
        if self.wanted.is_none() && !request.version_info.is_empty() {
            self.held.clone_from(&wanted.named);
        }
        if self.wanted.as_ref() != Some(&wanted) {
            self.take(wanted, secrets)?;
        }
        Ok(heard)
    }

    fn say(&mut self, secrets: &Secrets) -> Option<DiscoveryResponse> {
        let resources = self.resources(secrets)?;
        let version = version(&resources);
        if !self.is_due && version == self.version {
            return None;
        }
        let is_news = !std::mem::take(&mut self.is_due);
        self.held.extend(resources.iter().map(|resource| resource.name.clone()));
        self.version.clone_from(&version);
        Some(DiscoveryResponse {
            version_info: version,
            resources: resources.iter().map(|resource| resource.secret.clone()).collect(),
            type_url: type_url(),
            nonce: self.exchange.send(secrets.view.generation, is_news),
            ..DiscoveryResponse::default()
        })
    }

    fn exchange(&self) -> &Exchange {
        &self.exchange
    }
}

impl StateOfTheWorld {
    fn take(&mut self, wanted: Wanted, secrets: &Secrets) -> Result<(), Refusal> {
        let is_unknown = |name: &&String| !self.held.contains(*name) && secrets.secret(name).is_none();
        if let Some(name) = wanted.named.iter().find(is_unknown) {
            return Err(Refusal::unknown(name));
        }
        if !wanted.everything {
            self.held.retain(|name| wanted.named.contains(name));
        }
        (self.wanted, self.is_due) = (Some(wanted), true);
        Ok(())
    }

    /// All that is wanted; `None` if nothing is.
    fn resources(&self, secrets: &Secrets) -> Option<Vec<Arc<Resource>>> {
        let wanted = self.wanted.as_ref().filter(|wanted| wanted.everything || !wanted.named.is_empty())?;
        let mut names = wanted.named.clone();
        if wanted.everything {
            names.extend(secrets.every().chain(self.held.iter().cloned()));
        }
        Some(names.iter().map(|name| secrets.secret(name).unwrap_or_else(|| emptied(name))).collect())
    }
}

/// One of all resources together, names included: equal only if all is equal.
fn version(resources: &[Arc<Resource>]) -> String {
    let all: Vec<_> = resources.iter().map(|resource| resource.version.as_str()).collect();
    Fingerprint::of(all.concat().as_bytes()).to_string()
}

#[cfg(test)]
mod tests;
