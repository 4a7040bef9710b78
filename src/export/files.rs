//! `[[outputs.files]]`: bundles as files in a folder, for whoever reads PEM or JSON.

mod claims;
mod command;
mod contents;
mod folder;
mod stem;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use crate::files::trusted::FileError;
use crate::outputs::selection::Selection;
use crate::outputs::view::View;

use super::{Coded, Sink};

use self::command::CommandError;
use self::contents::contents;
use self::folder::Folder;

pub(crate) use self::claims::Claims;
pub(crate) use self::command::AfterChange;

/// One folder of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FilesOutput {
    /// An existing folder that only its owner may write.
    pub(crate) folder: PathBuf,
    pub(crate) selection: Selection,
    /// Permissions of the files; folders can be entered by whom they let read.
    pub(crate) mode: u32,
    /// What to run when files have changed.
    pub(crate) command: Option<AfterChange>,
}

/// Keeps the folder at what a view shows.
pub(crate) struct FilesSink {
    folder: Folder,
    command: Option<AfterChange>,
}

impl FilesSink {
    /// `claims` are those of all outputs of the service.
    pub(crate) fn new(output: &FilesOutput, claims: &Claims) -> Self {
        let folder = Folder::new(output.folder.clone(), output.mode, claims.clone());
        Self { folder, command: output.command.clone() }
    }
}

impl Sink for FilesSink {
    type Error = FilesError;

    /// All files of a change appear at once; a command that failed is run again with the next attempt.
    async fn deliver(&mut self, view: &View) -> Result<(), FilesError> {
        let (folder, view, announces) = (self.folder.clone(), view.clone(), self.command.is_some());
        let replace = move || {
            let obstacles = folder.replace(&contents(&view), announces)?;
            Ok((obstacles, folder.has_changes()))
        };
        let (obstacles, has_changes) = blocking(replace).await?;
        if let Some(command) = self.command.as_ref().filter(|_| has_changes) {
            command.run(&self.folder.changes()).await?;
            let folder = self.folder.clone();
            blocking(move || Ok(folder.forget_changes()?)).await?;
        }
        match obstacles.into_iter().next() {
            None => Ok(()),
            Some(path) => Err(FilesError::InTheWay { path }),
        }
    }
}

/// Where a disk that hangs holds up nothing else.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FilesError> + Send + 'static,
) -> Result<T, FilesError> {
    tokio::task::spawn_blocking(work).await.map_err(|panic| FilesError::NotWritten(io::Error::other(panic)))?
}

/// Files by their names.
type Contents = BTreeMap<String, Vec<u8>>;

/// Why files are not what they should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum FilesError {
    /// Others could put their own files there.
    #[error("the folder {0}")]
    Folder(#[from] FileError),
    /// Two outputs would undo each other's files.
    #[error("the folder is that of the output {} too, by another name; each output has its own", other.display())]
    OfAnother {
        /// As the other output calls it.
        other: PathBuf,
    },
    /// Nothing was changed.
    #[error("files can't be written, the ones before stay: {0}")]
    NotWritten(#[from] io::Error),
    /// All other files are there.
    #[error("{} is there and not ours; move it away, it is put in its place then", path.display())]
    InTheWay {
        /// The first of them.
        path: PathBuf,
    },
    /// The files are there.
    #[error(transparent)]
    Command(#[from] CommandError),
}

impl Coded for FilesError {
    fn code(&self) -> &'static str {
        match self {
            Self::Folder(error) => error.code(),
            Self::OfAnother { .. } => "folder-of-another-output",
            Self::NotWritten(_) => "files-not-written",
            Self::InTheWay { .. } => "file-in-the-way",
            Self::Command(error) => error.code(),
        }
    }
}

#[cfg(test)]
mod tests;
