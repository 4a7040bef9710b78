//! `comity bundle convert`: one bundle in its two spellings.

use std::num::NonZero;
use std::time::Duration;

use crate::authorities::bundle_file::{self, BundleFileError};
use crate::cli::error::CliError;
use crate::cli::output::{Page, printable};
use crate::cli::pem::Pem;
use crate::cli::verify::bundles::warn;
use crate::cli::verify::error::VerifyError;
use crate::cli::verify::input::Source;
use crate::spiffe::authority::SvidType;
use crate::spiffe::bundle::Bundle;
use crate::spiffe::document::BundleDocument;
use crate::spiffe::document::ignored::IgnoredElement;
use crate::spiffe::document::render::{WitAuthorities, render};
use crate::spiffe::trust_domain::TrustDomain;

use super::Spelling;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The bundle; - is standard input
    #[arg(value_name = "FILE")]
    file: Source,
    /// Whose bundle it is
    #[arg(long, value_name = "NAME", visible_alias = "id", alias = "trustDomain")]
    trust_domain: TrustDomain,
    /// How it is spelled
    #[arg(long, value_enum, default_value_t = Spelled::Auto)]
    from: Spelled,
    /// How to spell it; PEM has a place for CA certificates alone
    #[arg(long, value_enum)]
    to: Spelling,
    /// Sequence number of the document, in place of the one it has
    #[arg(long, value_name = "N")]
    sequence: Option<NonZero<u64>>,
    /// Refresh hint of the document, in place of the one it has
    #[arg(long, value_name = "SECONDS")]
    refresh_hint: Option<NonZero<u64>>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Spelled {
    /// What begins with { is a document, all else PEM
    Auto,
    /// The SPIFFE bundle document, a JWK Set
    Spiffe,
    /// CA certificates
    Pem,
}

/// Writes the bundle on standard output, and what of the file is not in there on standard error.
pub(super) fn run(arguments: &Arguments) -> Result<(), CliError> {
    let (bundle, ignored) = arguments.read()?;
    warn(&arguments.file, &bundle, &ignored);
    let document = render(&bundle, WitAuthorities::Include);
    // PEM can hold more than the limits of a document allow, and what we write must be read.
    BundleDocument::parse(bundle.trust_domain(), &document).map_err(|error| arguments.no_bundle(error.into()))?;
    let document = serde_json::from_slice(&document)?;
    match arguments.to {
        Spelling::Spiffe => Page::json(&document)?.print()?,
        Spelling::Pem => {
            left_out(&bundle).iter().for_each(|lost| eprintln!("{}", printable(&format!("left out: {lost}"))));
            Pem::of(&document)?.page.print()?;
        }
    }
    Ok(())
}

impl Arguments {
    /// The bundle with the numbers that were asked for, and what of the file is ignored.
    fn read(&self) -> Result<(Bundle, Vec<IgnoredElement>), CliError> {
        let bytes = self.file.read_whole(BundleDocument::MAX_BYTES)?;
        let read = match self.from {
            Spelled::Auto => bundle_file::read(&self.trust_domain, &bytes),
            Spelled::Spiffe => bundle_file::read_document(&self.trust_domain, &bytes),
            Spelled::Pem => bundle_file::read_pem(&self.trust_domain, &bytes).map(|bundle| (bundle, Vec::new())),
        };
        let (bundle, ignored) = read.map_err(|reason| self.no_bundle(reason))?;
        let sequence = self.sequence.map(NonZero::get).or_else(|| bundle.sequence());
        let hint =
            self.refresh_hint.map(|seconds| Duration::from_secs(seconds.get())).or_else(|| bundle.refresh_hint());
        Ok((Bundle::new(self.trust_domain.clone(), bundle.authorities().clone(), sequence, hint), ignored))
    }

    fn no_bundle(&self, reason: BundleFileError) -> VerifyError {
        VerifyError::Bundle { file: self.file.to_string(), reason }
    }
}

/// What PEM has no place for.
fn left_out(bundle: &Bundle) -> Vec<String> {
    let keys = bundle.authorities().ids().filter(|id| id.svid_type() != SvidType::X509Svid).map(ToString::to_string);
    let sequence = bundle.sequence().map(|sequence| format!("sequence {sequence}"));
    let hint = bundle.refresh_hint().map(|hint| format!("refresh hint of {} s", hint.as_secs()));
    keys.chain(sequence).chain(hint).collect()
}

pub(super) const HELP: &str = "\
Examples:
  comity bundle convert bank-b.example.pem --trust-domain bank-b.example --to spiffe --sequence 1 --refresh-hint 300
  comity bundle show | comity bundle convert - --trust-domain bank-a.example --to pem > bank-a.example.pem

No service is needed. The bundle goes to standard output; what can't be carried over is told on standard error:
elements of a document that are ignored and, in PEM, the keys of tokens and the document's numbers.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spiffe::fixtures::FIXTURES;

    #[test]
    fn all_that_pem_has_no_place_for_is_named() {
        let domain: TrustDomain = "a.example".parse().unwrap();
        let (x509, jwt) = (FIXTURES[1].x509(), FIXTURES[1].jwt("k"));
        let id = jwt.id().to_string();
        let hint = Some(Duration::from_secs(300));
        let whole = Bundle::new(domain.clone(), [x509.clone(), jwt].into_iter().collect(), Some(7), hint);
        assert_eq!(left_out(&whole), [id, "sequence 7".to_owned(), "refresh hint of 300 s".to_owned()]);
        let plain = Bundle::new(domain, [x509].into_iter().collect(), None, None);
        assert_eq!(left_out(&plain), [""; 0]);
    }
}
