//! `[outputs.grpc]`: the socket at which workloads ask for bundles.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::config::check::socket_path;
use crate::config::section::Section;
use crate::config::users::number;
use crate::grpc::access::{AccessRule, AccessRules};
use crate::grpc::sds::secrets::SecretNames;
use crate::spiffe::trust_domain::TrustDomain;

/// The gRPC listener and its services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GrpcConfig {
    /// A Unix socket, mode 0666.
    pub(crate) socket: PathBuf,
    /// Whether the Workload API is served.
    pub(crate) workload_api: bool,
    /// What Secrets are called, if Envoy's SDS is served.
    pub(crate) sds: Option<SecretNames>,
    /// Who may see what; counts without a restart.
    pub(crate) rules: AccessRules,
}

impl GrpcConfig {
    /// In a line, for people.
    pub(super) fn described(&self) -> String {
        let services = [(self.workload_api, "Workload API"), (self.sds.is_some(), "SDS")];
        let services: Vec<_> = services.into_iter().filter_map(|(is_on, name)| is_on.then_some(name)).collect();
        let place = format!("{} at {}", services.join(" and "), self.socket.display());
        match self.rules.allow.len() {
            0 => format!("{place}, for nobody: allow is empty"),
            rules => format!("{place}, for whom one of {rules} rules fits"),
        }
    }
}

/// Reads the section; `None` if it is off or wrong. `taken` are the sockets of other listeners.
pub(super) fn grpc(section: &Section<'_>, taken: &[&Path]) -> Option<GrpcConfig> {
    if !section.is_configured() {
        return None;
    }
    section.required("socket", "the path of a Unix socket such as \"/run/comity/workload.sock\"");
    let socket = socket_path(section);
    if socket.as_deref().is_some_and(|socket| taken.contains(&socket)) {
        section.refuse("socket", "is the socket of another listener; each has its own");
    }
    let workload_api = section.boolean("workload_api");
    let sds = section.boolean("sds");
    if (workload_api, sds) == (Some(false), Some(false)) {
        section.refuse("workload_api", "is false as sds is, so the socket would have nothing to serve");
    }
    let names = secret_names(section);
    let allow: Vec<_> = section.sections("allow").iter().map(rule).collect();
    let shared_authorities = section.boolean("shared_authorities");
    let rules =
        AccessRules { allow: allow.into_iter().collect::<Option<_>>()?, shared_authorities: shared_authorities? };
    let sds = if sds? { Some(names?) } else { None };
    Some(GrpcConfig { socket: socket?, workload_api: workload_api?, sds, rules })
}

fn secret_names(section: &Section<'_>) -> Option<SecretNames> {
    let name = |key| section.parsed(key, secret_name);
    let (all, own) = (name("sds_all"), name("sds_own"));
    if all.is_some() && all == own {
        section.refuse("sds_own", "is the name of sds_all too; each Secret has its own");
        return None;
    }
    Some(SecretNames { all: all?, own: own? })
}

fn secret_name(name: &str) -> Result<String, &'static str> {
    match name {
        "" => Err("a Secret needs a name, such as \"ALL\""),
        "*" => Err("stands for all Secrets in SDS; take another name, such as \"ALL\""),
        _ if name.starts_with("spiffe://") => {
            Err("is for the Secret of that trust domain; take a name without spiffe://")
        }
        _ if name.len() > SECRET_NAME_BYTES => Err("is longer than 255 bytes"),
        _ => Ok(name.to_owned()),
    }
}

fn rule(section: &Section<'_>) -> Option<AccessRule> {
    if !section.has("uid") && !section.has("gid") {
        section.refuse("uid", "required: the number of a user, or gid for that of a group");
        return None;
    }
    let trust_domains =
        section.list("trust_domains", "trust domains such as [\"bank-b.example\"]", str::parse::<TrustDomain>);
    let trust_domains = section.has("trust_domains").then(|| trust_domains.map(BTreeSet::from_iter));
    Some(AccessRule {
        uid: number(section, "uid")?,
        gid: number(section, "gid")?,
        trust_domains: trust_domains.map_or(Some(None), |named| named.map(Some))?,
    })
}

const SECRET_NAME_BYTES: usize = 255;
