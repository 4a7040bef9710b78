//! Outputs on `/metrics`.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::federation::status::OutputStatus;
use crate::outputs::progress::{Outputs, Progress};

/// Encodes how far each output is.
pub(super) fn encode_outputs(encoder: &mut DescriptorEncoder<'_>, outputs: &Outputs) -> fmt::Result {
    let all = outputs.all();
    let statuses: Vec<_> = all.iter().map(|output| (&**output, output.status())).collect();
    for (name, help, value) in GAUGES {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (output, status) in &statuses {
            let value = value(status).and_then(|value| i64::try_from(value).ok());
            if let Some(value) = value {
                ConstGauge::new(value).encode(metric.encode_family(&labels(output))?)?;
            }
        }
    }
    for (name, help, count) in COUNTERS {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (output, status) in &statuses {
            ConstCounter::new(count(status)).encode(metric.encode_family(&labels(output))?)?;
        }
    }
    let help = "From a change of the snapshot to its delivery";
    let mut metric = encoder.encode_descriptor("comity_output_lag_seconds", help, None, MetricType::Histogram)?;
    for (output, _) in &statuses {
        output.lag.encode(metric.encode_family(&labels(output))?)?;
    }
    Ok(())
}

fn labels(output: &Progress) -> [(&'static str, &str); 2] {
    [("output", output.kind), ("target", &output.target)]
}

type Value<T> = fn(&OutputStatus) -> T;

const GAUGES: [(&str, &str, Value<Option<u64>>); 3] = [
    ("comity_output_generation", "Generation of the snapshot that was last delivered", |status| status.generation),
    ("comity_output_subscribers", "Who is connected and hears of changes", |status| Some(status.subscribers)),
    ("comity_output_failing", "1 while the latest change is not delivered, or was refused", |status| {
        Some(u64::from(status.last_error.is_some()))
    }),
];

const COUNTERS: [(&str, &str, Value<u64>); 4] = [
    ("comity_output_pushes", "Changes delivered, to each subscriber", |status| status.pushes),
    ("comity_output_failures", "Deliveries that failed", |status| status.failures),
    ("comity_output_nacks", "Changes that a subscriber refused", |status| status.nacks),
    ("comity_output_refused_requests", "Requests for what a subscriber can't have", |status| status.refused_requests),
];
