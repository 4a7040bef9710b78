//! `[outputs]`: where accepted bundles are delivered to.

mod files;
mod grpc;
mod http;
mod object_storage;
mod oidc;
mod spire;

use std::collections::HashMap;
use std::path::Path;

use crate::export::files::FilesOutput;
use crate::export::object_storage::place::ObjectPlace;
use crate::export::spire_server::SpireOutput;
use crate::http::oidc::OidcIssuer;
use crate::outputs::selection::Selection;
use crate::spiffe::trust_domain::TrustDomain;

use super::EndpointConfig;
use super::section::Section;

pub(crate) use self::grpc::GrpcConfig;
pub(crate) use self::http::HttpOutputConfig;

/// All outputs; none by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OutputsConfig {
    /// Folders of files.
    pub(crate) files: Vec<FilesOutput>,
    /// The socket at which workloads ask.
    pub(crate) grpc: Option<GrpcConfig>,
    /// SPIRE servers.
    pub(crate) spire: Vec<SpireOutput>,
    /// Where our own bundle is put.
    pub(crate) object_storage: Vec<ObjectPlace>,
    /// A listener inside the domain.
    pub(crate) http: Option<HttpOutputConfig>,
    /// Our keys for clouds, on the listener of `https_web`.
    pub(crate) oidc: Option<OidcIssuer>,
}

impl OutputsConfig {
    /// Each output in a line, for people.
    pub(super) fn described(&self) -> Vec<String> {
        let files = self.files.iter().map(|it| format!("files in {} of {}", it.folder.display(), shown(&it.selection)));
        let grpc = self.grpc.iter().map(GrpcConfig::described);
        let spire = self.spire.iter().map(spire::described);
        let objects = self.object_storage.iter().map(|place| format!("own bundle to {}", place.url));
        let http = self.http.iter().map(HttpOutputConfig::described);
        let oidc = self.oidc.iter().map(|issuer| format!("our JWT authorities as {}", issuer.as_str()));
        files.chain(grpc).chain(http).chain(spire).chain(oidc).chain(objects).collect()
    }
}

/// `endpoints` are those of ours, `taken` the sockets of other listeners; `store_url` decides where state is kept by default.
pub(super) fn outputs(
    section: &Section<'_>,
    endpoints: &[EndpointConfig],
    taken: &[&Path],
    store_url: Option<&str>,
    environment: &HashMap<String, String>,
) -> OutputsConfig {
    OutputsConfig {
        files: files::files(section),
        grpc: grpc::grpc(&section.section("grpc"), taken),
        spire: spire::spire(section, store_url),
        object_storage: object_storage::object_storage(section, environment),
        http: http::output(&section.section("http")),
        oidc: oidc::issuer(&section.section("oidc"), endpoints),
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

fn shown(selection: &Selection) -> String {
    let names = selection.trust_domains.iter().flatten().map(ToString::to_string).collect::<Vec<_>>();
    let which = if names.is_empty() { "all trust domains".to_owned() } else { names.join(", ") };
    if selection.shared_authorities { format!("{which} with shared authorities") } else { which }
}
