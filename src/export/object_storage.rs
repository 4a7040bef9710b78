//! Our own bundle as an object in a bucket or a file in a folder, for a CDN or a plain web server to serve.

mod judge;
pub(crate) mod place;

use std::fs;
use std::io;
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
use crate::files::replace::replace;
use crate::files::trusted::{self, FileError};
use crate::outputs::view::View;
use crate::spiffe::document::BundleDocument;
use crate::verify::text::shown;

use self::judge::{Refusal, may_replace};
use self::place::{ObjectPlace, Opened};
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
        let opened = self.place.open().await?;
        let is_file = matches!(opened, Opened::File(_));
        let put = self.put(opened, view, &published, hint);
        match is_file {
            // One that hangs is waited for: given up, its thread would be joined by that of the next attempt.
            true => put.await,
            false => timeout(LONGEST, put).await.unwrap_or(Err(ObjectStorageError::Silent)),
        }
    }
}

impl ObjectStorage {
    async fn put(
        &self,
        opened: Opened,
        view: &View,
        ours: &PublishedBundle,
        hint: Duration,
    ) -> Result<(), ObjectStorageError> {
        let (mode, before) = match there(&opened).await? {
            None => (PutMode::Create, None),
            Some((bytes, _)) if bytes == ours.document.identity.bytes => return Ok(()),
            Some((bytes, version)) => {
                let before = may_replace(&view.trust_domain, &bytes, &ours.document.identity.bytes)?;
                (PutMode::Update(version), before)
            }
        };
        let bytes = ours.document.identity.bytes.clone();
        match opened {
            Opened::Object(store, path) => {
                let options = PutOptions { mode, attributes: attributes(hint), ..PutOptions::default() };
                store.put_opts(&path, bytes.into(), options).await?;
            }
            Opened::File(file) => blocking(move || replace(&file, &bytes, PUBLIC)).await?,
        }
        info!(url = %self.place.url, sequence = ours.sequence, before, "own bundle put into object storage");
        Ok(())
    }
}

/// What is there now, and by which version it can be replaced; a file has none.
async fn there(opened: &Opened) -> Result<Option<(Bytes, UpdateVersion)>, ObjectStorageError> {
    match opened {
        Opened::Object(store, path) => object(&**store, path).await,
        Opened::File(file) => {
            let file = file.clone();
            let bytes = blocking(move || Ok(file_there(&file))).await??;
            Ok(bytes.map(|bytes| (bytes.into(), UpdateVersion { e_tag: None, version: None })))
        }
    }
}

/// Whoever else may write there could put a pipe in its place, at which reading never ends.
fn file_there(file: &std::path::Path) -> Result<Option<Vec<u8>>, FileError> {
    match trusted::read(file, BundleDocument::MAX_BYTES) {
        Err(FileError::Unreadable(error)) if error.kind() == io::ErrorKind::NotFound => {
            let folder = trusted::folder_of(file);
            trusted::check_mode(folder, &fs::metadata(folder).map_err(FileError::Unreadable)?)?;
            Ok(None)
        }
        read => read.map(Some),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, ObjectStorageError> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|_| ObjectStorageError::Interrupted)?;
    done.map_err(ObjectStorageError::File)
}

async fn object(store: &dyn ObjectStore, path: &Path) -> Result<Option<(Bytes, UpdateVersion)>, ObjectStorageError> {
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
    #[error("the file {0}")]
    Unsafe(FileError),
    #[error("the file can't be read or written: {0}")]
    File(io::Error),
    #[error("the storage does not answer within {} s", LONGEST.as_secs())]
    Silent,
    #[error("the service is stopping")]
    Interrupted,
}

impl From<FileError> for ObjectStorageError {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Unreadable(error) => Self::File(error),
            FileError::Writable { .. } => Self::Unsafe(error),
            FileError::NotAFile | FileError::TooLarge { .. } => {
                Self::Refused(Refusal::NotABundle { detail: error.to_string() })
            }
        }
    }
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
            Self::CredentialsFile(error) | Self::Unsafe(error) => error.code(),
            Self::Credentials { .. } => "object-storage-credentials",
            Self::PlainHttp { .. } => "object-storage-endpoint",
            Self::Refused(refusal) => refusal.code(),
            Self::ChangedMeanwhile => "object-changed-meanwhile",
            Self::Denied { .. } => "object-storage-denied",
            Self::Failed { .. } | Self::File(_) => "object-storage-failed",
            Self::Silent => "object-storage-silent",
            Self::Interrupted => "interrupted",
        }
    }
}

/// For looking and putting together.
const LONGEST: Duration = Duration::from_secs(60);
/// A bundle is for everybody, whatever the umask of the service.
const PUBLIC: u32 = 0o644;
