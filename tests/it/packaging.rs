//! What is shipped beside the service: its manual, completions, image and unit. Each must fit the program.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use config::{Config, File, FileFormat};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::process::{Home, run, within};
use crate::sources::{root, rust_files};

#[tokio::test]
async fn every_command_has_a_manual_page_with_its_example() {
    let home = Home::new("");
    let folder = home.path("share/man1");
    let written = run(&["man", "--dir", folder.to_str().unwrap()]).await;
    assert_eq!((written.code, written.out.as_str()), (Some(0), ""), "{written:?}");
    let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let pages: BTreeSet<String> = entries.collect();
    let mut expected = BTreeSet::new();
    pages_of("comity", &mut Vec::new(), &mut expected).await;
    assert_eq!(pages, expected);
    let accept = fs::read_to_string(folder.join("comity-bundle-accept.1")).unwrap();
    assert!(accept.contains("comity bundle accept bank\\-b.example"), "{accept}");

    let top = run(&["man"]).await;
    assert_eq!(top.out, fs::read_to_string(folder.join("comity.1")).unwrap());
    let nowhere = run(&["man", "--dir", "/dev/null/man1"]).await;
    assert!(nowhere.code == Some(1) && nowhere.err.starts_with("error: output-failed: "), "{nowhere:?}");
}

/// Names the page of a command and of all below it, as `--help` lists them.
async fn pages_of(page: &str, command: &mut Vec<String>, pages: &mut BTreeSet<String>) {
    pages.insert(format!("{page}.1"));
    let words: Vec<&str> = command.iter().map(String::as_str).chain(["--help"]).collect();
    let help = run(&words).await.out;
    let listed = help.split("\nCommands:\n").nth(1).unwrap_or_default().split("\n\n").next().unwrap();
    for name in listed.lines().filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help") {
        command.push(name.to_owned());
        Box::pin(pages_of(&format!("{page}-{name}"), command, pages)).await;
        command.pop();
    }
}

#[tokio::test]
async fn shells_get_a_script_that_knows_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completion", shell]).await;
        assert_eq!(script.code, Some(0), "{shell}: {script:?}");
        for word in ["serve", "federation", "accept", "x509", "completion", "healthz"] {
            assert_eq!(script.out.contains(word), word != "healthz", "{shell}: {word}");
        }
    }
    let script = run(&["completion", "bash"]).await.out;
    let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    bash.stdin.take().unwrap().write_all(script.as_bytes()).await.unwrap();
    let parsed = within(bash.wait_with_output()).await.unwrap();
    assert!(parsed.status.success() && parsed.stderr.is_empty(), "{parsed:?}");
}

#[test]
fn the_image_is_pinned_and_is_not_run_by_root() {
    let image = dockerfile();
    let rust = format!("rust:{}.0-slim-bookworm AS build", env!("CARGO_PKG_RUST_VERSION"));
    assert_eq!(
        image.iter().filter(|(name, _)| name == "FROM").map(|(_, base)| base).collect::<Vec<_>>(),
        [&rust, "scratch"]
    );
    assert_eq!(only(&image, "USER"), "65532:65532");
    assert!(only(&image, "LABEL").contains(concat!("version=\"", env!("CARGO_PKG_VERSION"), "\"")));
    let build = image.iter().find(|(name, command)| name == "RUN" && command.starts_with("cargo build")).unwrap();
    assert!(build.1.contains("--locked --profile dist"), "{build:?}");
}

#[tokio::test]
async fn the_image_starts_and_asks_commands_that_exist() {
    let image = dockerfile();
    assert_eq!(words(only(&image, "ENTRYPOINT")), ["comity"]);
    exists(&words(only(&image, "CMD"))).await;
    let (_, question) = only(&image, "HEALTHCHECK").split_once(" CMD ").unwrap();
    exists(&words(question)[1..]).await;
}

#[test]
fn the_build_context_has_every_file_that_the_program_includes() {
    let ignore = text(".dockerignore");
    let sent: Vec<&str> = ignore.lines().filter_map(|line| line.strip_prefix('!')).collect();
    let mut included = vec!["Cargo.lock".to_owned(), "LICENSE".to_owned()];
    for (file, text) in rust_files("src").iter().filter(|(file, _)| !file.ends_with("fixtures.rs")) {
        let names = text.split("include_str!(\"").skip(1).map(|rest| rest.split('"').next().unwrap());
        included.extend(names.map(|name| beside(&format!("src/{file}"), name)));
    }
    assert!(included.len() > 4, "{included:?}");
    for path in included {
        assert!(sent.iter().any(|sent| Path::new(&path).starts_with(sent)), "{path} is not in the build context");
    }
}

