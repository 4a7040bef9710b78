//! Keeps the certificate of an endpoint good: restores it, obtains it, renews it, tries again.

use std::any::Any;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use rustls::RootCertStore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::federation::clock::Clock;
use crate::federation::endpoint_client::escaped;
use crate::federation::timestamp::Timestamp;
use crate::http::metrics::Metrics;
use crate::http::tls::{EndpointTls, IssuedPair};
use crate::store::Store;
use crate::store::error::StoreError;

use super::AcmeSettings;
use super::account;
use super::attempts::Attempts;
use super::certificate::IssuedCertificate;
use super::client::AcmeClient;
use super::error::AcmeError;
use super::order::{self, Obtained};
use super::schedule::{FIRST_RETRY, Life, after_success, renewal, retry};

/// One endpoint and the server that issues its certificate.
pub(crate) struct Renewal {
    pub(crate) settings: AcmeSettings,
    /// What authenticates the server.
    pub(crate) roots: Arc<RootCertStore>,
    pub(crate) tls: EndpointTls,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) metrics: Metrics,
    pub(crate) progress: Progress,
}

/// How far it is.
#[derive(Default)]
pub(crate) struct Progress {
    /// When to act next.
    due: Timestamp,
    attempts: Attempts,
    /// Issued, and not in the store yet.
    unsaved: Option<IssuedCertificate>,
    /// What is served was asked for with these settings.
    is_ours: bool,
    /// The failure that was logged last.
    told: Option<String>,
    /// Seconds for which the server told us to wait.
    asked: Arc<AtomicU64>,
}

/// What a server issued.
enum Issued {
    Served(Life),
    /// It does less than what is served already.
    Unwanted(Life, AcmeError),
}

impl Progress {
    /// What an attempt came to that failed.
    fn outcome(&self) -> &'static str {
        match self.unsaved {
            Some(_) => "the new certificate is served, and not stored yet",
            None => "no new certificate; the old one stays, if there is one",
        }
    }
}

impl Renewal {
    /// Serves what an earlier run obtained, without a word to the server.
    pub(crate) async fn restore(&mut self) -> Result<(), StoreError> {
        if let Some(kept) = self.store.secret(CERTIFICATE).await? {
            match self.checked(&kept) {
                Ok((pair, due, is_ours)) => {
                    self.tls.install(pair);
                    (self.progress.due, self.progress.is_ours) = (due, is_ours);
                }
                Err(error) => tracing::warn!(code = error.code(), %error, "the certificate in the store is not served"),
            }
        }
        self.progress.attempts = Attempts::restore(&self.settings, &*self.store, self.clock.now()).await?;
        self.progress.due = self.progress.due.max(self.progress.attempts.soonest);
        Ok(())
    }

    /// The pair, when to renew it, at once if it isn't what we would ask for, and whether it is.
    fn checked(&self, kept: &[u8]) -> Result<(IssuedPair, Timestamp, bool), AcmeError> {
        let kept: IssuedCertificate = serde_json::from_slice(kept).map_err(|_| AcmeError::NoCertificate)?;
        let (pair, due) = (self.check(&kept)?, renewal(kept.life()?, fastrand::f64()));
        let is_ours = kept.is_for(&self.settings);
        Ok((pair, if is_ours { due } else { Timestamp::default() }, is_ours))
    }

