//! The gRPC listener, from configuration to service.

use std::io;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::{Config, GrpcConfig};
use crate::federation::Federation;
use crate::files::unix_socket::{Purpose, UnixSocket};
use crate::grpc::access::AccessRules;
use crate::grpc::feed::Feeds;
use crate::grpc::listener::serve_grpc;
use crate::grpc::sds::SecretDiscovery;
use crate::grpc::services::Services;
use crate::grpc::workload::WorkloadApi;
use crate::outputs::progress::Outputs;
use crate::outputs::view::Views;

use super::Tasks;
use super::error::StartError;

/// The listener, bound.
pub(super) struct Grpc {
    config: GrpcConfig,
    socket: UnixSocket,
}

impl Grpc {
    pub(super) fn bind(config: &GrpcConfig) -> Result<Self, StartError> {
        Ok(Self { config: config.clone(), socket: UnixSocket::bind(&config.socket, Purpose::Workloads)? })
    }

    pub(super) fn serve(
        self,
        federation: &Federation,
        views: &Views,
        outputs: &Outputs,
        configured: watch::Receiver<Arc<Config>>,
        tasks: &mut Tasks,
    ) {
        let Self { config, socket } = self;
        let socket_path = config.socket.display().to_string();
        if config.rules.allow.is_empty() {
            warn!(code = "no-workload-allowed", "outputs.grpc.allow is empty: every process is refused");
        }
        info!(socket = socket_path, "serving workloads on the gRPC socket");
        let (changed, rules) = watch::channel(Arc::new(config.rules));
        tasks.essential("gRPC rules", follow_rules(configured, changed, tasks.stop.clone()));
        let feeds = Feeds::new(views.clone(), rules, tasks.stop.clone());
        tasks.essential("gRPC feeds", feeds.clone().run());
        let workload_api = || {
            let progress = outputs.add("workload_api", socket_path.clone());
            WorkloadApi::new(feeds.clone(), federation.verifier().clone(), views.clock.clone(), progress)
        };
        let sds = |names| SecretDiscovery::new(feeds.clone(), names, outputs.add("sds", socket_path.clone()));
        let services = Services { workload_api: config.workload_api.then(workload_api), sds: config.sds.map(sds) };
        tasks.essential("gRPC", serve_grpc(socket, services, feeds, tasks.stop.clone()));
    }
}

/// Takes over changed rules. A section that is gone lets in nobody.
async fn follow_rules(
    mut configured: watch::Receiver<Arc<Config>>,
    rules: watch::Sender<Arc<AccessRules>>,
    stop: CancellationToken,
) -> io::Result<()> {
    while let Some(Ok(())) = stop.run_until_cancelled(configured.changed()).await {
        let config = configured.borrow_and_update().clone();
        let new = config.outputs.grpc.as_ref().map(|grpc| grpc.rules.clone()).unwrap_or_default();
        rules.send_replace(Arc::new(new));
    }
    stop.cancelled().await;
    Ok(())
}
