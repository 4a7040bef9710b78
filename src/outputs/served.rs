//! Outputs that are asked: what they serve is kept at what their view shows.

use std::panic::resume_unwind;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::progress::Progress;
use super::view::View;

/// Keeps `out` at what `render` makes of the view and of what was served before, until `stop`. Whoever asks has the
/// newest from then on, so it counts as delivered; until then, what was served before.
pub(crate) async fn keep_serving<T: Clone + Send + Sync + 'static>(
    mut views: watch::Receiver<Arc<View>>,
    out: watch::Sender<T>,
    progress: Arc<Progress>,
    render: impl Fn(&View, &T) -> T + Send + Sync + 'static,
    stop: CancellationToken,
) {
    let render = Arc::new(render);
    let mut shown: Option<Arc<View>> = None;
    loop {
        let view = views.borrow_and_update().clone();
        if shown.is_some_and(|shown| view.shows_the_same(&shown)) {
            progress.is_at(view.generation);
        } else {
            let (render, of, before) = (render.clone(), view.clone(), out.borrow().clone());
            // Of thousands of domains this takes a part of a second, in which others have to be served.
            let rendered = spawn_blocking(move || render(&of, &before)).await;
            out.send_replace(rendered.unwrap_or_else(|panic| resume_unwind(panic.into_panic())));
            progress.delivered(view.generation);
        }
        shown = Some(view);
        if !matches!(stop.run_until_cancelled(views.changed()).await, Some(Ok(()))) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use rustls::time_provider::DefaultTimeProvider;
    use tokio::task::JoinSet;
    use tokio::time::Instant;

    use super::*;
    use crate::federation::clock::Clock;
    use crate::federation::trust_feed::Generation;
    use crate::outputs::progress::Outputs;
    use crate::outputs::selection::Selected;

    #[tokio::test]
    async fn while_the_next_is_rendered_the_last_is_served() {
        let generation = Generation { number: 1, since: Instant::now() };
        let trust_domain = "a.example".parse().unwrap();
        let (_views, views) =
            watch::channel(Arc::new(View { trust_domain, selected: Selected::default(), generation }));
        let outputs = Outputs::new(Arc::new(Clock::new(Arc::new(DefaultTimeProvider), None)));
        let (out, mut served) = watch::channel("last");
        let ((begins, mut begun), (end, ends)) = (watch::channel(false), mpsc::channel());
        let ends = std::sync::Mutex::new(ends);
        let render = move |_: &View, _: &&'static str| {
            begins.send_replace(true);
            ends.lock().unwrap().recv().unwrap();
            "next"
        };
        let mut keeping = JoinSet::new();
        keeping.spawn(keep_serving(views, out, outputs.add("http", String::new()), render, CancellationToken::new()));
        begun.wait_for(|begun| *begun).await.unwrap();
        assert_eq!(*served.borrow(), "last");
        end.send(()).unwrap();
        served.wait_for(|served| *served == "next").await.unwrap();
    }
}
