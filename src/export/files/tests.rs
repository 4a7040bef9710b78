use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::Arc;

use tokio::time::Instant;

use super::*;
use crate::federation::trust_feed::Generation;
use crate::outputs::selection::{Lack, Selected};
use crate::spiffe::authority::Authority;
use crate::spiffe::bundle::Bundle;
use crate::spiffe::bundle_map::BundleMap;
use crate::spiffe::fixtures::FIXTURES;
use crate::spiffe::trust_domain::TrustDomain;

fn domain(name: &str) -> TrustDomain {
    name.parse().unwrap()
}

fn view(bundles: &[(&str, Vec<Authority>)]) -> View {
    let bundle = |(name, keys): &(&str, Vec<Authority>)| {
        let bundle = Bundle::new(domain(name), keys.iter().cloned().collect(), Some(3), None);
        (domain(name), Arc::new(bundle))
    };
    let bundles = bundles.iter().map(bundle).collect();
    let generation = Generation { number: 1, since: Instant::now() };
    View { trust_domain: domain("a"), selected: Selected { bundles, ..Selected::default() }, generation }
}

fn ca(fixture: usize) -> Authority {
    FIXTURES[fixture].x509()
}

fn output(folder: &Path) -> FilesOutput {
    FilesOutput { folder: folder.to_owned(), selection: Selection::default(), mode: 0o640, command: None }
}

async fn deliver(output: &FilesOutput, bundles: &[(&str, Vec<Authority>)]) -> Result<(), &'static str> {
    FilesSink::new(output, &Claims::default()).deliver(&view(bundles)).await.map_err(|error| error.code())
}

/// What a user sees: not our own folders and links.
fn visible(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| !name.starts_with("..")).collect();
    names.sort();
    names
}

#[tokio::test]
async fn bnd_27_31_each_domain_has_files_of_its_own_and_maps_name_all() {
    let folder = tempfile::tempdir().unwrap();
    let output = output(folder.path());
    let bundles = [("a", vec![ca(1), FIXTURES[2].jwt("k")]), ("jwt", vec![FIXTURES[3].jwt("k")]), ("-rf", vec![ca(2)])];
    deliver(&output, &bundles).await.unwrap();
    let odd = "sha256=e9cb1ef3ff4a5f7c0f05ee5e5b7ce54f10ffb3f5a0a4b1a2b1b4e7b7d7f8f9fa".len();
    let names = visible(folder.path());
    let hashed: Vec<_> = names.iter().filter(|name| name.starts_with("sha256=")).collect();
    assert!(hashed.len() == 2 && hashed[0].starts_with(&hashed[1][..odd]), "{names:?}");
    let plain: Vec<_> = names.iter().filter(|name| !name.starts_with("sha256=")).map(String::as_str).collect();
    let expected = [
        "a.jwks.json",
        "a.trust-bundle.pem",
        "bundle-map.grpc.json",
        "bundle-map.json",
        "jwt.jwks.json",
        "manifest.json",
    ];
    assert_eq!(plain, expected);
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    let map = BundleMap::parse(&read("bundle-map.json")).unwrap();
    let names: Vec<_> = map.bundles().keys().map(TrustDomain::as_str).collect();
    assert_eq!(names, ["-rf", "a"], "a domain without CA would have Envoy refuse the map");
    assert!(map.bundles().values().all(|bundle| bundle.authorities().jwt().count() == 0));
    let manifest: serde_json::Value = serde_json::from_slice(&read("manifest.json")).unwrap();
    let files = &manifest["trust_domains"]["-rf"];
    assert!(read(files["pem"].as_str().unwrap()).starts_with(b"-----BEGIN CERTIFICATE-----\n"));
    assert_eq!(files["sequence"], 3);
    let mode = |name: &str| fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("a.jwks.json"), mode("..data")), (0o640, 0o750));
}

