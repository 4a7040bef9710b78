//! Our own bundle as an object in a bucket or a file in a folder, for a CDN or a plain web server to serve.

mod judge;
pub(crate) mod place;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::StreamExt as _;
use object_store::path::Path;
use object_store::{Attribute, Attributes, GetOptions, ObjectStore, PutMode, PutOptions, UpdateVersion};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::info;

use crate::federation::published_bundle::PublishedBundle;
use crate::files::trusted::FileError;
use crate::outputs::view::View;
use crate::spiffe::document::BundleDocument;
use crate::verify::text::shown;

use self::judge::{Refusal, may_replace};
use self::place::{ObjectPlace, is_file};
use super::{Coded, Sink};

/// Puts what the bundle endpoint serves, to the byte, where `place` says.
pub(crate) struct ObjectStorage {
    pub(crate) place: ObjectPlace,
    pub(crate) published: watch::Receiver<Option<Arc<PublishedBundle>>>,
}

impl Sink for ObjectStorage {
    type Error = ObjectStorageError;

    async fn deliver(&mut self, view: &View) -> Result<(), ObjectStorageError> {
        let Some(own) = view.own() else { return Ok(()) };
        let since = own.sequence().unwrap_or_default();
        // It is rendered a moment after the snapshot has it.
        let rendered = |published: &Option<Arc<PublishedBundle>>| {
            published.as_ref().is_some_and(|published| published.sequence >= since)
        };
        let published = self.published.wait_for(rendered).await.map(|published| published.clone());
        let Ok(Some(published)) = published else { return Ok(()) };
        let hint = own.refresh_hint().unwrap_or_default();
        let put = self.put(view, &published, hint);
        timeout(LONGEST, put).await.unwrap_or(Err(ObjectStorageError::Silent))
    }
}

impl ObjectStorage {
    async fn put(&self, view: &View, ours: &PublishedBundle, hint: Duration) -> Result<(), ObjectStorageError> {
        let (store, path) = self.place.open().await?;
        let (mode, before) = match there(&*store, &path).await? {
            None => (PutMode::Create, None),
            Some((bytes, _)) if bytes == ours.identity.bytes => return Ok(()),
            Some((bytes, version)) => {
                let before = may_replace(&view.trust_domain, &bytes, &ours.identity.bytes)?;
                // Files know no versions, so two writers of one may overtake each other there.
                (if is_file(&self.place.url) { PutMode::Overwrite } else { PutMode::Update(version) }, before)
            }
        };
        let attributes = if is_file(&self.place.url) { Attributes::default() } else { attributes(hint) };
        let options = PutOptions { mode, attributes, ..PutOptions::default() };
        store.put_opts(&path, ours.identity.bytes.clone().into(), options).await?;
        info!(url = %self.place.url, sequence = ours.sequence, before, "own bundle put into object storage");
        Ok(())
    }
}

/// What is there now, and by which version it can be replaced.
async fn there(store: &dyn ObjectStore, path: &Path) -> Result<Option<(Bytes, UpdateVersion)>, ObjectStorageError> {
    let found = match store.get_opts(path, GetOptions::default()).await {
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        found => found?,
    };
    let version = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
    let (mut bytes, mut chunks) = (Vec::new(), found.into_stream());
    while let Some(chunk) = chunks.next().await {
        bytes.extend_from_slice(&chunk?);
        if bytes.len() > BundleDocument::MAX_BYTES {
            return Err(Refusal::NotABundle { detail: "it is larger than any bundle".into() }.into());
        }
    }
    Ok(Some((bytes.into(), version)))
}

/// Whoever caches it asks again after a tenth of the refresh hint, so that a rotation is hardly delayed.
fn attributes(hint: Duration) -> Attributes {
    let cache = format!("public, max-age={}, must-revalidate", hint.as_secs() / 10);
    [(Attribute::ContentType, "application/json".to_owned()), (Attribute::CacheControl, cache)].into_iter().collect()
}

/// Why our bundle is not there. What the storage says is escaped and cut.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ObjectStorageError {
    #[error("credentials_file {0}")]
    CredentialsFile(FileError),
    #[error("credentials_file: line {line} is not NAME=value, such as AWS_ACCESS_KEY_ID=...")]
    Credentials { line: usize },
    #[error("{endpoint:?} is not encrypted; https is needed, or an address of this machine")]
    PlainHttp { endpoint: String },
    #[error("{0}")]
    Refused(#[from] Refusal),
    #[error("somebody else wrote it at the same time")]
    ChangedMeanwhile,
    #[error("the storage lets us not: {detail}")]
    Denied { detail: String },
    #[error("the storage failed: {detail}")]
    Failed { detail: String },
    #[error("the storage does not answer within {} s", LONGEST.as_secs())]
    Silent,
    #[error("the service is stopping")]
    Interrupted,
}

impl From<object_store::Error> for ObjectStorageError {
    fn from(error: object_store::Error) -> Self {
        let detail = shown(error.to_string().as_bytes());
        match error {
            object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. } => {
                Self::ChangedMeanwhile
            }
            object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
                Self::Denied { detail }
            }
            _ => Self::Failed { detail },
        }
    }
}

impl Coded for ObjectStorageError {
    fn code(&self) -> &'static str {
        match self {
            Self::CredentialsFile(error) => error.code(),
            Self::Credentials { .. } => "object-storage-credentials",
            Self::PlainHttp { .. } => "object-storage-endpoint",
            Self::Refused(refusal) => refusal.code(),
            Self::ChangedMeanwhile => "object-changed-meanwhile",
            Self::Denied { .. } => "object-storage-denied",
            Self::Failed { .. } => "object-storage-failed",
            Self::Silent => "object-storage-silent",
            Self::Interrupted => "interrupted",
        }
    }
}

/// For looking and putting together.
const LONGEST: Duration = Duration::from_secs(60);
