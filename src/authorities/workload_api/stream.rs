//! One stream of a Workload API, opened again whenever it ends.

use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, StreamExt as _};
use rust_spiffe::{WorkloadApiClient, WorkloadApiError};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::authorities::backoff::doubled;
use crate::files::believed_socket;

use super::{WorkloadApi, WorkloadApiProblem};

/// Messages for as long as the connection lasts; a message is at most 4 MiB.
pub(super) type Messages<T> = BoxStream<'static, Result<T, WorkloadApiError>>;

/// Gives each message to `take`, and each reason for which there is none, until `stop`.
pub(super) async fn follow<T>(
    api: &WorkloadApi,
    open: impl Fn(WorkloadApiClient) -> BoxFuture<'static, Result<Messages<T>, WorkloadApiError>>,
    mut take: impl FnMut(Result<T, WorkloadApiProblem>),
    stop: &CancellationToken,
) {
    let mut failures: u32 = 0;
    loop {
        let mut messages: u64 = 0;
        let reading = read(api, &open, |message| {
            messages += 1;
            take(Ok(message));
        });
        let Some(ended) = stop.run_until_cancelled(reading).await else { return };
        failures = if messages > 0 { 0 } else { failures.saturating_add(1) };
        if let Err(problem) = ended {
            take(Err(problem));
        }
        let wait = wait(failures).mul_f64(1.0 - 0.1 * fastrand::f64());
        if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
            return;
        }
    }
}

/// Reads until the stream ends; that is no error once it has said something, as agents restart.
async fn read<T>(
    api: &WorkloadApi,
    open: &impl Fn(WorkloadApiClient) -> BoxFuture<'static, Result<Messages<T>, WorkloadApiError>>,
    mut take: impl FnMut(T),
) -> Result<(), WorkloadApiProblem> {
    let opened = async {
        // Whoever can replace the socket decides whom our peers trust.
        believed_socket::check(&api.socket, api.owner)?;
        let mut messages = open(WorkloadApiClient::connect(api.endpoint()).await?).await?;
        Ok::<_, WorkloadApiProblem>((messages.next().await, messages))
    };
    let (first, mut messages) = match timeout(FIRST_MESSAGE, opened).await {
        Ok(opened) => opened?,
        Err(_) => return Err(WorkloadApiProblem::Silent),
    };
    let mut next = Some(first.unwrap_or(Err(WorkloadApiError::EmptyResponse)));
    while let Some(message) = next {
        take(message?);
        next = messages.next().await;
    }
    Ok(())
}

/// 1 s, doubling to 30 s.
fn wait(failures: u32) -> Duration {
    doubled(SHORTEST, failures, LONGEST)
}

/// For connecting and the first message; whatever follows comes when keys change.
const FIRST_MESSAGE: Duration = Duration::from_secs(30);
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use futures_util::future::FutureExt as _;

    use super::*;

    #[test]
    fn a_stream_that_ends_is_opened_again_ever_less_often() {
        let seconds = [0, 1, 2, 3, 6, u32::MAX].map(|failures| wait(failures).as_secs());
        assert_eq!(seconds, [1, 1, 2, 4, 30, 30]);
    }

    #[tokio::test]
    async fn an_agent_in_whose_place_others_could_listen_is_not_connected_to() {
        let folder = tempfile::tempdir().unwrap();
        let open = folder.path().join("open");
        std::fs::create_dir_all(open.join("public")).unwrap();
        std::fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
        let socket = open.join("public/api.sock");
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        let api: WorkloadApi = format!("unix://{}", socket.display()).parse().unwrap();
        let open = |client: WorkloadApiClient| async move { Ok(client.stream_x509_bundles().await?.boxed()) }.boxed();
        let refused = read(&api, &open, |_| panic!("nothing was said")).await.unwrap_err();
        assert_eq!(refused.code(), "file-writable-by-others", "{refused}");
        assert!(listener.accept().is_err(), "nobody came");
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_that_says_nothing_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("agent.sock");
        let _listener = tokio::net::UnixListener::bind(&socket).unwrap();
        let api: WorkloadApi = format!("unix://{}", socket.display()).parse().unwrap();
        let open = |client: WorkloadApiClient| async move { Ok(client.stream_x509_bundles().await?.boxed()) }.boxed();
        let ended = read(&api, &open, |_| panic!("nothing was said")).await.unwrap_err();
        assert_eq!(ended.to_string(), WorkloadApiProblem::Silent.to_string());
    }
}