#[tokio::test]
async fn the_pair_of_banks_runs_locked_down_with_configurations_and_keys_that_fit() {
    let home = Home::new("");
    let made = Command::new(root().join("docker/make-keys")).arg(home.path("secrets")).output().await.unwrap();
    assert!(made.status.success(), "{made:?}");
    let again = Command::new(root().join("docker/make-keys")).arg(home.path("secrets")).output().await.unwrap();
    assert!(!again.status.success(), "keys in use are not replaced");
    let compose = Config::builder().add_source(File::from_str(&text("docker/compose.yaml"), FileFormat::Yaml));
    let compose: Value = compose.build().unwrap().try_deserialize().unwrap();
    for bank in ["bank-a", "bank-b"] {
        let service = &compose["services"][format!("{bank}.example")];
        let common = &service["<<"];
        assert_eq!(common["read_only"], true);
        assert_eq!(common["cap_drop"], json!(["ALL"]));
        assert_eq!(common["security_opt"], json!(["no-new-privileges:true"]));
        assert_eq!(common["healthcheck"]["test"], json!(["CMD", "comity", "health"]));
        let mounts = [
            format!("../config/{bank}.toml:/etc/comity/comity.toml:ro"),
            format!("./secrets/{bank}:/etc/comity/{bank}:ro"),
            format!("{bank}-state:/var/lib/comity"),
        ];
        assert_eq!(service["volumes"], json!(mounts));

        let config = text(&format!("config/{bank}.toml"));
        let secrets = home.path("secrets").join(bank).display().to_string();
        home.write(&format!("{bank}.toml"), config.replace(&format!("/etc/comity/{bank}"), &secrets));
        let file = home.path(&format!("{bank}.toml")).display().to_string();
        let store = common["environment"]["COMITY__STORE__URL"].as_str().unwrap();
        let checked = run(&["config", "check", "--config", &file, "--set", &format!("store.url={store}")]).await;
        assert!(checked.code == Some(0) && checked.out.contains("/var/lib/comity/comity.db"), "{bank}: {checked:?}");
    }
}

#[tokio::test]
async fn the_unit_starts_a_command_that_exists_and_not_again_if_its_configuration_is_wrong() {
    let unit = text("docker/comity.service");
    let settings: Vec<(&str, &str)> = unit.lines().filter_map(|line| line.split_once('=')).collect();
    let setting = |name: &str| settings.iter().find(|(key, _)| *key == name).map(|(_, value)| *value).unwrap();
    let start: Vec<String> = setting("ExecStart").split(' ').map(str::to_owned).collect();
    assert_eq!(start[0], "/usr/local/bin/comity");
    exists(&start[1..]).await;
    let wrong = run(&["serve", "--config", "/nonexistent/comity.toml"]).await.code.unwrap();
    assert_eq!(setting("RestartPreventExitStatus"), wrong.to_string());
    assert_eq!((setting("Type"), setting("StateDirectory")), ("exec", "comity"));
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// The instructions of the Dockerfile, each on one line.
fn dockerfile() -> Vec<(String, String)> {
    let text = text("docker/Dockerfile").replace("\\\n", " ");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(' ')).map(|(name, rest)| (name.to_owned(), rest.to_owned())).collect()
}

fn only<'a>(image: &'a [(String, String)], name: &str) -> &'a str {
    let mut found = image.iter().filter(|(instruction, _)| instruction == name);
    let (_, arguments) = found.next().unwrap();
    assert!(found.next().is_none(), "{name} comes twice");
    arguments
}

/// The exec form of a command.
fn words(command: &str) -> Vec<String> {
    serde_json::from_str(command).unwrap()
}

/// The program knows the command and each of its options.
async fn exists(arguments: &[String]) {
    let words: Vec<&str> = arguments.iter().map(String::as_str).chain(["--help"]).collect();
    let help = run(&words).await;
    assert!(words.len() > 1 && help.code == Some(0), "{words:?}: {help:?}");
}

/// A path as written in a file, from the root.
fn beside(file: &str, path: &str) -> String {
    let mut folders: Vec<&str> = file.split('/').collect();
    folders.pop();
    for step in path.split('/') {
        match step {
            ".." => drop(folders.pop()),
            step => folders.push(step),
        }
    }
    folders.join("/")
}