#[tokio::test]
async fn sds_07_where_nobody_is_left_the_map_still_replaces_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    deliver(&output(folder.path()), &[("a", vec![])]).await.unwrap();
    let map = BundleMap::parse(&fs::read(folder.path().join("bundle-map.json")).unwrap()).unwrap();
    assert_eq!(map.bundles().keys().map(TrustDomain::as_str).collect::<Vec<_>>(), ["nobody.invalid"]);
    assert_eq!(visible(folder.path()).iter().filter(|name| name.starts_with("a.")).count(), 1, "no empty PEM");
}

#[tokio::test]
async fn bnd_30_a_change_swaps_all_files_and_nothing_else_touches_them() {
    let folder = tempfile::tempdir().unwrap();
    let output = output(folder.path());
    let target = || fs::read_link(folder.path().join("..data")).unwrap();
    deliver(&output, &[("a", vec![ca(1)]), ("b", vec![ca(2)])]).await.unwrap();
    let first = target();
    let mut same = view(&[("a", vec![ca(1)]), ("b", vec![ca(2)])]);
    same.generation.number = 9;
    FilesSink::new(&output, &Claims::default()).deliver(&same).await.unwrap();
    assert_eq!(target(), first, "a restart with the same bundles writes nothing");
    deliver(&output, &[("a", vec![ca(1)]), ("b", vec![ca(3)])]).await.unwrap();
    assert_ne!(target(), first);
    deliver(&output, &[("a", vec![ca(1)])]).await.unwrap();
    assert!(!visible(folder.path()).iter().any(|name| name.starts_with("b.")), "REL-06");
    let second = target();
    fs::write(folder.path().join("..data/a.trust-bundle.pem"), "mine").unwrap();
    deliver(&output, &[("a", vec![ca(1)])]).await.unwrap();
    assert_ne!(target(), second);
    assert!(fs::read(folder.path().join("a.trust-bundle.pem")).unwrap().starts_with(b"-----"), "mended");
    let hidden = fs::read_dir(folder.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().as_encoded_bytes().starts_with(b".."));
    assert_eq!(hidden.count(), 2, "the link and the folder it leads to");
}

#[tokio::test]
async fn the_manifest_says_why_a_domain_is_missing_and_is_mended_too() {
    let folder = tempfile::tempdir().unwrap();
    let output = output(folder.path());
    let manifest = || -> serde_json::Value {
        serde_json::from_slice(&fs::read(folder.path().join("manifest.json")).unwrap()).unwrap()
    };
    deliver(&output, &[("a", vec![ca(1)])]).await.unwrap();
    let mut lacking = view(&[("a", vec![ca(1)])]);
    lacking.generation.number = 2;
    for lack in [Lack::Stale, Lack::Over] {
        lacking.selected.lacking = [(domain("b"), lack)].into();
        FilesSink::new(&output, &Claims::default()).deliver(&lacking).await.unwrap();
        assert_eq!(manifest()["lacking"]["b"], lack.code());
    }
    fs::write(folder.path().join("..data/manifest.json"), "{}").unwrap();
    FilesSink::new(&output, &Claims::default()).deliver(&lacking).await.unwrap();
    assert_eq!(manifest()["lacking"]["b"], Lack::Over.code(), "mended");
}

#[tokio::test]
async fn a_volume_of_somebody_else_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let output = output(folder.path());
    let data = folder.path().join("..data");
    fs::create_dir(folder.path().join("..2026_11_24")).unwrap();
    symlink("..2026_11_24", &data).unwrap();
    symlink("..data/theirs.pem", folder.path().join("theirs.pem")).unwrap();
    assert_eq!(deliver(&output, &[("a", vec![ca(1)])]).await, Err("file-in-the-way"));
    assert_eq!(fs::read_link(&data).unwrap(), Path::new("..2026_11_24"));
    assert_eq!(visible(folder.path()), ["theirs.pem"]);
    fs::remove_file(&data).unwrap();
    fs::write(&data, "somebody's").unwrap();
    assert_eq!(deliver(&output, &[("a", vec![ca(1)])]).await, Err("file-in-the-way"));
    assert_eq!(fs::read(&data).unwrap(), b"somebody's");
}

