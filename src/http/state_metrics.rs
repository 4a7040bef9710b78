//! `/metrics` as a view of the state at the time of the scrape: nothing is kept twice.

use std::collections::BTreeMap;
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::federation::status::{AuthoritySourceStatus, RelationshipState, RelationshipStatus, ServiceStatus, Warning};
use crate::federation::timestamp::Timestamp;
use crate::spiffe::authority::SvidType;

use super::operations::Operations;
use super::output_metrics::encode_outputs;

/// Encodes the state of the service, its relationships and its certificates.
pub(super) struct StateMetrics(pub(super) Operations);

impl fmt::Debug for StateMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateMetrics").finish_non_exhaustive()
    }
}

impl Collector for StateMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let service = self.0.service();
        encode_service(&mut encoder, &service)?;
        encode_sources(&mut encoder, &service.sources)?;
        let relationships = self.0.federation.relationships();
        encode_numbers(&mut encoder, &relationships)?;
        encode_classes(&mut encoder, &relationships)?;
        self.encode_counts(&mut encoder)?;
        self.encode_verdicts(&mut encoder)?;
        encode_outputs(&mut encoder, &self.0.outputs)?;
        self.encode_certificates(&mut encoder)
    }
}

impl StateMetrics {
    fn encode_counts(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let counters = self.0.federation.counters();
        for (name, help, counts) in [
            ("comity_fetches", "Polls of a foreign bundle, by outcome", counters.polls.counts()),
            ("comity_ignored_elements", "Elements of fetched documents that were ignored", counters.elements.counts()),
            ("comity_verdict_lapses", "What issuers must and did not, in accepted SVIDs", counters.lapses.counts()),
        ] {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (trust_domain, code, count) in counts {
                let labels = [("trust_domain", trust_domain.as_str()), ("code", code)];
                ConstCounter::new(count).encode(metric.encode_family(&labels)?)?;
            }
        }
        let help = "From when a poll was due to when it began";
        let lateness = encoder.encode_descriptor("comity_poll_lateness_seconds", help, None, MetricType::Histogram)?;
        counters.lateness.encode(lateness)
    }

