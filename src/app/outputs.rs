//! The outputs that push, from configuration to service.

use std::sync::Arc;

use tokio::sync::watch;

use crate::config::OutputsConfig;
use crate::export::files::{Claims, FilesSink};
use crate::export::object_storage::ObjectStorage;
use crate::export::{Sink, export};
use crate::federation::publisher::Publisher;
use crate::outputs::progress::{Outputs, Progress};
use crate::outputs::selection::Selection;
use crate::outputs::view::Views;

use super::Tasks;

/// Starts every output; none of them waits for another, nor holds up the service.
pub(super) fn start(
    config: &OutputsConfig,
    views: &Views,
    publisher: &Publisher,
    outputs: &Outputs,
    tasks: &mut Tasks,
) {
    let claims = Claims::default();
    for output in &config.files {
        let progress = outputs.add("files", output.folder.display().to_string());
        push(FilesSink::new(output, &claims), output.selection.clone(), progress, views, tasks);
    }
    for output in &config.spire {
        let progress = outputs.add("spire", output.server.to_string());
        push(output.clone(), output.selection.clone(), progress, views, tasks);
    }
    for place in &config.object_storage {
        let progress = outputs.add("object_storage", place.url.to_string());
        let sink = ObjectStorage { place: place.clone(), published: publisher.published() };
        push(sink, Selection::only(&views.trust_domain), progress, views, tasks);
    }
}

/// Takes what a selection shows to one place, for as long as the service runs.
fn push(sink: impl Sink + 'static, selection: Selection, progress: Arc<Progress>, views: &Views, tasks: &mut Tasks) {
    let (out, view) = watch::channel(Arc::new(views.look(&selection)));
    let (views, stop) = (views.clone(), tasks.stop.clone());
    tasks.endless(progress.kind, async move {
        tokio::join!(export(sink, view, progress, stop.clone()), views.follow(selection, out, stop));
    });
}
