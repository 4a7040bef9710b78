//! `[outputs]`: where accepted bundles are delivered to.

mod grpc;

use std::path::Path;

use crate::outputs::selection::Selection;
use crate::spiffe::trust_domain::TrustDomain;

use super::section::Section;

pub(crate) use self::grpc::GrpcConfig;

/// All outputs; none by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OutputsConfig {
    /// The socket at which workloads ask.
    pub(crate) grpc: Option<GrpcConfig>,
}

/// `taken` are the sockets of other listeners.
pub(super) fn outputs(section: &Section<'_>, taken: &[&Path]) -> OutputsConfig {
    OutputsConfig { grpc: grpc::grpc(&section.section("grpc"), taken) }
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