#[tokio::test]
async fn one_file_in_the_way_blocks_no_other_and_is_not_lost() {
    let folder = tempfile::tempdir().unwrap();
    let output = output(folder.path());
    let both = [("a", vec![ca(1)]), ("b", vec![ca(2)])];
    fs::write(folder.path().join("a.trust-bundle.pem"), "somebody's").unwrap();
    fs::create_dir(folder.path().join("a.jwks.json")).unwrap();
    symlink("/etc/hostname", folder.path().join("manifest.json")).unwrap();
    fs::write(folder.path().join("notes.txt"), "somebody's").unwrap();
    assert_eq!(deliver(&output, &both).await, Err("file-in-the-way"));
    assert_eq!(fs::read(folder.path().join("a.trust-bundle.pem")).unwrap(), b"somebody's");
    assert_eq!(fs::read_link(folder.path().join("manifest.json")).unwrap(), Path::new("/etc/hostname"));
    assert!(folder.path().join("b.trust-bundle.pem").exists());
    fs::remove_file(folder.path().join("a.trust-bundle.pem")).unwrap();
    fs::remove_dir(folder.path().join("a.jwks.json")).unwrap();
    fs::remove_file(folder.path().join("manifest.json")).unwrap();
    assert_eq!(deliver(&output, &both).await, Ok(()));
    assert!(folder.path().join("a.trust-bundle.pem").exists() && folder.path().join("notes.txt").exists());
}

#[tokio::test]
async fn one_folder_under_two_names_is_written_by_one_output() {
    let place = tempfile::tempdir().unwrap();
    let [folder, elsewhere, link] = ["folder", "elsewhere", "link"].map(|name| place.path().join(name));
    fs::create_dir(&folder).unwrap();
    fs::create_dir(&elsewhere).unwrap();
    symlink(&folder, &link).unwrap();
    let claims = Claims::default();
    let mut first = FilesSink::new(&output(&folder), &claims);
    first.deliver(&view(&[("a", vec![ca(1)])])).await.unwrap();
    for spelling in [link.clone(), place.path().join("elsewhere/../folder")] {
        let error = FilesSink::new(&output(&spelling), &claims).deliver(&view(&[])).await.unwrap_err();
        assert!(error.to_string().contains(folder.to_str().unwrap()), "{error}");
        assert_eq!(error.code(), "folder-of-another-output", "{}", spelling.display());
    }
    assert!(folder.join("a.jwks.json").exists(), "untouched");
    let mut second = FilesSink::new(&output(&link), &claims);
    fs::remove_file(&link).unwrap();
    symlink(&elsewhere, &link).unwrap();
    second.deliver(&view(&[])).await.unwrap();
    fs::remove_dir_all(&folder).unwrap();
    symlink(&elsewhere, &folder).unwrap();
    assert_eq!(first.deliver(&view(&[])).await.unwrap_err().code(), "folder-of-another-output");
    fs::remove_file(&link).unwrap();
    assert_eq!(second.deliver(&view(&[])).await.unwrap_err().code(), "file-unreadable");
    first.deliver(&view(&[])).await.unwrap();
}

