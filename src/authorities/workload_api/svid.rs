//! The X509-SVID of our bundle endpoint. Its key is in memory only.

use std::fmt;
use std::sync::Arc;

use futures_util::future::FutureExt as _;
use futures_util::stream::StreamExt as _;
use rust_spiffe::{X509Context, X509Svid};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::spiffe::spiffe_id::SpiffeId;
use crate::spiffe::trust_domain::TrustDomain;

use super::stream::follow;
use super::{WorkloadApi, WorkloadApiProblem};

/// Which SVID of which Workload API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SvidRequest {
    /// Who issues it.
    pub(crate) api: WorkloadApi,
    /// The one with this ID; else that which came first, the default by the standard, for as long as we run.
    pub(crate) spiffe_id: Option<SpiffeId>,
}

/// An X509-SVID with its key. Not judged yet.
pub(crate) struct StreamedSvid(Arc<X509Svid>);

/// What the stream last brought.
#[derive(Clone, Debug, Default)]
pub(crate) struct SvidState {
    /// The newest SVID.
    pub(crate) svid: Option<Arc<StreamedSvid>>,
    /// Why nothing newer can come now.
    pub(crate) problem: Option<SvidProblem>,
}

/// A code of docs/problems.md, and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SvidProblem {
    pub(crate) code: &'static str,
    pub(crate) detail: String,
}

impl SvidState {
    /// Whether the stream has brought anything yet.
    pub(crate) fn has_news(&self) -> bool {
        self.svid.is_some() || self.problem.is_some()
    }
}

impl SvidRequest {
    /// Sends each new SVID, and each reason for which there is none, until `stop`. Once one of our trust domain has
    /// come, we are who it says.
    pub(crate) async fn follow(self, own: TrustDomain, out: watch::Sender<SvidState>, stop: CancellationToken) {
        let mut wanted = self.spiffe_id.clone();
        let open = |client: rust_spiffe::WorkloadApiClient| {
            async move { Ok(client.stream_x509_contexts().await?.boxed()) }.boxed()
        };
        let take = |message: Result<X509Context, WorkloadApiProblem>| {
            let problem = match message.map(|context| choose(wanted.as_ref(), &context)) {
                Ok(Ok(svid)) => {
                    wanted = wanted.take().or_else(|| svid.spiffe_id().filter(|id| *id.trust_domain() == own));
                    return drop(out.send_replace(SvidState { svid: Some(Arc::new(svid)), problem: None }));
                }
                Ok(Err(problem)) => problem,
                Err(problem) => SvidProblem { code: problem.code(), detail: problem.to_string() },
            };
            out.send_if_modified(|state| {
                let is_new = state.problem.as_ref() != Some(&problem);
                state.problem = Some(problem);
                is_new
            });
        };
        follow(&self.api, open, take, &stop).await;
    }
}

fn choose(wanted: Option<&SpiffeId>, context: &X509Context) -> Result<StreamedSvid, SvidProblem> {
    let wanted = wanted.map(ToString::to_string);
    let ids: Vec<_> = context.svids().iter().map(|svid| svid.spiffe_id().to_string()).collect();
    let place = match &wanted {
        Some(wanted) => ids.iter().position(|id| id == wanted),
        None => Some(0),
    };
    if wanted.is_none() && ids.len() > 1 {
        warn!(code = "svid-not-named", offered = ids.join(", "), "several SVIDs are offered; the first is taken");
    }
    let chosen = place.and_then(|place| context.svids().get(place));
    chosen.map(|svid| StreamedSvid(svid.clone())).ok_or_else(|| SvidProblem {
        code: "svid-not-offered",
        detail: format!("the Workload API offers no SVID {}, but {}", wanted.unwrap_or_default(), ids.join(", ")),
    })
}

impl StreamedSvid {
    /// Whose it is; `None` for what is no SPIFFE ID by our rules.
    fn spiffe_id(&self) -> Option<SpiffeId> {
        self.0.spiffe_id().to_string().parse().ok()
    }

    /// Leaf first.
    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.0.cert_chain().iter().map(|one| CertificateDer::from(one.as_bytes().to_vec())).collect()
    }

    /// Of the leaf.
    pub(crate) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.0.private_key().as_bytes().to_vec()).into()
    }
}

#[cfg(test)]
impl StreamedSvid {
    /// One that no stream brought.
    pub(crate) fn new(leaf: &[u8], private_key: &[u8]) -> Self {
        Self(Arc::new(X509Svid::parse_from_der(leaf, private_key).expect("a leaf and its key")))
    }
}

impl fmt::Debug for StreamedSvid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamedSvid({})", self.0.spiffe_id())
    }
}
