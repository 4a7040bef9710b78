//! The examples in `config/` and the reference page must not lag behind the code.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::*;

type Keys = BTreeSet<(String, String)>;

/// Keys of a TOML text, those commented out with `#key =` included.
fn keys_of_toml(text: &str) -> Keys {
    let mut section = String::new();
    let mut keys = Keys::new();
    for line in text.lines().map(|line| line.strip_prefix('#').unwrap_or(line)) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            section = name.0.trim_start_matches('[').replace("\"*\"", "*");
        } else if let Some((key, _)) = line.split_once(" = ").filter(|(key, _)| !key.contains(' ')) {
            keys.insert((section.clone(), key.to_owned()));
        }
    }
    keys
}

/// Rows of the tables under the headings ``## `[section]` `` of the reference page: key, default.
fn rows_of_page(text: &str) -> Vec<(String, String, String)> {
    let mut section = String::new();
    let mut rows = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("## ") {
            let name = name.trim_matches(|c| matches!(c, '`' | '[' | ']'));
            section = if name == "Top level" { String::new() } else { name.replace("\"…\"", "*") };
        } else if let Some(row) = line.strip_prefix("| `") {
            let cells: Vec<&str> = row.split(" | ").collect();
            let default = cells.last().unwrap().trim_end_matches(" |").trim_matches('`');
            rows.push((section.clone(), cells[0].trim_end_matches('`').to_owned(), default.to_owned()));
        }
    }
    rows
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap()
}

#[test]
fn code_defaults_and_reference_page_list_the_same_keys() {
    let code: Keys = keys::KEYS
        .iter()
        .flat_map(|(section, keys)| keys.iter().map(|key| ((*section).to_owned(), (*key).to_owned())))
        .collect();
    assert_eq!(keys_of_toml(layers::DEFAULTS), code, "config/default.toml");
    let page = rows_of_page(&read("docs/configuration.md"));
    let page_keys: Keys = page.iter().map(|(section, key, _)| (section.clone(), key.clone())).collect();
    assert_eq!(page_keys, code, "docs/configuration.md");
}

#[test]
fn the_reference_page_tells_the_true_defaults() {
    let defaults = layers::merge(None, &HashMap::new(), &[]).unwrap();
    for (section, key, told) in rows_of_page(&read("docs/configuration.md")) {
        let path = section.split('.').filter(|name| !name.is_empty()).chain([key.as_str()]);
        let value = path.clone().try_fold(defaults.clone(), |value, name| value.into_table().unwrap().remove(name));
        if let Some(value) = value {
            assert_eq!(value.into_string().unwrap(), told.trim_matches('"'), "{section} {key}");
        } else {
            assert!(!told.starts_with('"'), "{section} {key} has no default, yet the page says {told}");
        }
    }
}

/// An example with the files it names made up, so that only what it says is judged.
fn check(name: &str, text: &str) {
    let folder = Folder::new();
    let pem = ca_pem(None);
    folder.write("bundle", &pem);
    let lines = text.lines().map(|line| match line.split_once(" = ") {
        Some((key @ ("bootstrap_bundle" | "root_certificates"), _)) => format!("{key} = \"bundle\""),
        _ => line.to_owned(),
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    let file = folder.write("comity.toml", &text);
    load(Some(&file), &HashMap::new(), &[]).unwrap_or_else(|errors| panic!("config/{name}: {errors}"));
}

#[test]
fn every_example_is_valid() {
    let mut seen = 0;
    for entry in fs::read_dir(repository().join("config")).unwrap() {
        let path = entry.unwrap().path();
        let (name, text) = (path.file_name().unwrap().to_str().unwrap(), fs::read_to_string(&path).unwrap());
        match name {
            "default.toml" => continue,
            "kubernetes.yaml" => check(name, &embedded_toml(&text)),
            _ => check(name, &text),
        }
        seen += 1;
    }
    assert_eq!(seen, 7, "examples besides default.toml");
}

#[test]
fn the_readmes_configuration_is_valid() {
    let readme = read("README.md");
    let (_, example) = readme.split_once("```toml\n").unwrap();
    check("../README.md", example.split("```").next().unwrap());
}

#[test]
fn the_configurations_of_the_authorization_page_are_valid() {
    let page = read("docs/authorization.md");
    let examples: Vec<_> = page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let [unix, tls] = examples[..] else { panic!("two examples") };
    check("../docs/authorization.md", unix);
    check("../docs/authorization.md", &with(tls));
}

#[test]
fn the_configuration_of_the_sources_page_is_valid() {
    let page = read("docs/sources.md");
    let (_, example) = page.split_once("```toml\n").unwrap();
    check("../docs/sources.md", &with(example.split("```").next().unwrap()));
}

#[test]
fn the_configuration_of_the_workload_page_is_valid() {
    let page = read("docs/workload-api.md");
    let (_, example) = page.split_once("```toml\n").unwrap();
    check("../docs/workload-api.md", &with(example.split("```").next().unwrap()));
}

/// What stands under `comity.toml: |` in a ConfigMap.
fn embedded_toml(yaml: &str) -> String {
    let lines = yaml.lines().skip_while(|line| line.trim() != "comity.toml: |").skip(1);
    let indented = lines.take_while(|line| line.is_empty() || line.starts_with("    "));
    indented.map(|line| line.strip_prefix("    ").unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

/// Two of the examples, at night all that are TOML.
#[test]
fn an_example_cut_short_anywhere_is_valid_or_refused_with_a_reason() {
    let folder = Folder::new();
    let all =
        ["bank-b.toml", "https_web.toml", "bank-a.toml", "https_spiffe.toml", "local.toml", "publish-mesh-ca.toml"];
    let count = if std::env::var_os("COMITY_NIGHTLY").is_some() { all.len() } else { 2 };
    for name in &all[..count] {
        let whole = read(&format!("config/{name}"));
        let ends = (0..whole.len()).filter(|end| whole.is_char_boundary(*end));
        for end in ends {
            let Err(errors) = folder.load(&whole[..end]) else { continue };
            let told = errors.problems().iter().all(|problem| problem.message.len() > 10);
            assert!(told, "{name} cut at {end}: {errors}");
        }
    }
}
