//! Outputs that are asked: what they serve is kept at what their view shows.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::progress::Progress;
use super::view::View;

/// Keeps `out` at what `render` makes of the view and of what was served before, until `stop`. Whoever asks has the
/// newest from then on, so it counts as delivered.
pub(crate) async fn keep_serving<T>(
    mut views: watch::Receiver<Arc<View>>,
    out: watch::Sender<T>,
    progress: Arc<Progress>,
    render: impl Fn(&View, &T) -> T,
    stop: CancellationToken,
) {
    let mut shown = views.borrow_and_update().clone();
    out.send_modify(|served| *served = render(&shown, served));
    progress.delivered(shown.generation);
    while let Some(Ok(())) = stop.run_until_cancelled(views.changed()).await {
        let view = views.borrow_and_update().clone();
        if view.shows_the_same(&shown) {
            progress.is_at(view.generation);
        } else {
            out.send_modify(|served| *served = render(&view, served));
            progress.delivered(view.generation);
        }
        shown = view;
    }
}