#[tokio::test]
async fn a_folder_that_others_may_write_or_that_is_away_gets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let output = output(folder.path());
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    assert_eq!(deliver(&output, &[("a", vec![ca(1)])]).await, Err("file-writable-by-others"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    drop(folder);
    assert_eq!(deliver(&output, &[("a", vec![ca(1)])]).await, Err("file-unreadable"));
}

#[tokio::test]
async fn the_command_hears_of_each_change_in_a_file_and_again_until_it_succeeds() {
    let folder = tempfile::tempdir().unwrap();
    let heard = folder.path().join("heard");
    let told = |script: &str| FilesOutput {
        command: Some(AfterChange {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into(), "sh".into(), heard.display().to_string()],
        }),
        ..output(folder.path())
    };
    let copies = told("cat \"$COMITY_CHANGES\" >> \"$1\"");
    let heard = || {
        let text = fs::read_to_string(&heard).unwrap_or_default();
        let changes: Option<serde_json::Value> = (!text.is_empty()).then(|| serde_json::from_str(&text).unwrap());
        drop(fs::remove_file(&heard));
        changes.map(|changes| (changes["written"].clone(), changes["removed"].clone()))
    };
    deliver(&copies, &[("a", vec![ca(1)])]).await.unwrap();
    let (written, _) = heard().unwrap();
    assert!(written.as_array().unwrap().contains(&"a.trust-bundle.pem".into()), "{written}");
    deliver(&copies, &[("a", vec![ca(1)])]).await.unwrap();
    assert_eq!(heard(), None, "nothing has changed");
    let both = [("a", vec![ca(1)]), ("b", vec![ca(2)])];
    assert_eq!(deliver(&told("exit 3"), &both).await, Err("command-failed"));
    assert_eq!(deliver(&told("exit 3"), &[("b", vec![ca(2)])]).await, Err("command-failed"));
    let missing = AfterChange { program: "/nowhere/x".into(), arguments: vec![] };
    let missing = FilesOutput { command: Some(missing), ..output(folder.path()) };
    assert_eq!(deliver(&missing, &[("b", vec![ca(2)])]).await, Err("command-not-run"));
    deliver(&copies, &[("b", vec![ca(2)])]).await.unwrap();
    let (written, removed) = heard().unwrap();
    assert!(written.as_array().unwrap().contains(&"b.trust-bundle.pem".into()), "{written}");
    assert_eq!(removed, serde_json::json!(["a.jwks.json", "a.trust-bundle.pem"]));
}

#[tokio::test]
async fn the_command_inherits_no_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let heard = folder.path().join("heard");
    let command = AfterChange {
        program: "/bin/sh".into(),
        arguments: vec!["-c".into(), "env > \"$1\"".into(), "sh".into(), heard.display().to_string()],
    };
    let output = FilesOutput { command: Some(command), ..output(folder.path()) };
    // What a shell sets by itself.
    let known = ["COMITY_CHANGES", "PWD", "OLDPWD", "SHLVL", "_"].iter().chain(&command::PASSED_ON);
    let is_known = |name: &str| known.clone().any(|known| *known == name);
    assert!(std::env::vars_os().any(|(name, _)| !name.to_str().is_some_and(is_known)), "there is nothing to hide");
    deliver(&output, &[("a", vec![ca(1)])]).await.unwrap();
    let heard = fs::read_to_string(heard).unwrap();
    let names: Vec<_> = heard.lines().map(|line| line.split('=').next().unwrap()).collect();
    assert!(names.contains(&"COMITY_CHANGES") && names.contains(&"PATH"), "{names:?}");
    let strange: Vec<_> = names.into_iter().filter(|name| !is_known(name)).collect();
    assert_eq!(strange, [""; 0]);
}

#[tokio::test]
async fn bnd_30_what_can_not_be_written_leaves_the_files_before() {
    let folder = tempfile::tempdir().unwrap();
    let output = output(folder.path());
    deliver(&output, &[("a", vec![ca(1)])]).await.unwrap();
    let state = || (fs::read_link(folder.path().join("..data")).unwrap(), visible(folder.path()));
    let before = state();
    let obstacle = folder.path().join("..data_tmp");
    fs::create_dir(&obstacle).unwrap();
    assert_eq!(deliver(&output, &[("b", vec![ca(2)])]).await, Err("files-not-written"));
    assert_eq!(state(), before);
    fs::remove_dir(obstacle).unwrap();
    fs::create_dir(folder.path().join("..comity-left-by-a-crash")).unwrap();
    deliver(&output, &[("b", vec![ca(2)])]).await.unwrap();
    assert!(!folder.path().join("..comity-left-by-a-crash").exists() && folder.path().join("b.jwks.json").exists());
}
