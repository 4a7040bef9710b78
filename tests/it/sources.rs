use std::fs;
use std::path::{Path, PathBuf};

/// The root of the package.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file under `folder` of the package, with its path from there and its text.
pub(crate) fn rust_files(folder: &str) -> Vec<(String, String)> {
    let base = root().join(folder);
    let mut found = Vec::new();
    let mut folders = vec![base.clone()];
    while let Some(folder) = folders.pop() {
        for path in entries(&folder) {
            match path.is_dir() {
                true => folders.push(path),
                false if path.extension().is_some_and(|e| e == "rs") => found.push(relative(&base, &path)),
                false => (),
            }
        }
    }
    found.sort();
    found
}

/// The sample of a page that begins with this line, as it stands there.
pub(crate) fn sample(page: &str, first: &str) -> String {
    let text = fs::read_to_string(root().join("docs").join(page)).unwrap();
    let samples = text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let sample = samples.into_iter().find(|sample| sample.starts_with(first));
    sample.unwrap_or_else(|| panic!("docs/{page} has no sample of {first}")).to_owned()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn relative(base: &Path, path: &Path) -> (String, String) {
    let name = path.strip_prefix(base).unwrap().to_str().unwrap().replace('\\', "/");
    (name, fs::read_to_string(path).unwrap())
}
