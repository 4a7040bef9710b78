//! A SPIRE server's federated bundles, kept at what we accepted; what others put there is left alone.

mod key_info;
mod message;
mod plan;
mod record;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use prost::Message as _;
use tracing::{info, warn};

use crate::authorities::spire_server::api::{Bundle, DeletedBundle, Status, StoredBundle};
use crate::authorities::spire_server::client::Client;
use crate::authorities::spire_server::{SpireServer, SpireServerProblem, trust_domain};
use crate::outputs::selection::Selection;
use crate::outputs::view::View;
use crate::spiffe::public_key::Fingerprint;
use crate::spiffe::trust_domain::TrustDomain;
use crate::verify::text::shown;

use self::message::{contents, message};
use self::plan::{Left, Plan, Situation};
use self::record::{Record, RecordError};
use super::{Coded, Sink};

/// One SPIRE server of our own trust domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SpireOutput {
    pub(crate) server: SpireServer,
    pub(crate) selection: Selection,
    /// The file that remembers what we put there.
    pub(crate) state: PathBuf,
    /// Whether bundles of selected domains that others put there become ours.
    pub(crate) take_over: bool,
}

impl Sink for SpireOutput {
    type Error = SpireOutputError;

    async fn deliver(&mut self, view: &View) -> Result<(), SpireOutputError> {
        let mut client = Client::connect(&self.server).await?;
        client.bundle(&view.trust_domain).await?;
        let fetched = client.relationships().await?;
        let mut there = BTreeMap::new();
        let note = |bundle: Bundle| {
            there.extend(trust_domain(&bundle.trust_domain).map(|name| (name, contents(&bundle))));
        };
        client.each_federated_bundle(note).await?;
        let foreign = view.selected.bundles.iter().filter(|(name, _)| **name != view.trust_domain);
        let wanted: BTreeMap<_, _> = foreign.map(|(name, bundle)| (name.clone(), message(bundle))).collect();
        let record = self.read().await?;
        let plan = Situation {
            wanted: &wanted.iter().map(|(name, bundle)| (name.clone(), contents(bundle))).collect(),
            there: &there,
            record: &record,
            fetched: &fetched,
            selected: self.selection.trust_domains.as_ref(),
            take_over: self.take_over,
        };
        let plan = plan.plan();
        self.carry_out(plan, wanted, Work { client, record, faults: Vec::new() }).await
    }
}

impl SpireOutput {
    async fn carry_out(
        &self,
        plan: Plan,
        mut wanted: BTreeMap<TrustDomain, Bundle>,
        mut work: Work,
    ) -> Result<(), SpireOutputError> {
        let before = work.record.clone();
        plan.forget.iter().for_each(|name| work.forget(name));
        for name in &plan.take_over {
            warn!(code = "spire-bundle-taken-over", trust_domain = %name, "replacing a bundle that others put there");
        }
        for name in plan.create.iter().chain(&plan.update) {
            work.record.intend(name, contents(&wanted[name]));
        }
        self.write_if_other(&before, &work.record).await?;
        let noted = work.record.clone();
        let mut of = |names: &BTreeSet<TrustDomain>| -> Vec<(TrustDomain, Bundle)> {
            names.iter().filter_map(|name| wanted.remove_entry(name)).collect()
        };
        let (create, update) = (of(&plan.create), of(&plan.update));
        // What takes trust away comes first.
        work.delete(plan.delete).await?;
        work.store(update, Storing::Update).await?;
        work.store(create, Storing::Create).await?;
        self.write_if_other(&noted, &work.record).await?;
        work.faults.extend(plan.leave.into_iter().map(|(name, left)| Fault::left(name, left)));
        match work.faults.is_empty() {
            true => Ok(()),
            false => Err(SpireOutputError::Incomplete { faults: work.faults }),
        }
    }

    async fn read(&self) -> Result<Record, SpireOutputError> {
        let file = self.state.clone();
        let read = tokio::task::spawn_blocking(move || Record::read(&file)).await;
        Ok(read.map_err(|_| SpireOutputError::Interrupted)??)
    }

    async fn write_if_other(&self, before: &Record, record: &Record) -> Result<(), SpireOutputError> {
        if before == record {
            return Ok(());
        }
        let (file, record) = (self.state.clone(), record.clone());
        let written = tokio::task::spawn_blocking(move || record.write(&file)).await;
        Ok(written.map_err(|_| SpireOutputError::Interrupted)??)
    }
}

/// A delivery under way.
struct Work {
    client: Client,
    record: Record,
    faults: Vec<Fault>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Storing {
    Create,
    Update,
}

impl Work {
    fn forget(&mut self, name: &TrustDomain) {
        info!(trust_domain = %name, "the SPIRE server has no bundle of ours of this domain any more");
        self.record.forget(name);
    }

    async fn store(&mut self, bundles: Vec<(TrustDomain, Bundle)>, how: Storing) -> Result<(), SpireServerProblem> {
        for batch in batches(bundles, |(_, bundle)| bundle.encoded_len()) {
            let sent: Vec<_> = batch.iter().map(|(name, bundle)| (name.clone(), contents(bundle))).collect();
            let bundles = batch.into_iter().map(|(_, bundle)| bundle).collect();
            let outcomes = match how {
                Storing::Create => self.client.create(bundles).await?,
                Storing::Update => self.client.update(bundles).await?,
            };
            for ((name, contents), outcome) in sent.into_iter().zip(outcomes) {
                self.stored(name, contents, outcome);
            }
        }
        Ok(())
    }

