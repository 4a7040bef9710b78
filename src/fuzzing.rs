//! What `fuzz/service` feeds with foreign bytes: one function per parser that only the service has, which panics where
//! a promise is broken. Tests replay the vectors.

pub use crate::acme::fuzzing::issued_chain;
pub use crate::authorities::fuzzing::{ca_answer, discovery, key_set};
pub use crate::cli::bundle::lint::fuzzing::linted;
pub use crate::federation::endpoint_client::fuzzing::answer_head;
pub use crate::federation::preference::fuzzing::preference;
pub use crate::http::authorization::fuzzing::forwarded_chain;

use crate::spiffe::bundle_map::BundleMap;
use crate::spiffe::document::render::WitAuthorities;
use crate::verify::text::is_fit_to_tell;

/// A map that parses is written as one that parses to the same.
pub fn bundle_map(bytes: &[u8]) {
    match BundleMap::parse(bytes) {
        Err(error) => assert!(is_fit_to_tell(&error.to_string()), "{error}"),
        Ok(map) => {
            let rendered = map.render(WitAuthorities::Include);
            let again = BundleMap::parse(&rendered).expect("what we render parses");
            assert_eq!(again.bundles(), map.bundles());
            assert_eq!(again.render(WitAuthorities::Include), rendered);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::panic::catch_unwind;
    use std::path::Path;

    use super::*;

    type Target = fn(&[u8]);

    /// Each with the folder of `tests/vectors` from which it starts.
    const TARGETS: [(&str, Target, &str); 9] = [
        ("answer_head", answer_head, "answer_heads"),
        ("bundle_map", bundle_map, "bundle_maps"),
        ("ca_answer", ca_answer, "ca_answers"),
        ("discovery", discovery, "discoveries"),
        ("forwarded_chain", forwarded_chain, "xfcc"),
        ("issued_chain", issued_chain, "issued_chains"),
        ("key_set", key_set, "key_sets"),
        ("linted", linted, "bundles"),
        ("preference", preference, "preferences"),
    ];

    #[test]
    fn no_vector_breaks_a_promise() {
        let mut broken = Vec::new();
        for (name, target, folder) in TARGETS {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(folder);
            let entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert!(entries.len() >= 5, "{name} has {} vectors", entries.len());
            for path in entries {
                let bytes = fs::read(&path).unwrap();
                if catch_unwind(|| target(&bytes)).is_err() {
                    broken.push(format!("{name} by {}", path.display()));
                }
            }
        }
        assert!(broken.is_empty(), "{}", broken.join("\n"));
    }

    #[test]
    fn each_has_a_target_that_fuzzing_runs() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let runner = fs::read_to_string(root.join(".ci/run")).unwrap_or_default();
        let manifest = fs::read_to_string(root.join("fuzz/service/Cargo.toml")).unwrap();
        for (name, _, folder) in TARGETS {
            assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name} is not built");
            let target = fs::read_to_string(root.join(format!("fuzz/service/fuzz_targets/{name}.rs"))).unwrap();
            assert!(target.contains(&format!("comity::fuzzing::{name}(")), "{name} feeds something else");
            let seeds = format!("[{name}]=tests/vectors/{folder}");
            assert!(runner.is_empty() || runner.contains(&seeds), "{name} is not run");
        }
    }
}
