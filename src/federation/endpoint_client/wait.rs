//! A request whose answer may be waited for (RFC 7240 §4.3), and what must still hold when it comes.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use rustls::Error as TlsError;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use tokio::time::Instant;
use url::{Host, Url};

use crate::federation::preference;
use crate::verify::presented::Then;

use super::error::{FetchError, Stage, escaped};
use super::record::Shown;
use super::refusal::describe;
use super::{Authentication, EndpointClient, FetchRecord};

/// How long an answer may be waited for.
#[derive(Clone, Debug)]
pub(crate) struct Wait {
    /// Whole seconds, on top of the time that the fetch has without it.
    pub(crate) at_most: Duration,
    /// What is done once nothing is left but to wait: the endpoint has proven who it is.
    pub(crate) begins: Then,
}

/// How an answer was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waited {
    /// From the end of the handshake to the head of the answer, or to the end of the connection.
    pub(crate) held: Duration,
    /// The endpoint says that it waited.
    pub(crate) is_applied: bool,
    /// For how long it says it would have.
    pub(crate) granted: Option<Duration>,
}

/// When a wait began, once it has.
#[derive(Clone, Default)]
pub(super) struct Begun(Arc<OnceLock<Instant>>);

impl Begun {
    /// What notes it, and then does what is wanted.
    pub(super) fn then(&self, wait: &Wait) -> Then {
        let (begun, Then(begins)) = (self.0.clone(), wait.begins.clone());
        Then(Arc::new(move || {
            begun.get_or_init(Instant::now);
            begins();
        }))
    }

    /// What came of it, by the head of the answer if there is one.
    pub(super) fn waited(&self, headers: Option<&HeaderMap>) -> Option<Waited> {
        let held = self.0.get()?.elapsed();
        let fields =
            || headers.iter().flat_map(|headers| headers.get_all(PREFERENCE_APPLIED)).map(HeaderValue::as_bytes);
        Some(Waited { held, is_applied: preference::is_applied(fields()), granted: preference::wanted(fields()) })
    }
}

impl EndpointClient {
    /// Whether what authenticated the answer of a fetch at its beginning still does, by what is known now: whoever was
    /// waited on, and, after redirects, everybody on the way to the answer.
    ///
    /// # Errors
    /// [`FetchError::CertificateOutlived`], or that there is nothing to authenticate with any more.
    pub(crate) fn still_proven(&self, record: &FetchRecord, by: &Authentication) -> Result<(), FetchError> {
        let before = record.shown_before.iter().map(|(url, shown)| (url, shown.as_ref()));
        let mut all = before.chain([(&record.final_url, record.shown.as_ref())]);
        all.try_for_each(|(url, shown)| self.still_shows(url, shown, by))
    }

    fn still_shows(&self, url: &str, shown: Option<&Shown>, by: &Authentication) -> Result<(), FetchError> {
        let chain = shown.map_or(&[][..], |shown| &shown.leaf.chain);
        let url = Url::parse(url).ok();
        let host = escaped(url.as_ref().and_then(Url::host_str).unwrap_or(""));
        let outlived = |(rejection, detail): (&'static str, String)| FetchError::CertificateOutlived {
            host: host.clone(),
            rejection,
            detail: escaped(&detail),
        };
        let (Some(name), Some((leaf, intermediates)), Some(now)) =
            (url.as_ref().and_then(server_name), chain.split_first(), self.clock.current_time())
        else {
            return Err(outlived(("invalid-certificate", "there is nothing to look at again".into())));
        };
        let verifier = by.verifier(&Arc::new(aws_lc_rs::default_provider()))?;
        match verifier.verify_server_cert(leaf, intermediates, &name, &[], now) {
            Ok(_) => Ok(()),
            Err(TlsError::InvalidCertificate(reason)) => Err(outlived(describe(&reason))),
            Err(other) => Err(outlived(("invalid-certificate", other.to_string()))),
        }
    }
}

impl FetchRecord {
    /// How long a wait lasted that ended with this error, and that by no fault of the endpoint's proof: whatever lies
    /// between may have cut it off. `None` if it had not begun, or the endpoint is not who it should be.
    pub(crate) fn cut_off(&self, error: &FetchError) -> Option<Duration> {
        match error {
            FetchError::TimedOut { stage: Stage::Waiting, limit } => Some(*limit),
            FetchError::CertificateRejected { .. }
            | FetchError::EndpointIdMismatch { .. }
            | FetchError::WrongProfile { .. } => None,
            _ => self.waited.map(|waited| waited.held),
        }
    }
}

fn server_name(url: &Url) -> Option<ServerName<'static>> {
    match url.host()? {
        Host::Domain(name) => ServerName::try_from(name.to_owned()).ok(),
        Host::Ipv4(address) => Some(ServerName::IpAddress(std::net::IpAddr::from(address).into())),
        Host::Ipv6(address) => Some(ServerName::IpAddress(std::net::IpAddr::from(address).into())),
    }
}

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
/// What asks for it.
pub(super) const PREFER: HeaderName = HeaderName::from_static("prefer");
