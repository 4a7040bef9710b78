//! The outputs, from configuration to service.

use std::sync::Arc;

use tokio::sync::watch;

use crate::config::OutputsConfig;
use crate::export::files::FilesSink;
use crate::export::{Sink, export};
use crate::outputs::progress::Outputs;
use crate::outputs::selection::Selection;
use crate::outputs::view::{View, Views};

use super::Tasks;

/// Starts every output; none of them waits for another, nor holds up the service.
pub(super) fn start(config: &OutputsConfig, views: &Views, outputs: &Outputs, tasks: &mut Tasks) {
    for output in &config.files {
        let target = ("files", output.folder.display().to_string());
        push(FilesSink::new(output), target, &output.selection, (views, outputs), tasks);
    }
}

fn push(
    sink: impl Sink + 'static,
    (kind, target): (&'static str, String),
    selection: &Selection,
    (views, outputs): (&Views, &Outputs),
    tasks: &mut Tasks,
) {
    let progress = outputs.add(kind, target);
    let (view, stop) = (follow(selection, views, tasks), tasks.stop.clone());
    tasks.endless(kind, async move { export(sink, view, progress, stop).await });
}

/// What the selection shows, from now until the service stops.
fn follow(selection: &Selection, views: &Views, tasks: &mut Tasks) -> watch::Receiver<Arc<View>> {
    let (out, view) = watch::channel(Arc::new(views.look(selection)));
    let (selection, views, stop) = (selection.clone(), views.clone(), tasks.stop.clone());
    tasks.endless("outputs", async move { views.follow(selection, out, stop).await });
    view
}
