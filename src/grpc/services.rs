//! What a listener serves: the services that are on, and a description of them.

use std::sync::Arc;

use tonic::service::interceptor::InterceptedService;
use tonic::service::{Interceptor, Routes};
use tonic::{Request, Status};
use tonic_reflection::server::Builder;

use super::access::Caller;
use super::feed::Feeds;
use super::sds::SecretDiscovery;
use super::workload::{DESCRIPTOR, WorkloadApi};

/// The services of one listener.
pub(crate) struct Services {
    pub(crate) workload_api: Option<WorkloadApi>,
    pub(crate) sds: Option<SecretDiscovery>,
}

impl Services {
    /// With server reflection, for people and their tools (WL-17).
    pub(super) fn routes(self, feeds: &Arc<Feeds>) -> Routes {
        let mut reflection = Builder::configure();
        let mut routes = Routes::default();
        if let Some(workload_api) = self.workload_api {
            reflection = reflection.register_encoded_file_descriptor_set(DESCRIPTOR);
            routes = routes.add_service(workload_api);
        }
        // Without a description: envoy-types has none.
        if let Some(sds) = self.sds {
            routes = routes.add_service(sds.into_service());
        }
        let reflection = reflection.build_v1().expect("a test reads the descriptors");
        let reflection = reflection.max_decoding_message_size(SYMBOL_BYTES);
        routes.add_service(InterceptedService::new(reflection, known_callers(feeds.clone())))
    }
}

/// Refuses whom no rule fits, before anything of a request is read.
fn known_callers(feeds: Arc<Feeds>) -> impl Interceptor + Clone {
    move |request: Request<()>| match caller(&request)? {
        caller if feeds.knows(caller) => Ok(request),
        _ => Err(denied()),
    }
}

/// Who asks.
pub(super) fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    request.extensions().get::<Caller>().copied().ok_or_else(denied)
}

pub(super) fn denied() -> Status {
    Status::permission_denied("no rule of outputs.grpc shows anything to this user and group")
}

/// Of a request for a description, which asks by a name.
const SYMBOL_BYTES: usize = 1 << 10;