    fn stored(&mut self, name: TrustDomain, sent: Fingerprint, outcome: StoredBundle) {
        match (outcome.status.map(refusal), outcome.bundle) {
            (Some(None), None) => self.record.done(&name, sent),
            (Some(None), Some(there)) if contents(&there) == sent => self.record.done(&name, sent),
            (Some(None), Some(_)) => self.faults.push(Fault::malformed(name, "says that it stored other keys")),
            (None, _) => self.faults.push(Fault::malformed(name, "does not say what became of it")),
            (Some(Some(Status { code: ALREADY_EXISTS, .. })), _) => {
                self.record.not_done(&name, sent);
                self.faults.push(Fault::left(name, Left::NotOurs));
            }
            (Some(Some(status)), _) => {
                self.record.not_done(&name, sent);
                self.faults.push(Fault::refused(name, &status));
            }
        }
    }

    async fn delete(&mut self, names: BTreeSet<TrustDomain>) -> Result<(), SpireServerProblem> {
        for batch in batches(names.into_iter().collect(), |name| name.as_str().len()) {
            let outcomes = self.client.delete(batch.iter().map(ToString::to_string).collect()).await?;
            for (name, DeletedBundle { status }) in batch.into_iter().zip(outcomes) {
                match status.map(refusal) {
                    Some(None | Some(Status { code: NOT_FOUND, .. })) => self.forget(&name),
                    Some(Some(status)) => self.faults.push(Fault::refused(name, &status)),
                    None => self.faults.push(Fault::malformed(name, "does not say what became of it")),
                }
            }
        }
        Ok(())
    }
}

/// A status that is no success.
fn refusal(status: Status) -> Option<Status> {
    Some(status).filter(|status| status.code != 0)
}

/// As many in one call as the server reads; at least one each.
fn batches<T>(items: Vec<T>, bytes: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let (mut batches, mut room): (Vec<Vec<T>>, usize) = (Vec::new(), 0);
    for item in items {
        let needed = bytes(&item) + OVERHEAD;
        match batches.last_mut() {
            Some(batch) if needed <= room => batch.push(item),
            _ => {
                room = MAX_BATCH;
                batches.push(vec![item]);
            }
        }
        room = room.saturating_sub(needed);
    }
    batches
}

/// Why one domain is not as it should be; the others are.
#[derive(Debug)]
pub(crate) struct Fault {
    trust_domain: TrustDomain,
    code: &'static str,
    detail: String,
}

impl Fault {
    fn left(trust_domain: TrustDomain, left: Left) -> Self {
        let detail = match left {
            Left::NotOurs => "the server has a bundle that Comity did not put there".into(),
            Left::Changed => "somebody changed the bundle that Comity put there".into(),
            Left::Fetched => format!(
                "the server fetches this bundle by itself; end that with spire-server federation delete -id {trust_domain}, or leave the domain out of trust_domains"
            ),
        };
        Self { trust_domain, code: left.code(), detail }
    }

    fn refused(trust_domain: TrustDomain, status: &Status) -> Self {
        let detail = format!("the server refuses: {} (status {})", shown(status.message.as_bytes()), status.code);
        Self { trust_domain, code: "spire-bundle-refused", detail }
    }

    fn malformed(trust_domain: TrustDomain, detail: &str) -> Self {
        Self { trust_domain, code: "spire-server-malformed", detail: format!("the server {detail}") }
    }
}

impl Left {
    /// Stable identifier; see docs/problems.md.
    fn code(self) -> &'static str {
        match self {
            Self::NotOurs => "spire-bundle-not-ours",
            Self::Changed => "spire-bundle-changed",
            Self::Fetched => "spire-server-federates",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} [{}]", self.trust_domain, self.detail, self.code)
    }
}

/// Why nothing was delivered, or not all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpireOutputError {
    #[error("{0}")]
    Server(#[from] SpireServerProblem),
    #[error("{0}")]
    State(#[from] RecordError),
    #[error("{} of the domains: {}", faults.len(), listed(faults))]
    Incomplete {
        /// Never empty.
        faults: Vec<Fault>,
    },
    #[error("the service is stopping")]
    Interrupted,
}

fn listed(faults: &[Fault]) -> String {
    let listed: Vec<_> = faults.iter().take(MAX_LISTED).map(ToString::to_string).collect();
    listed.join("; ")
}

impl Coded for SpireOutputError {
    fn code(&self) -> &'static str {
        match self {
            Self::Server(problem) => problem.code(),
            Self::State(error) => error.code(),
            Self::Incomplete { faults } => faults.first().map_or("spire-bundle-refused", |fault| fault.code),
            Self::Interrupted => "interrupted",
        }
    }
}

/// Status codes of gRPC.
const NOT_FOUND: i32 = 5;
const ALREADY_EXISTS: i32 = 6;
/// Bytes in one call; a SPIRE server reads 4 MiB.
const MAX_BATCH: usize = 3 << 20;
/// Bytes around one item.
const OVERHEAD: usize = 16;
/// Domains in one message.
const MAX_LISTED: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_no_more_than_a_server_reads_and_what_is_larger_goes_alone() {
        let half = MAX_BATCH / 2 - OVERHEAD;
        for (name, sizes, expected) in [
            ("none", vec![], vec![]),
            ("two halves", vec![half, half], vec![2]),
            ("a byte more", vec![half, half + 1], vec![1, 1]),
            ("too large", vec![1, MAX_BATCH, 1, 1], vec![1, 1, 2]),
        ] {
            let batches = batches(sizes, |size| *size);
            assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), expected, "{name}");
        }
    }
}
