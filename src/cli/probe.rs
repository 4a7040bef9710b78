//! `comity probe`: a bundle endpoint, before there is a relationship with it.

mod view;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use rustls::time_provider::DefaultTimeProvider;
use serde::Serialize;

use crate::app::system_roots;
use crate::authorities::root_certificates::read_roots;
use crate::config::{load, process_environment};
use crate::federation::endpoint_client::{ClientLimits, EndpointClient};
use crate::federation::probe::{Probe, Probing};
use crate::federation::proxy::ProxyUrl;
use crate::federation::relationship::{EndpointUrl, FederationRelationship};

use super::block_on;
use super::bundle::lint::Report;
use super::client::ClientError;
use super::connection::now;
use super::error::CliError;
use super::output::{Format, Page};
use super::verify::bundles::BundleFile;

/// Look at a bundle endpoint before there is a relationship with it
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Arguments {
    /// The https URL of the bundle endpoint
    url: EndpointUrl,
    /// PEM certificates of the CAs that may vouch for its host, in place of the system's
    #[arg(long, value_name = "FILE")]
    root_certificates: Option<PathBuf>,
    /// The bundle of its trust domain, known by another way: SPIFFE JWKS or PEM
    #[arg(long, value_name = "TRUST_DOMAIN=FILE")]
    bundle: Option<BundleFile>,
    /// A configuration: what would its relationships with this URL make of the bundle?
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Connect even to a link-local address
    #[arg(long)]
    allow_link_local: bool,
    /// An HTTP proxy to reach it through, as http://HOST:PORT; never one of the environment
    #[arg(long, value_name = "URL")]
    proxy: Option<ProxyUrl>,
    /// How to write the answer
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

const HELP: &str = "Examples:
  comity probe https://bundle.bank-b.example/
  comity probe https://10.0.0.7:8443/ --bundle bank-b.example=bank-b.jwks.json
  comity probe https://bundle.bank-b.example/ --config /etc/comity/comity.toml

Nothing that is shown is trusted, and nothing is kept: compare fingerprints with what your partner tells you by
another way. Exits with 0 if a relationship is possible, with 1 if not, with 2 on wrong usage and with 64 if the
configuration is wrong.";

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match block_on(probe(arguments)) {
        Ok(probe) => match probe.is_usable() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        },
        Err(error) => error.report_beside_answers(),
    }
}

async fn probe(arguments: &Arguments) -> Result<Probe, CliError> {
    let relationships = relationships(arguments)?;
    let unusable = |file: &PathBuf, detail| CliError::UnusableFile { file: file.display().to_string(), detail };
    let roots = match &arguments.root_certificates {
        Some(file) => Some(Arc::new(read_roots(file).map_err(|detail| unusable(file, detail))?)),
        None => None,
    };
    let probing = Probing {
        url: arguments.url.clone(),
        roots,
        known: arguments.bundle.as_ref().map(BundleFile::read).transpose()?.map(Arc::new),
        allow_link_local: arguments.allow_link_local,
        proxy: arguments.proxy.clone(),
    };
    let client = EndpointClient::new(ClientLimits::default(), Arc::new(system_roots()), Arc::new(DefaultTimeProvider));
    let mut probe = probing.probe(&client).await;
    probe.judge(&client, &relationships, now()).await;
    let conformance = probe.document.as_ref().map(|bytes| Report::of(probe.seems_to_be.as_ref(), bytes, now()));
    let told = Told { probe: &probe, conformance };
    match arguments.output {
        Format::Text => view::page(&told, now(), arguments.config.is_some()).print()?,
        Format::Json => Page::json(&told)?.print()?,
    }
    Ok(probe)
}

/// All that a probe has to say.
#[derive(Serialize)]
struct Told<'p> {
    #[serde(flatten)]
    probe: &'p Probe,
    /// What other readers will make of the document.
    conformance: Option<Report>,
}

fn relationships(arguments: &Arguments) -> Result<Vec<Arc<FederationRelationship>>, CliError> {
    let Some(file) = &arguments.config else { return Ok(Vec::new()) };
    let config = load(Some(file), &process_environment(), &[]).map_err(ClientError::Config)?;
    Ok(config.relationships)
}
