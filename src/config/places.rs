//! Where state goes when nobody says where.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// SQLite in the platform's state folder: `$STATE_DIRECTORY` (systemd), `$XDG_STATE_HOME/comity`,
/// `~/.local/state/comity` or `/var/lib/comity`.
pub(crate) fn default_store_url(environment: &HashMap<String, String>) -> String {
    let given = |name: &str| absolute(environment, name);
    let folder = given("STATE_DIRECTORY")
        .or_else(|| given("XDG_STATE_HOME").map(|folder| folder.join("comity")))
        .or_else(|| given("HOME").map(|home| home.join(".local/state/comity")))
        .unwrap_or_else(|| PathBuf::from("/var/lib/comity"));
    format!("{SQLITE}{}/comity.db", folder.display())
}

/// `admin.sock` beside the store's file; without a file in `$RUNTIME_DIRECTORY`,
/// `$XDG_RUNTIME_DIR/comity` or `/run/comity`.
pub(crate) fn default_admin_socket(store_url: &str, environment: &HashMap<String, String>) -> PathBuf {
    let given = |name: &str| absolute(environment, name);
    let folder = store_url
        .strip_prefix(SQLITE)
        .and_then(|path| Path::new(path).parent().map(Path::to_owned))
        .or_else(|| given("RUNTIME_DIRECTORY"))
        .or_else(|| given("XDG_RUNTIME_DIR").map(|folder| folder.join("comity")))
        .unwrap_or_else(|| PathBuf::from("/run/comity"));
    folder.join("admin.sock")
}

/// `name` beside the store's file; `None` if it has none.
pub(super) fn default_state_file(store_url: &str, name: &str) -> Option<PathBuf> {
    let store = Path::new(store_url.strip_prefix(SQLITE)?);
    Some(store.with_file_name(name))
}

/// systemd lists several folders with colons between them; the first is ours.
fn absolute(environment: &HashMap<String, String>, name: &str) -> Option<PathBuf> {
    let first = environment.get(name)?.split(':').next()?;
    Some(PathBuf::from(first)).filter(|path| path.is_absolute())
}

/// What a store URL with a file begins with.
pub(super) const SQLITE: &str = "sqlite://";

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> HashMap<String, String> {
        variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    #[test]
    fn the_store_is_in_the_platforms_state_folder() {
        for (variables, expected) in [
            (&[][..], "sqlite:///var/lib/comity/comity.db"),
            (&[("HOME", "/home/a")], "sqlite:///home/a/.local/state/comity/comity.db"),
            (&[("HOME", "/h"), ("XDG_STATE_HOME", "/s")], "sqlite:///s/comity/comity.db"),
            (&[("XDG_STATE_HOME", "/s"), ("STATE_DIRECTORY", "/a:/b")], "sqlite:///a/comity.db"),
            (&[("STATE_DIRECTORY", "relative")], "sqlite:///var/lib/comity/comity.db"),
        ] {
            assert_eq!(default_store_url(&environment(variables)), expected);
        }
    }

    #[test]
    fn the_admin_socket_is_beside_the_store() {
        let runtime = environment(&[("XDG_RUNTIME_DIR", "/run/user/7")]);
        assert_eq!(default_admin_socket("sqlite:///s/comity.db", &runtime), Path::new("/s/admin.sock"));
        assert_eq!(default_admin_socket("memory:", &runtime), Path::new("/run/user/7/comity/admin.sock"));
        assert_eq!(default_admin_socket("memory:", &environment(&[])), Path::new("/run/comity/admin.sock"));
    }
}
