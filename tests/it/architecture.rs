//! The house keeps its floors: who may import whom, who may use which crate, and how long a file may grow.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::process::Command;

use crate::sources::{root, rust_files};

/// Bottom floor first; modules on one floor do not know each other.
const FLOORS: &[&[&str]] = &[
    &["spiffe"],
    &["verify"],
    &["files"],
    &["store"],
    &["federation", "governance", "authorities"],
    &["outputs"],
    &["http", "grpc", "export", "telemetry"],
    &["acme"],
    &["config"],
    &["app"],
    &["cli"],
    &["fuzzing"],
];

/// Modules that see the store only through `Federation` or a snapshot.
const WITHOUT_STORE: &[&str] = &["http/", "grpc/", "export/", "cli/"];

/// What may be named only where it says.
const CONFINED: &[(&str, &[&str])] = &[
    ("actix_web::", &["http/"]),
    ("sqlx::", &["store/"]),
    ("reqwest::", &["federation/endpoint_client", "acme/client", "cli/"]),
    ("tonic::", &["grpc/", "authorities/workload_api", "authorities/spire_server", "export/spire_server"]),
    ("object_store::", &["export/object_storage"]),
    ("rust_spiffe::", &["authorities/workload_api"]),
    ("impl ServerCertVerifier for", &["verify/rustls", "verify/presented"]),
    // What is fetched without authentication is for looking at, and for finding what a digest names.
    ("Authentication::Nothing", &["federation/probe", "federation/endpoint_client/pin"]),
    ("Unverified(", &["federation/endpoint_client/tls", "verify/presented"]),
    ("impl ClientCertVerifier for", &["verify/rustls"]),
    ("openssl::", &[]),
    ("josekit::", &[]),
];

/// Crates that users of the types and the verifier alone don't build.
const NOT_IN_THE_BASE: &[&str] = &["actix-web", "openssl", "reqwest", "spiffe", "sqlx", "tokio", "tonic"];

/// Crates that the service must not be built from: other TLS stacks and crypto providers.
const NOT_IN_THE_SERVICE: &[&str] = &["hyper-tls", "josekit", "native-tls", "openssl", "ring"];

/// Longest file, in lines before its inline tests.
const LINES: usize = 500;

/// What the library doesn't have when somebody uses it.
const ONLY_FOR_FUZZING: &str =
    "#[cfg(all(feature = \"server\", any(test, fuzzing)))]\n#[doc(hidden)]\npub mod fuzzing;\n";

/// Most names that the library offers.
const ITEMS: usize = 60;

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|modules| modules.contains(&module))
}

/// The files of `src/` that aren't tests as a whole.
fn sources() -> impl Iterator<Item = (String, String)> {
    let of_tests =
        |file: &str| file.contains("/tests/") || file.ends_with("/tests.rs") || file.ends_with("/fixtures.rs");
    rust_files("src").into_iter().filter(move |(file, _)| !of_tests(file))
}

/// The module that a file belongs to: `store` for `store/sql.rs`, `app` for `app.rs`.
fn module(file: &str) -> &str {
    file.split('/').next().unwrap().trim_end_matches(".rs")
}

#[test]
fn the_page_shows_each_module_on_its_floor() {
    let page = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | "));
    let rows = rows.filter_map(|(number, rest)| Some((number.parse::<usize>().ok()?, rest.split(" | ").next()?)));
    let shown: BTreeMap<&str, usize> =
        rows.flat_map(|(number, names)| named(names).map(move |it| (it, number))).collect();
    let ours = sources().map(|(file, _)| module(&file).to_owned()).filter(|name| name != "lib" && name != "main");
    let ours: BTreeMap<String, usize> = ours.map(|name| (name.clone(), floor(&name).unwrap())).collect();
    assert_eq!(shown, ours.iter().map(|(name, floor)| (name.as_str(), *floor)).collect());
}

/// `http` and `telemetry` of "`http/`, `telemetry`".
fn named(names: &str) -> impl Iterator<Item = &str> {
    names.split('`').skip(1).step_by(2).map(|name| name.trim_end_matches('/'))
}

