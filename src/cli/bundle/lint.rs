//! `comity bundle lint`: what readers will make of a bundle document before they meet it.

mod authorities;
mod document;
mod elements;
mod finding;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod members;
mod oddity;
mod refusals;

use std::process::ExitCode;

use serde::Serialize;

use crate::cli::connection::now;
use crate::cli::error::CliError;
use crate::cli::output::{Format, Page};
use crate::cli::relationship_view::counted;
use crate::cli::verify::input::Source;
use crate::federation::probe::named_by;
use crate::federation::timestamp::Timestamp;
use crate::spiffe::authority::Authority;
use crate::spiffe::document::BundleDocument;
use crate::spiffe::document::decode::authority;
use crate::spiffe::document::ignored::IgnoreReason;
use crate::spiffe::json::Json;
use crate::spiffe::trust_domain::TrustDomain;

use self::finding::{Finding, Place, Severity};
use self::oddity::Oddity;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The bundle document, as SPIFFE JWKS; - is standard input
    #[arg(value_name = "FILE")]
    file: Source,
    /// Whose bundle it is; if not given, whose its CA certificates say it is
    #[arg(long, value_name = "NAME", visible_alias = "id", alias = "trustDomain")]
    trust_domain: Option<TrustDomain>,
}

/// Exits with 1 if there is an error among the findings; whatever kept us from any is 2, as wrong usage is.
pub(super) fn run(arguments: &Arguments, output: Format) -> ExitCode {
    match lint(arguments, output) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            error.say();
            ExitCode::from(NOT_READ)
        }
    }
}

const NOT_READ: u8 = 2;

/// Tells the findings; the number of errors among them.
fn lint(arguments: &Arguments, output: Format) -> Result<usize, CliError> {
    let bytes = arguments.file.read_whole(MOST_READ)?;
    let report = Report::of(arguments.trust_domain.as_ref(), &bytes, now());
    match output {
        Format::Json => Page::json(&report)?.print()?,
        Format::Text => report.page(&arguments.file.to_string()).print()?,
    }
    Ok(report.errors)
}

/// Bytes of a file. More than a document may have, so that its size is a finding.
const MOST_READ: usize = 4 * BundleDocument::MAX_BYTES;

/// All findings about one document, the worst first.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct Report {
    /// As named, or as its CA certificates say.
    trust_domain: Option<TrustDomain>,
    errors: usize,
    warnings: usize,
    notes: usize,
    findings: Vec<Finding>,
}

impl Report {
    pub(in crate::cli) fn of(trust_domain: Option<&TrustDomain>, bytes: &[u8], now: Timestamp) -> Self {
        // A document never names its domain, and reading it depends on none.
        let named = trust_domain.cloned().unwrap_or_else(nobody);
        let read = BundleDocument::parse(&named, bytes).and_then(|read| Ok((read, Json::parse(bytes)?)));
        let (trust_domain, mut findings) = match read {
            Err(error) => (trust_domain.cloned(), vec![refusals::refused(&error)]),
            Ok((document, json)) => {
                let owner = trust_domain.cloned().or_else(|| named_by(document.bundle()));
                let mut findings = document::findings(&document, &json, bytes.len(), now);
                findings.extend(of_elements(&document, &json, owner.as_ref(), now));
                (owner, findings)
            }
        };
        findings.sort_by_key(|finding| finding.severity);
        let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
        let [errors, warnings, notes] = [Severity::Error, Severity::Warning, Severity::Note].map(count);
        Self { trust_domain, errors, warnings, notes, findings }
    }

    pub(in crate::cli) fn page(&self, document: &str) -> Page {
        let mut page = Page::default();
        for finding in &self.findings {
            page.line(finding.to_string());
            page.line(format!("  right: {}", finding.remedy));
            finding.known.iter().for_each(|known| page.line(format!("  known: {known}")));
        }
        let owner = self.trust_domain.as_ref().map(|domain| format!(", {domain}")).unwrap_or_default();
        let Self { errors, warnings, notes, .. } = *self;
        let counts = [counted(errors, "error"), counted(warnings, "warning"), counted(notes, "note")];
        page.line(format!("{document}{owner}: {}", counts.join(", ")));
        page
    }
}

/// A name that no domain has a use for.
fn nobody() -> TrustDomain {
    "_".parse().expect("an underscore is a valid name")
}

fn of_elements(
    document: &BundleDocument,
    json: &Json,
    trust_domain: Option<&TrustDomain>,
    now: Timestamp,
) -> Vec<Finding> {
    let elements = json.as_object().and_then(|members| members.get("keys")?.as_array()).unwrap_or_default();
    let of_one = |(index, element): (usize, &Json)| {
        let place = Place::of(index, element);
        let mut ignored = document.ignored().iter().filter(|ignored| ignored.index == index).map(|it| &it.reason);
        let mut findings: Vec<_> = ignored.clone().map(|reason| elements::ignored(reason, place.clone())).collect();
        if ignored.all(IgnoreReason::is_kept) {
            let oddities = authority(element).map(|authority| oddities(element, &authority, trust_domain, now));
            findings.extend(oddities.unwrap_or_default().into_iter().map(|oddity| oddity.at(Some(place.clone()))));
        }
        findings
    };
    elements.iter().enumerate().flat_map(of_one).collect()
}

/// What is odd about an element that counts.
fn oddities(element: &Json, authority: &Authority, trust_domain: Option<&TrustDomain>, now: Timestamp) -> Vec<Oddity> {
    let mut oddities = authorities::oddities(authority, trust_domain, now);
    oddities.extend(members::of_element(element, authority.svid_type()));
    oddities
}

pub(super) const HELP: &str = "\
Examples:
  comity bundle lint bank-a.example.jwks.json
  comity bundle show | comity bundle lint -
  curl -s https://bundle.bank-b.example/ | comity bundle lint - --trust-domain bank-b.example --output json

No service is needed. Each finding has a severity, a code of docs/problems.md, the rule of docs/conformance.md
that it is about, and what would be right; what other implementations do is told where it is known.

Exits with 0 if no finding is an error, with 1 if one is, and with 2 if there is none to tell: wrong usage, or
a file that can't be read.";

#[cfg(test)]
mod tests;