    /// How verdicts end, and how the memory of them does.
    fn encode_verdicts(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Verdicts about the present, by outcome";
        let mut metric = encoder.encode_descriptor("comity_verdicts", help, None, MetricType::Counter)?;
        for (svid_type, code, count) in self.0.federation.counters().verdicts.counts() {
            let labels = [("svid_type", svid_type.as_str()), ("code", code)];
            ConstCounter::new(count).encode(metric.encode_family(&labels)?)?;
        }
        let (x509, jwt) = self.0.federation.verifier().statistics();
        let help = "Questions to the memory of verdicts, and verdicts that made room for others";
        let mut metric = encoder.encode_descriptor("comity_verdict_cache_events", help, None, MetricType::Counter)?;
        for (svid_type, seen) in [(SvidType::X509Svid, x509), (SvidType::JwtSvid, jwt)] {
            for (event, count) in [("hit", seen.hits), ("miss", seen.misses), ("eviction", seen.evictions)] {
                let labels = [("svid_type", svid_type.as_str()), ("event", event)];
                ConstCounter::new(count).encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn encode_certificates(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let endpoints = &self.0.endpoints;
        let expiries =
            endpoints.iter().filter_map(|tls| Some(([("profile", tls.profile())], tls.not_after()?.as_secs())));
        gauge(encoder, "comity_endpoint_certificate_expiry_timestamp_seconds", "End of the served leaf", expiries)?;
        let problems = endpoints.iter().filter_map(|tls| {
            let problem = tls.problem()?;
            Some(([("profile", tls.profile()), ("code", problem.code)], 1))
        });
        gauge(encoder, "comity_endpoint_certificate_problem", "1 while the files can't be served", problems)
    }
}

fn encode_service(encoder: &mut DescriptorEncoder<'_>, service: &ServiceStatus) -> fmt::Result {
    let (name, version) = (service.trust_domain.as_str(), service.version.as_str());
    let build = [([("version", version), ("trust_domain", name)], 1)];
    gauge(encoder, "comity_build_info", "Version and trust domain", build)?;
    let none: [(&str, &str); 0] = [];
    for (name, help, value) in [
        ("comity_start_timestamp_seconds", "When the service started", Some(service.started.as_secs())),
        ("comity_ready", "1 when /readyz says yes", Some(u64::from(service.not_ready.is_empty()))),
        ("comity_bundle_sequence", "spiffe_sequence of our own bundle", service.sequence),
        ("comity_snapshot_generation", "Changes of trust since the start", Some(service.snapshot_generation)),
        ("comity_relationships", "Federation relationships", u64::try_from(service.relationships).ok()),
    ] {
        gauge(encoder, name, help, value.map(|value| (none, value)))?;
    }
    let warnings = by_code(&service.warnings).into_iter().map(|(code, count)| ([("code", code)], count));
    gauge(encoder, "comity_warnings", "Warnings about the service, by code", warnings)
}

/// Where our own keys come from besides files.
fn encode_sources(encoder: &mut DescriptorEncoder<'_>, sources: &[AuthoritySourceStatus]) -> fmt::Result {
    let keys = sources.iter().flat_map(|source| {
        let counts = [("x509-svid", source.x509_authorities), ("jwt-svid", source.jwt_authorities)];
        let labels = |svid_type| [("source", source.source.as_str()), ("svid_type", svid_type)];
        counts.map(|(svid_type, count)| (labels(svid_type), u64::try_from(count).unwrap_or(u64::MAX)))
    });
    gauge(encoder, "comity_authority_source_authorities", "Keys that the source last had, by SVID type", keys)?;
    let successes =
        sources.iter().filter_map(|source| Some(([("source", source.source.as_str())], seconds(source.last_success)?)));
    let name = "comity_authority_source_last_success_timestamp_seconds";
    gauge(encoder, name, "When the source was last read", successes)?;
    let problems = sources.iter().filter_map(|source| {
        let error = source.last_error.as_ref()?;
        Some(([("source", source.source.as_str()), ("code", error.code.as_str())], 1))
    });
    gauge(encoder, "comity_authority_source_problem", "1 while the source can't be read", problems)
}

/// A label set may come only once, however many warnings share a code.
fn by_code(warnings: &[Warning]) -> BTreeMap<&str, u64> {
    warnings.iter().fold(BTreeMap::new(), |mut counts, warning| {
        *counts.entry(warning.code.as_str()).or_default() += 1;
        counts
    })
}

/// One number, or none, per relationship.
fn encode_numbers(encoder: &mut DescriptorEncoder<'_>, relationships: &[RelationshipStatus]) -> fmt::Result {
    for (name, help, value) in NUMBERS {
        let rows = relationships.iter().filter_map(|relationship| {
            let value = value(relationship)?;
            Some(([("trust_domain", relationship.trust_domain.as_str())], value))
        });
        gauge(encoder, name, help, rows)?;
    }
    Ok(())
}

/// What has a second label.
fn encode_classes(encoder: &mut DescriptorEncoder<'_>, relationships: &[RelationshipStatus]) -> fmt::Result {
    let labelled = |name: &'static str| {
        move |relationship: &RelationshipStatus, label: &str, value: u64| {
            let trust_domain = relationship.trust_domain.to_string();
            ([("trust_domain", trust_domain), (name, label.to_owned())], value)
        }
    };
    let state = labelled("state");
    let states = relationships.iter().flat_map(|relationship| {
        STATES.iter().map(move |(is, name)| state(relationship, name, u64::from(*is == relationship.state)))
    });
    gauge(encoder, "comity_relationship_state", "1 for the state that the relationship is in", states)?;
    let svid_type = labelled("svid_type");
    let authorities = relationships.iter().flat_map(|relationship| {
        let counts = [("x509-svid", relationship.x509_authorities), ("jwt-svid", relationship.jwt_authorities)];
        counts.map(|(name, count)| svid_type(relationship, name, u64::try_from(count).unwrap_or(u64::MAX)))
    });
    gauge(encoder, "comity_relationship_authorities", "Usable authorities, by SVID type", authorities)?;
    let via = labelled("via");
    let hosts = relationships.iter().filter_map(|relationship| {
        let host = relationship.via.first()?;
        Some(via(relationship, host.as_str(), u64::try_from(relationship.via.len()).unwrap_or(u64::MAX)))
    });
    gauge(
        encoder,
        "comity_relationship_via",
        "Length of the chain of domains that speak for it, by the nearest",
        hosts,
    )?;
    let code = labelled("code");
    let warnings = relationships.iter().flat_map(|relationship| {
        by_code(&relationship.warnings).into_iter().map(move |(name, count)| code(relationship, name, count))
    });
    gauge(encoder, "comity_relationship_warnings", "Warnings about the relationship, by code", warnings)
}

fn gauge<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    rows: impl IntoIterator<Item = (L, u64)>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in rows {
        ConstGauge::new(value).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

type Number = fn(&RelationshipStatus) -> Option<u64>;

const NUMBERS: [(&str, &str, Number); 9] = [
    ("comity_relationship_age_seconds", "Time since the accepted contents were last served to us", |r| r.age_seconds),
    ("comity_relationship_sequence", "spiffe_sequence of the accepted bundle", |r| r.sequence),
    ("comity_relationship_revision", "Our number of the accepted bundle", |r| r.revision),
    ("comity_relationship_last_success_timestamp_seconds", "Last fetch that succeeded", |r| seconds(r.last_success)),
    ("comity_relationship_last_attempt_timestamp_seconds", "Last fetch", |r| seconds(r.last_attempt)),
    ("comity_relationship_next_poll_timestamp_seconds", "Next fetch", |r| seconds(r.next_poll)),
    ("comity_relationship_soonest_authority_expiry_timestamp_seconds", "First end of a usable authority", |r| {
        seconds(r.soonest_authority_expiry)
    }),
    ("comity_relationship_consecutive_failures", "Fetches failed since the last success", |r| {
        Some(r.consecutive_failures)
    }),
    ("comity_relationship_held_documents", "Documents that wait for a decision", |r| u64::try_from(r.held.len()).ok()),
];

const STATES: [(RelationshipState, &str); 7] = [
    (RelationshipState::Bootstrapping, "bootstrapping"),
    (RelationshipState::Current, "current"),
    (RelationshipState::Failing, "failing"),
    (RelationshipState::Stale, "stale"),
    (RelationshipState::Held, "held"),
    (RelationshipState::NeedsBootstrap, "needs_bootstrap"),
    (RelationshipState::Expired, "expired"),
];

fn seconds(time: Option<Timestamp>) -> Option<u64> {
    time.map(Timestamp::as_secs)
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;
    use crate::http::fixtures::relationship;

    #[derive(Debug)]
    struct Sample(RelationshipStatus);

    impl Collector for Sample {
        fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
            encode_numbers(&mut encoder, std::slice::from_ref(&self.0))?;
            encode_classes(&mut encoder, std::slice::from_ref(&self.0))
        }
    }

    fn scraped(relationship: RelationshipStatus) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Sample(relationship)));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn a_scrape_shows_the_relationship_as_it_is() {
        let text = scraped(relationship(true));
        for line in [
            "comity_relationship_age_seconds{trust_domain=\"b.example\"} 1",
            "comity_relationship_sequence{trust_domain=\"b.example\"} 18446744073709551615",
            "comity_relationship_next_poll_timestamp_seconds{trust_domain=\"b.example\"} 1800000000",
            "comity_relationship_held_documents{trust_domain=\"b.example\"} 1",
            "comity_relationship_state{trust_domain=\"b.example\",state=\"needs_bootstrap\"} 1",
            "comity_relationship_state{trust_domain=\"b.example\",state=\"current\"} 0",
            "comity_relationship_authorities{trust_domain=\"b.example\",svid_type=\"x509-svid\"} 1",
            "comity_relationship_warnings{trust_domain=\"b.example\",code=\"some-code\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(!scraped(relationship(false)).contains("comity_relationship_age_seconds{"));
    }

    #[test]
    fn states_are_called_as_in_the_api() {
        for (state, name) in STATES {
            assert_eq!(serde_json::to_value(state).unwrap(), name);
        }
    }
}
