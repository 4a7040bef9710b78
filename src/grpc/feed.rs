//! What callers see, kept at the newest: one feed for all that may see the same.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::JoinMap;

use crate::outputs::selection::Selection;
use crate::outputs::view::{View, Views};

use super::access::{AccessRules, Caller};
use super::workload::rendered::Rendered;

/// All feeds of a listener, one for each distinct selection that somebody follows.
pub(crate) struct Feeds {
    views: Views,
    rules: watch::Receiver<Arc<AccessRules>>,
    stop: CancellationToken,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    feeds: BTreeMap<Selection, Weak<Feed>>,
    followers: JoinMap<Selection, ()>,
}

/// One selection, followed for as long as somebody holds it.
pub(crate) struct Feed {
    pub(crate) selection: Selection,
    /// What was last made of a view, for all who hold the feed.
    pub(super) rendered: Mutex<Option<Rendered>>,
    views: watch::Receiver<Arc<View>>,
    _follower: DropGuard,
}

/// What one caller follows.
pub(crate) struct Subscription {
    feeds: Arc<Feeds>,
    caller: Caller,
    rules: watch::Receiver<Arc<AccessRules>>,
    feed: Arc<Feed>,
    views: watch::Receiver<Arc<View>>,
}

/// Why a subscription wakes.
pub(crate) enum News {
    /// Another generation, other rules, or both; it may show the same as before.
    View(Arc<View>),
    /// The caller may no longer see anything.
    Denied,
    /// The service stops.
    Stopped,
}

impl Feeds {
    /// `rules` count at once when they change.
    pub(crate) fn new(views: Views, rules: watch::Receiver<Arc<AccessRules>>, stop: CancellationToken) -> Arc<Self> {
        Arc::new(Self { views, rules, stop, open: Mutex::default() })
    }

    /// Whether and what a caller may see at this moment.
    pub(crate) fn selection(&self, caller: Caller) -> Option<Selection> {
        self.rules.borrow().selection(caller, &self.views.trust_domain)
    }

    /// Whether some rule fits the caller at this moment.
    pub(super) fn knows(&self, caller: Caller) -> bool {
        self.selection(caller).is_some()
    }

    /// `None` if the caller may see nothing.
    pub(crate) fn subscribe(self: &Arc<Self>, caller: Caller) -> Option<Subscription> {
        let mut rules = self.rules.clone();
        // Before the rules are read: a change meanwhile is seen as one.
        rules.mark_unchanged();
        let feed = self.feed(self.selection(caller)?);
        let views = feed.views.clone();
        Some(Subscription { feeds: self.clone(), caller, rules, feed, views })
    }

    /// Ends when the service stops and all followers have ended.
    pub(crate) async fn run(self: Arc<Self>) -> io::Result<()> {
        self.stop.cancelled().await;
        let mut followers = std::mem::take(&mut self.open().followers);
        while followers.join_next().await.is_some() {}
        Ok(())
    }

    fn feed(&self, selection: Selection) -> Arc<Feed> {
        let mut open = self.open();
        if let Some(feed) = open.feeds.get(&selection).and_then(Weak::upgrade) {
            return feed;
        }
        open.feeds.retain(|_, feed| feed.strong_count() > 0);
        while open.followers.try_join_next().is_some() {}
        let follower = self.stop.child_token();
        let (out, views) = watch::channel(Arc::new(self.views.look(&selection)));
        let feed = Feed {
            selection: selection.clone(),
            rendered: Mutex::default(),
            views,
            _follower: follower.clone().drop_guard(),
        };
        let feed = Arc::new(feed);
        open.feeds.insert(selection.clone(), Arc::downgrade(&feed));
        let views = self.views.clone();
        // In place of the follower of a feed that nobody holds any more, if it hasn't ended yet.
        open.followers.spawn(selection.clone(), async move { views.follow(selection, out, follower).await });
        feed
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscription {
    /// What is shown now.
    pub(crate) fn view(&mut self) -> Arc<View> {
        self.views.borrow_and_update().clone()
    }

    /// What callers with the same rights share.
    pub(crate) fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// What is left to a caller that may see nothing any longer.
    pub(crate) fn own_alone(&self) -> View {
        let views = &self.feeds.views;
        let trust_domains = Some(std::iter::once(views.trust_domain.clone()).collect());
        views.look(&Selection { trust_domains, shared_authorities: false })
    }

    /// Waits for the next generation, or for rules that change what the caller may see.
    pub(crate) async fn news(&mut self) -> News {
        loop {
            tokio::select! {
                biased;
                () = self.feeds.stop.cancelled() => return News::Stopped,
                changed = self.rules.changed() => {
                    // Without a sender the rules stay as they are until the service stops.
                    if changed.is_err() {
                        return News::Stopped;
                    }
                    let Some(selection) = self.feeds.selection(self.caller) else { return News::Denied };
                    if selection != self.feed.selection {
                        self.feed = self.feeds.feed(selection);
                        self.views = self.feed.views.clone();
                        return News::View(self.view());
                    }
                }
                changed = self.views.changed() => match changed {
                    Ok(()) => return News::View(self.view()),
                    Err(_) => return News::Stopped,
                }
            }
        }
    }
}
