//! Noticing that files may have changed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify_debouncer_full::notify::event::{AccessKind, AccessMode};
use notify_debouncer_full::notify::{EventKind, RecommendedWatcher, RecursiveMode};
use notify_debouncer_full::{DebounceEventResult, Debouncer, RecommendedCache, new_debouncer};
use tokio::sync::Notify;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::trusted::folder_of;

/// Wakes whoever re-reads some files: soon after an event in their folders, and every second anyhow,
/// since network file systems and links into other folders tell nothing.
///
/// Folders are watched, never files, because Kubernetes and careful writers replace them. What is
/// woken compares contents.
pub(crate) struct FileWatch {
    changed: Arc<Notify>,
    tick: Interval,
    _events: Option<Debouncer<RecommendedWatcher, RecommendedCache>>,
}

impl FileWatch {
    /// Watches files and folders; those that don't exist yet are left to the clock.
    pub(crate) fn new<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Self {
        let folders: BTreeSet<&Path> =
            paths.into_iter().map(|path| if path.is_dir() { path } else { folder_of(path) }).collect();
        let changed = Arc::new(Notify::new());
        let mut tick = interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { tick, _events: events(folders, changed.clone()), changed }
    }

    /// Waits until it is worth to look again. Safe to cancel.
    pub(crate) async fn changed(&mut self) {
        tokio::select! {
            () = self.changed.notified() => {}
            _ = self.tick.tick() => {}
        }
    }
}

fn events(folders: BTreeSet<&Path>, changed: Arc<Notify>) -> Option<Debouncer<RecommendedWatcher, RecommendedCache>> {
    let handler = move |events: DebounceEventResult| {
        if events.map_or(true, |events| events.iter().any(|event| is_change(event.kind))) {
            changed.notify_one();
        }
    };
    let mut debouncer = new_debouncer(QUIET, Some(QUIET), handler)
        .inspect_err(|error| tracing::debug!(%error, "no file events; looking every second"))
        .ok()?;
    for folder in folders {
        if let Err(error) = debouncer.watch(PathBuf::from(folder), RecursiveMode::NonRecursive) {
            tracing::debug!(folder = %folder.display(), %error, "no events from this folder; looking every second");
        }
    }
    Some(debouncer)
}

/// Our own reading is an event too, which must not wake us again.
fn is_change(kind: EventKind) -> bool {
    !matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}

/// How long a folder must be quiet before an event counts.
const QUIET: Duration = Duration::from_millis(200);
/// Time between two looks without any event.
const EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn reading_a_file_wakes_nobody_and_writing_it_does() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tls.crt");
        std::fs::write(&file, "old").unwrap();
        let changed = Arc::new(Notify::new());
        let _events = events(BTreeSet::from([folder.path()]), changed.clone()).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"old");
        assert!(tokio::time::timeout(QUIET * 3, changed.notified()).await.is_err());
        std::fs::write(&file, "new").unwrap();
        tokio::time::timeout(Duration::from_secs(2), changed.notified()).await.unwrap();
    }
}
