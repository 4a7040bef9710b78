//! `comity doctor`: what is wrong with our own service, or soon will be, and what to do.

mod checks;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use rustls::time_provider::DefaultTimeProvider;
use serde::Serialize;

use crate::app::system_roots;
use crate::authorities::root_certificates::read_roots;
use crate::config::{load, process_environment};
use crate::federation::endpoint_client::{ClientLimits, EndpointClient};
use crate::federation::relationship::EndpointUrl;

use super::advice::{advice, wrapped};
use super::block_on;
use super::client::{AdminClient, ClientError};
use super::connection::now;
use super::error::CliError;
use super::output::{Format, Page};

/// Look for what is wrong with our own service, or soon will be
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Arguments {
    /// The configuration of the service: TOML, YAML or JSON
    #[arg(long, value_name = "FILE", env = "COMITY_CONFIG")]
    config: PathBuf,
    /// A URL at which peers fetch our bundle; may be repeated. The configured addresses if none is given
    #[arg(long = "url", value_name = "URL")]
    urls: Vec<EndpointUrl>,
    /// PEM certificates of the CAs that vouch for the hosts of these URLs, in place of the system's
    #[arg(long, value_name = "FILE", requires = "urls")]
    root_certificates: Option<PathBuf>,
    /// How to write the answer
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

const HELP: &str = "Examples:
  comity doctor --config /etc/comity/comity.toml
  comity doctor --config /etc/comity/comity.toml --url https://bundle.bank-a.example/

Run it as the service's user, best from where a peer is. Exits with 0 if nothing has to be done, with 1 if something
has, with 2 on wrong usage and with 64 if the configuration is wrong.";

/// Something to know, or to do something about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    /// A part of the service, or a trust domain.
    about: String,
    /// A code of docs/problems.md; none if all is well.
    code: Option<String>,
    detail: String,
}

impl Finding {
    fn good(about: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { about: about.into(), code: None, detail: detail.into() }
    }

    fn bad(about: impl Into<String>, code: &str, detail: impl Into<String>) -> Self {
        Self { about: about.into(), code: Some(code.to_owned()), detail: detail.into() }
    }
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match block_on(examine(arguments)) {
        Ok(findings) if findings.iter().all(|finding| finding.code.is_none()) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => error.report_beside_answers(),
    }
}

async fn examine(arguments: &Arguments) -> Result<Vec<Finding>, CliError> {
    let config = load(Some(&arguments.config), &process_environment(), &[]).map_err(ClientError::Config)?;
    let unusable = |file: &PathBuf, detail| CliError::UnusableFile { file: file.display().to_string(), detail };
    let roots = arguments.root_certificates.as_ref();
    let roots = roots.map(|file| read_roots(file).map_err(|detail| unusable(file, detail))).transpose()?;
    let client = EndpointClient::new(ClientLimits::default(), Arc::new(system_roots()), Arc::new(DefaultTimeProvider));

    let mut findings = checks::files(&config, now());
    let admin = AdminClient::new(config.admin_socket.clone())?;
    let own = checks::service(&admin, &mut findings).await;
    let urls = match arguments.urls.is_empty() {
        true => config.endpoints.iter().filter_map(checks::local_url).collect(),
        false => arguments.urls.clone(),
    };
    for url in urls {
        let is_public = !arguments.urls.is_empty();
        findings.extend(checks::endpoint(&client, url, roots.clone().map(Arc::new), own.as_ref(), is_public).await);
    }
    match arguments.output {
        Format::Text => page(&findings).print()?,
        Format::Json => Page::json(&findings)?.print()?,
    }
    Ok(findings)
}

fn page(findings: &[Finding]) -> Page {
    let mut page = Page::default();
    for Finding { about, code, detail } in findings {
        match code {
            None => page.line(format!("ok    {about}: {detail}")),
            Some(code) => {
                page.line(format!("LOOK  {about}: {detail} [{code}]"));
                if let Some(advice) = advice(code) {
                    wrapped(advice, &mut page);
                }
                page.line("");
            }
        }
    }
    let count = findings.iter().filter(|finding| finding.code.is_some()).count();
    page.line(match count {
        0 => "nothing has to be done".to_owned(),
        1 => "1 thing to look at".to_owned(),
        count => format!("{count} things to look at"),
    });
    page
}
