//! Incremental SDS: each response has what changed.

use std::collections::{BTreeSet, HashMap};

use envoy_types::pb::envoy::service::discovery::v3 as discovery;

use super::dialogue::{Dialogue, Exchange, Heard, Refusal, WILDCARD, check};
use super::secrets::{Secrets, emptied, type_url};

/// A stream of `DeltaSecrets`.
#[derive(Default)]
pub(super) struct Delta {
    has_begun: bool,
    everything: bool,
    named: BTreeSet<String>,
    /// The version of each Secret that the client was sent, or said at first that it has. Envoy ignores the removal of a
    /// Secret, so these are never removed: at the end there is nobody in them (SDS-07).
    held: HashMap<String, String>,
    /// Names to answer for in any case.
    due: BTreeSet<String>,
    /// Whether the client waits for an answer, news or not.
    is_due: bool,
    /// Names that the client knows to be unknown.
    missing: BTreeSet<String>,
    exchange: Exchange,
}

impl Dialogue for Delta {
    type Request = discovery::DeltaDiscoveryRequest;
    type Response = discovery::DeltaDiscoveryResponse;

    fn hear(&mut self, request: Self::Request, _: &Secrets) -> Result<Heard, Refusal> {
        check(&request.type_url, request.resource_names_subscribe.len().max(request.initial_resource_versions.len()))?;
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        let heard = match is_first {
            true => Heard::Nothing,
            false => {
                self.exchange.answered(&request.response_nonce, request.error_detail.as_ref()).unwrap_or(Heard::Nothing)
            }
        };
        self.is_due |= is_first || !request.resource_names_subscribe.is_empty();
        if is_first {
            self.everything = request.resource_names_subscribe.is_empty();
            self.held = request.initial_resource_versions;
        }
        // What a request subscribes to and ends counts also where it answers an old response: it is said only once.
        request.resource_names_unsubscribe.iter().for_each(|name| self.unsubscribe(name));
        request.resource_names_subscribe.into_iter().for_each(|name| self.subscribe(name, is_first));
        check(&request.type_url, self.named.len())?;
        Ok(heard)
    }

    fn say(&mut self, secrets: &Secrets) -> Option<Self::Response> {
        let is_news = !std::mem::take(&mut self.is_due);
        let (mut resources, mut removed) = (Vec::new(), Vec::new());
        for name in self.wanted(secrets) {
            let is_held = self.held.contains_key(&name);
            let Some(found) = secrets.secret(&name).or_else(|| is_held.then(|| emptied(&name))) else {
                if self.missing.insert(name.clone()) {
                    removed.push(name);
                }
                continue;
            };
            self.missing.remove(&name);
            if self.due.contains(&name) || self.held.get(&name) != Some(&found.version) {
                self.held.insert(name.clone(), found.version.clone());
                let (version, secret) = (found.version.clone(), Some(found.secret.clone()));
                resources.push(discovery::Resource {
                    name,
                    version,
                    resource: secret,
                    ..discovery::Resource::default()
                });
            }
        }
        self.due.clear();
        if resources.is_empty() && removed.is_empty() {
            return None;
        }
        Some(discovery::DeltaDiscoveryResponse {
            system_version_info: secrets.view.generation.number.to_string(),
            resources,
            removed_resources: removed,
            type_url: type_url(),
            nonce: self.exchange.send(secrets.view.generation, is_news),
            ..discovery::DeltaDiscoveryResponse::default()
        })
    }

    fn exchange(&self) -> &Exchange {
        &self.exchange
    }
}

impl Delta {
    fn subscribe(&mut self, name: String, is_first: bool) {
        if name == WILDCARD {
            self.everything = true;
            return;
        }
        self.missing.remove(&name);
        // What is asked for again is sent again, except what the client said that it has.
        if !is_first {
            self.due.insert(name.clone());
        }
        self.named.insert(name);
    }

    fn unsubscribe(&mut self, name: &str) {
        if name == WILDCARD {
            self.everything = false;
            self.held.retain(|name, _| self.named.contains(name));
        }
        self.named.remove(name);
        self.due.remove(name);
        self.missing.remove(name);
        if !self.everything {
            self.held.remove(name);
        }
    }

    fn wanted(&self, secrets: &Secrets) -> BTreeSet<String> {
        let mut wanted = self.named.clone();
        if self.everything {
            wanted.extend(secrets.every().chain(self.held.keys().cloned()));
        }
        wanted
    }
}

#[cfg(test)]
mod tests;
