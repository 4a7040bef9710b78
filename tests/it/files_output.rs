//! Bundles as files, as their readers find them.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::partner::{Partner, Relationship};
use crate::process::until;
use crate::scripted;
use crate::service::Service;
use crate::support::answer::Answer;
use crate::support::ca::Ca;

/// A folder for bundles, and the section that names it.
fn folder(service: &Service, more: &str) -> (PathBuf, String) {
    let folder = service.path("bundles");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    (folder, format!("[[outputs.files]]\nfolder = \"{{folder}}/bundles\"\n{more}"))
}

async fn started<const N: usize>(relationships: [Relationship; N], more: &str) -> (Service, PathBuf) {
    let mut service = Service::new("a.example");
    let (folder, section) = folder(&service, more);
    service.configure_with(relationships, &section);
    service.start().await.unwrap();
    (service, folder)
}

/// Waits until the manifest is such.
async fn becomes(folder: &std::path::Path, such: impl Fn(&Value) -> bool) -> Value {
    let patience = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let manifest = fs::read(folder.join("manifest.json")).unwrap_or_default();
        let manifest: Value = serde_json::from_slice(&manifest).unwrap_or_default();
        if such(&manifest) {
            return manifest;
        }
        assert!(tokio::time::Instant::now() < patience, "the manifest stays at {manifest:#}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn rel_06_files_follow_rotation_lapse_return_and_end_of_trust() {
    let (old, new) = (Ca::of("b.example"), Ca::of("b.example"));
    let b = Partner::publishing("b.example", 1, &[&old]).await;
    let short = b.relationship().with("maximum_staleness", "2h");
    let (mut service, folder) = started([short.clone()], "").await;
    let names = |manifest: &Value| manifest["trust_domains"].as_object().map_or(0, serde_json::Map::len);
    let pem = || fs::read_to_string(folder.join("b.example.trust-bundle.pem")).unwrap_or_default();
    let of_b = |manifest: &Value| manifest["trust_domains"]["b.example"]["sequence"].clone();
    becomes(&folder, |manifest| of_b(manifest) == 1).await;
    assert_eq!(pem(), old.pem());
    b.publishes(2, &[&new]);
    service.refresh("b.example").await;
    becomes(&folder, |manifest| of_b(manifest) == 2).await;
    assert_eq!(pem(), new.pem(), "the removed key is gone");

    service.stop().await;
    let generation = fs::read_link(folder.join("..data")).unwrap();
    service.start().await.unwrap();
    let delivered = |status: &Value| status["outputs"][0]["pushes"].as_u64() > Some(0);
    let status = until(async || service.get("/v1/status").await, delivered).await;
    assert_eq!(fs::read_link(folder.join("..data")).unwrap(), generation, "a restart changes nothing: {status:#}");

    b.peer.answer(Answer::status(503, ""));
    service.advance(Duration::from_secs(7_201));
    let manifest = becomes(&folder, |manifest| names(manifest) == 1).await;
    assert_eq!(manifest["lacking"], json!({"b.example": "bundle-stale"}));
    assert_eq!(pem(), "");
    b.publishes(2, &[&new]);
    service.refresh("b.example").await;
    becomes(&folder, |manifest| names(manifest) == 2).await;
    assert_eq!(pem(), new.pem(), "trusted again");

    service.configure_with([], "[[outputs.files]]\nfolder = \"{folder}/bundles\"\n");
    becomes(&folder, |manifest| names(manifest) == 1).await;
    assert!(!folder.join("b.example.jwks.json").exists());
}

#[tokio::test]
async fn an_output_that_fails_says_so_and_others_go_on() {
    let ca = Ca::of("b.example");
    let b = Partner::publishing("b.example", 1, &[&ca]).await;
    let more = "trust_domains = [\"b.example\"]\n[[outputs.files]]\nfolder = \"{folder}/missing\"\n";
    let (service, folder) = started([b.relationship()], more).await;
    let manifest = becomes(&folder, |manifest| manifest["trust_domains"]["b.example"]["sequence"] == 1).await;
    assert_eq!(manifest["trust_domains"].as_object().unwrap().len(), 1, "ours was not asked for");
    let [first, second] = outputs(&service).await;
    assert_eq!((&first["kind"], &first["last_error"]), (&json!("files"), &json!(null)));
    assert_eq!((&second["generation"], &second["last_error"]["code"]), (&json!(null), &json!("file-unreadable")));
    let warnings = service.get("/v1/status").await["warnings"].to_string();
    let told = format!("output files {}: ", service.path("missing").display());
    assert!(warnings.contains(&told) && warnings.contains("\"file-unreadable\""), "{warnings}");
    let (_, metrics) = service.operations("/metrics").await;
    let failing =
        |name: &str| format!("comity_output_failing{{output=\"files\",target=\"{}\"}}", service.path(name).display());
    assert!(metrics.contains(&format!("{} 0\n", failing("bundles"))), "{metrics}");
    assert!(metrics.contains(&format!("{} 1\n", failing("missing"))), "{metrics}");
}

#[tokio::test]
async fn what_outputs_lack_from_the_start_is_logged_once() {
    let partner = scripted::Partner::start().await;
    partner.publishes(1, &[&Ca::of("b.example")]);
    let home = partner.home("");
    let service = home.start().await;
    until(async || home.refreshed().await, |status| status["state"] == "current").await;
    service.stop().await;
    let outputs = ["one", "two"].map(|name| {
        fs::create_dir(home.path(name)).unwrap();
        home.chmod(name, 0o700);
        format!("[[outputs.files]]\nfolder = \"{{home}}/{name}\"\n")
    });
    home.configure(&(outputs.concat() + &partner.relationship("not_after = \"2020-01-01T00:00:00Z\"")));
    let service = home.start().await;
    let delivered = |status: &Value| status["outputs"].as_array().unwrap().iter().all(|it| it["pushes"] == 1);
    until(async || home.admin("GET", "/v1/status").await.json(), delivered).await;
    let lines = service.log().into_iter().filter(|line| line.contains("outputs don't show this domain"));
    let lines: Vec<Value> = lines.map(|line| serde_json::from_str(&line).unwrap()).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!((&lines[0]["trust_domain"], &lines[0]["code"]), (&json!("b.example"), &json!("policy-not-after")));
    service.stop().await;
}

#[tokio::test]
async fn a_folder_that_hangs_holds_up_neither_others_nor_the_stop() {
    let partner = scripted::Partner::start().await;
    partner.publishes(1, &[&Ca::of("b.example")]);
    let home = partner.home("");
    let outputs = ["hung", "well"].map(|name| {
        fs::create_dir(home.path(name)).unwrap();
        home.chmod(name, 0o700);
        format!("[[outputs.files]]\nfolder = \"{{home}}/{name}\"\n")
    });
    home.configure(&(outputs.concat() + &partner.relationship("")));
    // Reading a pipe to which nobody writes takes for ever, as does a disk without its server.
    let pipe = home.path("hung/..comity-old/manifest.json");
    fs::create_dir(home.path("hung/..comity-old")).unwrap();
    symlink("..comity-old", home.path("hung/..data")).unwrap();
    assert!(Command::new("mkfifo").args(["-m", "0644"]).arg(&pipe).status().unwrap().success());
    let service = home.start().await;
    for sequence in 2..4 {
        let well = becomes(&home.path("well"), |it| it["trust_domains"]["b.example"]["sequence"] == sequence - 1).await;
        assert_eq!(well["trust_domain"], "a.example");
        partner.publishes(sequence, &[&Ca::of("b.example")]);
        home.refreshed().await;
    }
    let status = home.admin("GET", "/v1/status").await.json();
    assert_eq!((&status["outputs"][0]["pushes"], &status["outputs"][0]["generation"]), (&json!(0), &json!(null)));
    service.stop().await;
}

/// Both outputs, once the first one is where the snapshot is.
async fn outputs(service: &Service) -> [Value; 2] {
    let patience = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let status = service.get("/v1/status").await;
        let outputs: [Value; 2] = serde_json::from_value(status["outputs"].clone()).unwrap();
        if outputs[0]["generation"] == status["snapshot_generation"] {
            return outputs;
        }
        assert!(tokio::time::Instant::now() < patience, "{status:#}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn mistakes_in_an_output_are_told() {
    for (section, key, said) in [
        ("[[outputs.files]]\nmode = \"0644\"\n", "outputs.files[0].folder", "required"),
        ("[[outputs.files]]\nfolder = \"x\"\nmode = \"0666\"\n", "outputs.files[0].mode", "\"0666\": not a mode"),
        (
            "[[outputs.files]]\nfolder = \"x\"\ncommand = [\"reload\"]\n",
            "outputs.files[0].command",
            "\"reload\" is no absolute path",
        ),
        ("[[outputs.files]]\nfolder = \"x\"\ntrust_domains = []\n", "outputs.files[0].trust_domains", "is empty"),
        (
            "[[outputs.files]]\nfolder = \"x\"\n[[outputs.files]]\nfolder = \"./x/\"\n",
            "outputs.files[1].folder",
            "is there twice",
        ),
        ("[outputs.fles]\nfolder = \"x\"\n", "outputs.fles", "did you mean files?"),
    ] {
        let mut service = Service::new("a.example");
        service.configure_with([], section);
        let error = service.start().await.unwrap_err();
        let text = error.to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!((error.code(), lines[0]), ("config-rejected", "1 problem in the configuration"), "{section}{text}");
        assert!(lines[1].starts_with(&format!("  {key}  ")) && lines[1].contains(said), "{section}{text}");
    }
}
