//! What a listener serves: the services that are on, and a description of them.

use tonic::service::Routes;
use tonic_reflection::server::Builder;

use super::sds::SecretDiscovery;
use super::workload::{DESCRIPTOR, WorkloadApi};

/// The services of one listener.
pub(crate) struct Services {
    pub(crate) workload_api: Option<WorkloadApi>,
    pub(crate) sds: Option<SecretDiscovery>,
}

impl Services {
    /// With server reflection, for people and their tools (WL-17).
    pub(super) fn routes(self) -> Routes {
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
        routes.add_service(reflection.build_v1().expect("a test reads the descriptors"))
    }
}
