//! What the listeners count themselves; everything else on `/metrics` is a view of the state.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counters of the listeners. Cheap to clone; clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    requests: Family<RequestLabels, Counter>,
    connections: Family<ProfileLabels, Gauge>,
    accepted: Family<ProfileLabels, Counter>,
    waiting: Family<ProfileLabels, Gauge>,
    reloads: Family<ReloadLabels, Counter>,
    checks: Family<CheckLabels, Counter>,
    orders: Family<OrderLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    profile: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProfileLabels {
    profile: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReloadLabels {
    profile: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CheckLabels {
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OrderLabels {
    result: &'static str,
}

impl Metrics {
    /// Counts one answer of a bundle endpoint.
    pub(super) fn count_request(&self, profile: &'static str, status: u16) {
        self.requests.get_or_create(&RequestLabels { profile, status }).inc();
    }

    /// Counts a connection whose handshake succeeded, as open until the value is dropped.
    pub(super) fn open_connection(&self, profile: &'static str) -> Counted {
        self.accepted.get_or_create(&ProfileLabels { profile }).inc();
        Counted::more(self.connections.get_or_create_owned(&ProfileLabels { profile }))
    }

    /// Counts a request that waits for a change until the value is dropped.
    pub(super) fn waiting(&self, profile: &'static str) -> Counted {
        Counted::more(self.waiting.get_or_create_owned(&ProfileLabels { profile }))
    }

    /// Counts a change of certificate files: `ok`, or the code of what is wrong with them.
    pub(super) fn count_reload(&self, profile: &'static str, result: &'static str) {
        self.reloads.get_or_create(&ReloadLabels { profile, result }).inc();
    }

    /// Counts a check of a client: `allowed`, or the code of why not.
    pub(super) fn count_check(&self, code: &'static str) {
        self.checks.get_or_create(&CheckLabels { code }).inc();
    }

    /// Counts an attempt to have a certificate issued: `ok`, or the code of what went wrong.
    pub(crate) fn count_order(&self, result: &'static str) {
        self.orders.get_or_create(&OrderLabels { result }).inc();
    }

    #[cfg(test)]
    pub(super) fn open_connections(&self, profile: &'static str) -> i64 {
        self.connections.get_or_create(&ProfileLabels { profile }).get()
    }

    #[cfg(test)]
    pub(super) fn requests(&self, profile: &'static str, status: u16) -> u64 {
        self.requests.get_or_create(&RequestLabels { profile, status }).get()
    }

    #[cfg(test)]
    pub(super) fn waits(&self, profile: &'static str) -> i64 {
        self.waiting.get_or_create(&ProfileLabels { profile }).get()
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let prefix = registry.sub_registry_with_prefix("comity_endpoint");
        prefix.register("requests", "Answers of the bundle endpoint, by HTTP status", self.requests.clone());
        prefix.register("connections", "Connections accepted, after their TLS handshake", self.accepted.clone());
        prefix.register("open_connections", "Connections open now", self.connections.clone());
        prefix.register("waiting", "Requests that wait for the bundle to change", self.waiting.clone());
        prefix.register("tls_reloads", "Changes of certificate files seen, by result", self.reloads.clone());
        let prefix = registry.sub_registry_with_prefix("comity_authorization");
        prefix.register("checks", "Clients that proxies asked about, by outcome", self.checks.clone());
        let prefix = registry.sub_registry_with_prefix("comity_acme");
        prefix.register("orders", "Attempts to have a certificate issued, by result", self.orders.clone());
    }
}

/// Something that is there now, counted until it is dropped.
pub(super) struct Counted(Gauge);

impl Counted {
    fn more(gauge: Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
