//! What sources other than files say of themselves, on one board that everybody can read.

use std::sync::Arc;

use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use tokio::sync::watch;

use crate::spiffe::authority::{Authority, SvidType};
use crate::spiffe::bundle::Authorities;
use crate::spiffe::document::ignored::IgnoredElement;

/// One source and what it last brought.
#[derive(Clone, Debug)]
pub(crate) struct SourceState {
    /// Its URL or socket.
    pub(crate) name: String,
    /// The only keys that it can have.
    pub(crate) svid_type: SvidType,
    /// The keys it last had; `None` until it has been read for the first time since the start.
    pub(crate) authorities: Option<Authorities>,
    /// Whether it has said often enough what it has, for what it lacks to count as gone.
    pub(crate) is_settled: bool,
    /// What it holds besides, which is no authority.
    pub(crate) ignored: Vec<IgnoredElement>,
    /// When that was.
    pub(crate) last_success: Option<UnixTime>,
    /// Why the newest attempt brought nothing.
    pub(crate) problem: Option<SourceProblem>,
}

impl SourceState {
    /// One that has not been read.
    pub(crate) fn unread(name: String, svid_type: SvidType) -> Self {
        Self {
            name,
            svid_type,
            authorities: None,
            is_settled: false,
            ignored: Vec::new(),
            last_success: None,
            problem: None,
        }
    }
}

/// Why a source was not read, or why what it brought is not published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SourceProblem {
    /// Stable identifier; see docs/problems.md.
    pub(crate) code: &'static str,
    /// For the operator; never a secret.
    pub(crate) detail: String,
    /// Since when it is so.
    pub(crate) since: Option<UnixTime>,
}

/// What a source holds now.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) authorities: Vec<Authority>,
    pub(crate) ignored: Vec<IgnoredElement>,
}

impl Found {
    /// A source that has no keys and never had.
    pub(crate) fn nothing() -> Self {
        Self { authorities: Vec::new(), ignored: Vec::new() }
    }
}

/// Reading what a source says ended in a panic, which is a mistake of ours.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("what it says made Comity stumble; please report it")]
pub(crate) struct Panicked;

impl Panicked {
    /// Stable identifier; see docs/problems.md.
    pub(crate) fn code(self) -> &'static str {
        "source-panicked"
    }
}

/// All sources other than files, in the order of the configuration.
pub(crate) type Board = watch::Sender<Vec<SourceState>>;

/// A board on which none of these sources has been read.
pub(crate) fn board(sources: impl IntoIterator<Item = (String, SvidType)>) -> Board {
    watch::Sender::new(sources.into_iter().map(|(name, svid_type)| SourceState::unread(name, svid_type)).collect())
}

/// One source's place on the board.
#[derive(Clone)]
pub(crate) struct Reporter {
    board: Board,
    place: usize,
    clock: Arc<dyn TimeProvider>,
}

impl Reporter {
    pub(crate) fn new(board: Board, place: usize, clock: Arc<dyn TimeProvider>) -> Self {
        Self { board, place, clock }
    }

    /// Whether it has been read since the start.
    pub(crate) fn has_been_read(&self) -> bool {
        self.board.borrow()[self.place].authorities.is_some()
    }

    /// Whether what it last had is anything at all.
    pub(crate) fn has_keys(&self) -> bool {
        self.board.borrow()[self.place].authorities.as_ref().is_some_and(|authorities| !authorities.is_empty())
    }

    /// Notes what the source holds, and says so if that is new.
    pub(crate) fn found(&self, found: Found) {
        self.note(found, true);
    }

    /// The same where the next answer may still have keys that this one lacks.
    pub(crate) fn found_at_first(&self, found: Found) {
        self.note(found, false);
    }

    fn note(&self, found: Found, is_settled: bool) {
        let (now, authorities) = (self.clock.current_time(), found.authorities.into_iter().collect());
        self.board.send_modify(|board| {
            let state = &mut board[self.place];
            let source = &state.name;
            if state.problem.take().is_some() {
                tracing::info!(source, "source of authorities is good again");
            }
            if state.authorities.as_ref() != Some(&authorities) || state.ignored != found.ignored {
                let (keys, ignored) = (authorities.len(), found.ignored.len());
                tracing::info!(source, keys, ignored, "source of authorities read");
            }
            (state.authorities, state.ignored, state.last_success) = (Some(authorities), found.ignored, now);
            state.is_settled |= is_settled;
        });
    }

    /// Notes that it brought nothing: what it last had stays. The log has it once per code.
    pub(crate) fn failed(&self, code: &'static str, detail: String) {
        let now = self.clock.current_time();
        self.board.send_modify(|board| {
            let state = &mut board[self.place];
            let before = state.problem.as_ref().filter(|problem| problem.code == code);
            if before.is_none() {
                let source = &state.name;
                tracing::warn!(source, code, detail, "source of authorities not used; its last good keys stay");
            }
            let since = before.map_or(now, |problem| problem.since);
            state.problem = Some(SourceProblem { code, detail, since });
        });
    }
}
