//! Which running service a command speaks to.

use std::collections::HashMap;
use std::path::PathBuf;

use rustls::time_provider::{DefaultTimeProvider, TimeProvider as _};

use crate::config::{default_admin_socket, default_store_url, load, process_environment};
use crate::federation::timestamp::Timestamp;

use super::client::{AdminClient, ClientError};
use super::output::Format;

/// Options of every command that asks the running service.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Connection {
    /// The service's admin socket; by default the one its configuration names
    #[arg(long, value_name = "PATH", env = "COMITY_SOCKET", global = true, alias = "socketPath")]
    socket: Option<PathBuf>,
    /// The service's configuration, to find its socket
    #[arg(long, value_name = "FILE", env = "COMITY_CONFIG", global = true)]
    config: Option<PathBuf>,
    /// How to write the answer
    #[arg(long, value_enum, default_value_t, global = true)]
    pub(super) output: Format,
}

impl Connection {
    pub(super) fn client(&self) -> Result<AdminClient, ClientError> {
        AdminClient::new(self.socket()?)
    }

    fn socket(&self) -> Result<PathBuf, ClientError> {
        match (&self.socket, &self.config) {
            (Some(socket), _) => Ok(socket.clone()),
            (None, Some(file)) => match load(Some(file), &process_environment(), &[]) {
                Ok(config) => Ok(config.admin_socket),
                Err(errors) => Err(ClientError::Config(errors)),
            },
            (None, None) => Ok(default_socket(&process_environment())),
        }
    }
}

/// Wall-clock time, for "3 min ago".
pub(super) fn now() -> Timestamp {
    DefaultTimeProvider.current_time().map_or_else(Timestamp::default, Timestamp::from)
}

/// Where a service without a word about it has its socket: beside its store.
fn default_socket(environment: &HashMap<String, String>) -> PathBuf {
    default_admin_socket(&default_store_url(environment), environment)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn without_a_word_the_socket_is_beside_the_default_store() {
        for (env, expected) in [
            (vec![("XDG_STATE_HOME", "/state"), ("HOME", "/home/u")], "/state/comity/admin.sock"),
            (vec![("XDG_STATE_HOME", "relative"), ("HOME", "/home/u")], "/home/u/.local/state/comity/admin.sock"),
            (vec![], "/var/lib/comity/admin.sock"),
        ] {
            let environment = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            assert_eq!(default_socket(&environment), Path::new(expected), "{env:?}");
        }
    }
}
