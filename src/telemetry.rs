//! Logging: text or JSON on standard error.

use std::io::{self, IsTerminal as _};
use std::str::FromStr;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{Layer, Registry, fmt};

/// How much is logged, and in which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogConfig {
    /// Text for people, JSON for machines.
    pub(crate) format: LogFormat,
    /// Least severe level of our own events.
    pub(crate) level: LevelFilter,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// One line with `field=value` pairs.
    Text,
    /// One JSON object.
    Json,
}

impl LogFormat {
    /// Its name in the configuration.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

impl FromStr for LogFormat {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Text, Self::Json].into_iter().find(|format| format.as_str() == text).ok_or(())
    }
}

/// Starts logging for the process. Whoever comes second changes nothing and gets `false`.
pub(crate) fn start(log: LogConfig) -> bool {
    let layer = fmt::layer().with_writer(io::stderr);
    let layer = if io::stderr().is_terminal() { layer } else { layer.with_ansi(false) };
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match log.format {
        LogFormat::Text => Box::new(layer.with_filter(filter(log.level))),
        LogFormat::Json => Box::new(layer.json().flatten_event(true).with_filter(filter(log.level))),
    };
    tracing_subscriber::registry().with(layer).try_init().is_ok()
}

/// Other crates speak from warnings on only: they quote peers unescaped. Those whose warnings any client can cause,
/// per handshake or request, from errors on.
fn filter(level: LevelFilter) -> Targets {
    let strangers = ["actix_http", "h2", "rustls"].map(|target| (target, level.min(LevelFilter::ERROR)));
    Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_targets(strangers)
        .with_target(env!("CARGO_CRATE_NAME"), level)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starting_twice_is_harmless() {
        let log = LogConfig { format: LogFormat::Json, level: LevelFilter::OFF };
        start(log);
        assert!(!start(log));
    }

    #[test]
    fn other_crates_speak_from_warnings_on() {
        let filter = filter(LevelFilter::TRACE);
        assert!(filter.would_enable("comity::federation", &tracing::Level::TRACE));
        assert!(filter.would_enable("hyper", &tracing::Level::WARN));
        assert!(!filter.would_enable("hyper", &tracing::Level::INFO));
        assert!(!filter.would_enable("rustls::msgs::handshake", &tracing::Level::WARN), "an IP address as server name");
        assert!(filter.would_enable("rustls::common_state", &tracing::Level::ERROR));
        let quiet = super::filter(LevelFilter::ERROR);
        assert!(!quiet.would_enable("hyper", &tracing::Level::WARN));
        assert!(!super::filter(LevelFilter::OFF).would_enable("rustls", &tracing::Level::ERROR));
    }
}
