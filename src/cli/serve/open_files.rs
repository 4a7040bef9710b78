//! Room for the connections that the configuration allows.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

use crate::config::{Config, OutputsConfig};
use crate::federation::places::WAITING;
use crate::http::distribution::CONNECTIONS;

/// Raises the limit of open files as far as the system lets us: what processes begin with is often less than a single
/// listener may need. Says so if even that could leave none for the store and for polls.
pub(super) fn allow_open_files(config: &Config) {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    let allowed = setrlimit(Resource::Nofile, raised).map_or(limit.current, |()| limit.maximum);
    let endpoints = config.endpoints.iter().map(|endpoint| endpoint.max_connections);
    let connections = endpoints.chain(of_outputs(&config.outputs));
    let waits = config.relationships.iter().filter(|relationship| relationship.wait).count().min(WAITING);
    if let Some(needed) = shortage(connections.chain([waits]), allowed) {
        warn!(code = "few-open-files", allowed, needed, "connections of clients could use up all open files");
    }
}

fn of_outputs(outputs: &OutputsConfig) -> Option<usize> {
    outputs.http.as_ref().map(|_| CONNECTIONS)
}

/// How many files connections and everything else could need, if that is more than there may be; `None` allows any.
fn shortage(connections: impl Iterator<Item = usize>, allowed: Option<u64>) -> Option<u64> {
    let needed = connections.sum::<usize>().saturating_add(RESERVE);
    let needed = u64::try_from(needed).unwrap_or(u64::MAX);
    allowed.filter(|allowed| *allowed < needed).map(|_| needed)
}

/// Files of the process itself, of polls, and of the listeners for operations, administration and proxies.
const RESERVE: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HttpOutputConfig;
    use crate::outputs::selection::Selection;

    #[test]
    fn a_shortage_counts_all_listeners_and_the_rest() {
        for (connections, allowed, expected) in [
            (&[1024, 1024][..], Some(3072), None),
            (&[1024, 1024], Some(3071), Some(3072)),
            (&[], Some(256), Some(1024)),
            (&[65_536, 65_536], None, None),
        ] {
            assert_eq!(shortage(connections.iter().copied(), allowed), expected, "{connections:?} {allowed:?}");
        }
    }

    #[test]
    fn the_listener_of_an_output_counts_as_any_other() {
        assert_eq!(of_outputs(&OutputsConfig::default()), None);
        let http =
            HttpOutputConfig { listen: "127.0.0.1:0".parse().unwrap(), keys: None, selection: Selection::default() };
        let outputs = OutputsConfig { http: Some(http), ..OutputsConfig::default() };
        assert_eq!(of_outputs(&outputs), Some(2_048));
    }
}