#[test]
fn imports_only_go_down() {
    let mut offences = Vec::new();
    for (file, text) in sources() {
        let own = module(&file);
        let Some(own_floor) = floor(own) else { continue };
        for (line, used) in crate_paths(&text) {
            if used != own && floor(used).is_none_or(|f| f >= own_floor) {
                offences.push(format!("{file}:{line}: {own} uses {used}"));
            }
        }
    }
    assert!(offences.is_empty(), "{}", offences.join("\n"));
}

/// Every `crate::module` of a text's code, with its line.
fn crate_paths(text: &str) -> impl Iterator<Item = (usize, &str)> {
    code(text).flat_map(|(line, text)| {
        text.split("crate::")
            .skip(1)
            .map(move |rest| (line, rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap()))
    })
}

#[test]
fn every_module_has_a_floor() {
    for (file, _) in rust_files("src") {
        let known = floor(module(&file)).is_some() || matches!(file.as_str(), "lib.rs" | "main.rs");
        assert!(known, "src/{file} is on no floor");
    }
}

#[test]
fn the_store_is_reached_only_through_the_federation() {
    for (file, text) in sources() {
        if WITHOUT_STORE.iter().any(|place| file.starts_with(place)) {
            assert!(crate_paths(&text).all(|(_, used)| used != "store"), "src/{file} uses the store");
        }
    }
}

#[test]
fn foreign_crates_stay_in_their_rooms() {
    let mut offences = Vec::new();
    for (file, text) in sources() {
        for (name, places) in CONFINED {
            let named = code(&text).find(|(_, text)| text.contains(name));
            if let Some((line, _)) = named
                && !places.iter().any(|place| file.starts_with(place))
            {
                offences.push(format!("{file}:{line}: names {name}"));
            }
        }
    }
    assert!(offences.is_empty(), "{}", offences.join("\n"));
}

/// Numbered lines, without those that are comments.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines()).filter(|(_, text)| !text.trim_start().starts_with("//"))
}

#[test]
fn no_file_outgrows_its_story() {
    for (file, text) in sources() {
        let lines = lines_before_tests(&text);
        assert!(lines <= LINES, "src/{file} has {lines} lines, {LINES} are allowed");
    }
}

fn lines_before_tests(text: &str) -> usize {
    let lines: Vec<_> = text.lines().collect();
    let tests = lines.windows(2).position(|pair| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod tests {"));
    tests.unwrap_or(lines.len())
}

#[test]
fn the_library_offers_few_names() {
    let (_, text) = rust_files("src").into_iter().find(|(file, _)| file == "lib.rs").unwrap();
    let lists = text.split("pub use ").skip(1).map(|list| list.split(';').next().unwrap());
    // Nobody has it but fuzzing and our own tests.
    let text = text.replace(ONLY_FOR_FUZZING, "");
    let items: usize = lists.map(|list| list.matches(',').count() + 1).sum();
    assert!(!text.contains("pub mod ") && !text.contains("::*;"), "src/lib.rs offers a whole module");
    assert!(items <= ITEMS, "src/lib.rs offers {items} names, {ITEMS} are allowed");
}

#[test]
fn the_base_builds_without_the_service() {
    let crates = dependencies(&["--no-default-features"]);
    for name in NOT_IN_THE_BASE {
        assert!(!crates.contains(&(*name).to_owned()), "{name} is a dependency without the feature `server`");
    }
}

#[test]
fn the_service_has_one_tls_stack() {
    let crates = dependencies(&[]);
    for name in NOT_IN_THE_SERVICE {
        assert!(!crates.contains(&(*name).to_owned()), "{name} is a dependency of the service");
    }
}

/// Names of the crates that are built into the library, on this platform.
fn dependencies(features: &[&str]) -> Vec<String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tree = ["tree", "--locked", "--offline", "-e", "normal", "--prefix", "none", "--format", "{p}"];
    let output = Command::new(cargo).current_dir(root()).args(tree).args(features).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let crates: Vec<_> = text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    assert!(crates.contains(&"rustls".to_owned()), "the tree was not read: {text}");
    crates
}
