//! `[outputs]`: where accepted bundles are delivered to.

mod object_storage;
mod spire;

use std::collections::HashMap;

use crate::export::object_storage::place::ObjectPlace;
use crate::export::spire_server::SpireOutput;
use crate::outputs::selection::Selection;
use crate::spiffe::trust_domain::TrustDomain;

use super::section::Section;

/// All outputs; none by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OutputsConfig {
    /// SPIRE servers.
    pub(crate) spire: Vec<SpireOutput>,
    /// Where our own bundle is put.
    pub(crate) object_storage: Vec<ObjectPlace>,
}

/// `store_url` decides where state is kept by default.
pub(super) fn outputs(
    section: &Section<'_>,
    store_url: Option<&str>,
    environment: &HashMap<String, String>,
) -> OutputsConfig {
    OutputsConfig {
        spire: spire::spire(section, store_url),
        object_storage: object_storage::object_storage(section, environment),
    }
}

/// The keys by which every output says what it shows.
pub(super) fn selection(section: &Section<'_>) -> Option<Selection> {
    let named = section.has("trust_domains");
    let trust_domains =
        section.list("trust_domains", "trust domains such as [\"bank-b.example\"]", str::parse::<TrustDomain>)?;
    if named && trust_domains.is_empty() {
        section.refuse("trust_domains", "is empty, so nothing would be shown; without this key all are");
        return None;
    }
    let trust_domains = named.then(|| trust_domains.into_iter().collect());
    Some(Selection { trust_domains, shared_authorities: section.boolean("shared_authorities").unwrap_or(false) })
}
