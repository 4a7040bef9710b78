//! Whether the store is where a restart will look for it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::store::Store;

/// Says once when the store's files are taken away under the service, and once when they are back.
pub(super) async fn watch_place(store: Arc<dyn Store>, stop: CancellationToken) -> io::Result<()> {
    let mut in_place = true;
    while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
        let found = store.check_place();
        match &found {
            Err(error) if in_place => error!(code = error.code(), %error, "the store is not in its place"),
            Ok(()) if !in_place => info!("the store is in its place again"),
            _ => {}
        }
        in_place = found.is_ok();
    }
    Ok(())
}

const EVERY: Duration = Duration::from_secs(1);