    /// Acts whenever something is due, until `stop`.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> io::Result<()> {
        while stop.run_until_cancelled(self.becomes_due()).await.is_some() {
            self.progress.asked.store(0, Ordering::Relaxed);
            // The server's answers must not stop the service, whatever the library makes of them.
            let attempt = timeout(LIMIT, AssertUnwindSafe(self.attempt()).catch_unwind());
            match stop.run_until_cancelled(attempt).await {
                None => break,
                Some(Ok(Ok(Ok(issued)))) => self.succeeded(issued),
                Some(Ok(Ok(Err(error)))) => self.failed(&error),
                Some(Ok(Err(panic))) => self.failed(&AcmeError::Client { detail: words(&*panic) }),
                Some(Err(_)) => self.failed(&AcmeError::Timeout { limit: LIMIT }),
            }
            // A store that fails here has at least what was noted before the attempt.
            let kept = self.progress.attempts.keep(&self.settings, &*self.store);
            if let Some(Err(error)) = stop.run_until_cancelled(kept).await {
                tracing::warn!(code = error.code(), %error, "the outcome of the attempt is not recorded");
            }
        }
        Ok(())
    }

    /// Looks at the clock now and then: a machine may have slept.
    async fn becomes_due(&self) {
        loop {
            let left = self.progress.due.since(self.clock.now());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(LOOK)).await;
        }
    }

    /// A new certificate, kept and served; one that could not be kept is served too. One that ends before what is
    /// served is neither.
    async fn attempt(&mut self) -> Result<Issued, AcmeError> {
        let issued = match self.progress.unsaved.take() {
            Some(issued) => issued,
            None => self.obtain().await?,
        };
        let (pair, life) = (self.check(&issued)?, issued.life()?);
        if let Some(served) = self.served_until().filter(|served| life.not_after < *served) {
            return Ok(Issued::Unwanted(life, AcmeError::EndsEarlier { not_after: life.not_after, served }));
        }
        let record = serde_json::to_vec(&issued).expect("texts and a list of them have a JSON form");
        // Before anything can interrupt us: what was issued is not to be ordered again.
        self.progress.unsaved = Some(issued);
        // In this order a restart never goes back behind what a client has seen.
        let kept = self.store.put_secret(CERTIFICATE, &record).await;
        self.tls.install(pair);
        self.progress.is_ours = true;
        kept?;
        self.progress.unsaved = None;
        Ok(Issued::Served(life))
    }

    /// The end of what is served, if that is still good for clients and for these settings.
    fn served_until(&self) -> Option<Timestamp> {
        self.tls.not_after().filter(|_| self.progress.is_ours && self.tls.fault().is_none())
    }

    async fn obtain(&mut self) -> Result<IssuedCertificate, AcmeError> {
        let begun = self.clock.now();
        self.progress.attempts.begun = begun;
        // It counts as failed until it has succeeded, also if the service ends in the middle of it.
        let failures = self.progress.attempts.failures.saturating_add(1);
        let soonest = begun.after(retry(failures, None, 0.0));
        let attempts = Attempts { failures, soonest, ..self.progress.attempts.clone() };
        attempts.keep(&self.settings, &*self.store).await?;
        let obtained = self.order().await;
        if obtained.as_ref().is_err_and(AcmeError::is_without_account) {
            account::forget(&*self.store).await?;
        }
        let Obtained { chain, private_key } = obtained?;
        IssuedCertificate::new(&self.settings, chain, private_key, self.clock.now())
    }

    async fn order(&self) -> Result<Obtained, AcmeError> {
        let client = AcmeClient::new(self.roots.clone(), self.clock.clone(), self.progress.asked.clone());
        let account = account::open(&self.settings, &*self.store, Box::new(client)).await?;
        order::obtain(&account, &self.settings.domains, self.tls.challenges()).await
    }

    fn check(&self, issued: &IssuedCertificate) -> Result<IssuedPair, AcmeError> {
        Ok(self.tls.check(issued.chain.as_bytes(), issued.private_key.as_bytes())?)
    }

    fn succeeded(&mut self, issued: Issued) {
        let (now, attempts) = (self.clock.now(), &self.progress.attempts);
        let (life, unwanted) = match issued {
            Issued::Served(life) => (life, None),
            Issued::Unwanted(life, why) => (life, Some(why)),
        };
        // What is served outlives what was issued, so it is still good when that would have been due.
        let (due, hurried) = after_success(life, now, attempts.hurried, fastrand::f64());
        // The certificate may be lost before it is due.
        let soonest = if hurried > 0 || unwanted.is_some() { due } else { now.after(FIRST_RETRY) };
        let attempts = Attempts { failures: 0, hurried, soonest, ..attempts.clone() };
        self.progress = Progress { due, attempts, is_ours: true, ..Progress::default() };
        let (domains, not_after) = (self.domains(), self.tls.not_after().map(tracing::field::display));
        self.metrics.count_order(unwanted.as_ref().map_or("ok", AcmeError::code));
        match unwanted {
            None => tracing::info!(domains, not_after, next = %due, "certificate obtained"),
            Some(error) => {
                let code = error.code();
                tracing::warn!(domains, code, %error, next = %due, "the new certificate is not served");
                self.tls.report_problem(code, format!("{domains}: {error}; the next attempt is at {due}"));
            }
        }
    }

    fn failed(&mut self, error: &AcmeError) {
        let progress = &mut self.progress;
        let failures = progress.attempts.failures.saturating_add(1);
        let asked = Duration::from_secs(progress.asked.load(Ordering::Relaxed));
        progress.due = self.clock.now().after(retry(failures, Some(asked), fastrand::f64()));
        progress.attempts = Attempts { failures, soonest: progress.due, ..progress.attempts.clone() };
        let (due, code, words) = (progress.due, error.code(), error.to_string());
        let is_new = progress.told.replace(words.clone()).is_none_or(|told| told != words);
        self.metrics.count_order(code);
        let (what, domains) = (progress.outcome(), self.settings.domains.join(", "));
        if is_new {
            tracing::error!(domains, code, %error, next = %due, "{what}");
        }
        self.tls.report_problem(code, format!("{domains}: {what}: {words}; the next attempt is at {due}"));
    }

    fn domains(&self) -> String {
        self.settings.domains.join(", ")
    }
}

/// What a panic says, which may repeat the server.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    escaped(text.unwrap_or("no reason given"))
}

/// Of an attempt.
const LIMIT: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_secs(60);
const CERTIFICATE: &str = "acme-certificate";

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "helpers are test code outside of test functions")]
mod tests;
