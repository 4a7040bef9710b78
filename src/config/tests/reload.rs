use std::fs;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::config::watch::{ConfigSource, restart_needed};

#[tokio::test]
async fn a_changed_file_is_taken_over_and_a_bad_one_is_not() {
    let folder = Folder::new();
    let file = folder.write("comity.toml", &with(""));
    let mut source = ConfigSource::new(Some(file.clone()), HashMap::new(), vec![]);
    let (sender, mut configs) = watch::channel(Arc::new(source.load().unwrap()));
    let stop = CancellationToken::new();
    let test = async {
        tokio::task::yield_now().await;
        fs::write(&file, "trust_domain = 7").unwrap();
        // Renamed into place, as careful writers do, once the bad one may have been seen.
        tokio::time::sleep(Duration::from_millis(600)).await;
        let new = folder.write("new", &with("").replace("b.example\"]", "c.example\"]"));
        fs::rename(new, &file).unwrap();
        timeout(Duration::from_secs(10), configs.changed()).await.unwrap().unwrap();
        assert_eq!(configs.borrow().relationships[0].trust_domain.as_str(), "c.example");
        stop.cancel();
    };
    let (watched, ()) = tokio::join!(source.watch(sender, stop.clone()), test);
    watched.unwrap();
}

#[test]
fn keys_that_need_a_restart_are_named() {
    let folder = Folder::new();
    let running = folder.load(&with("")).unwrap();
    let relationship = folder.load(&with("redirects = 0")).unwrap();
    assert_eq!(restart_needed(&running, &relationship), Vec::<&str>::new());
    let listener = |rest: &str| folder.load(&with(&format!("[authorization]\nsocket = \"/a.sock\"\n{rest}"))).unwrap();
    let (nobody, somebody) = (listener(""), listener("allow = [\"spiffe://b.example/x\"]\nrequire_hash = false"));
    assert_eq!(restart_needed(&nobody, &somebody), Vec::<&str>::new(), "rules count at once");
    assert_eq!(restart_needed(&nobody, &listener("path = \"/check\"")), ["authorization"]);
    assert_eq!(restart_needed(&running, &nobody), ["authorization"]);
    let other = folder
        .load(&with("[operations]\nlisten = \"127.0.0.1:1\"\n[store]\nurl = \"memory:\"\n[log]\nlevel = \"warn\""));
    assert_eq!(restart_needed(&running, &other.unwrap()), ["store", "operations", "admin", "log"]);
}

#[test]
fn a_valid_configuration_is_described_with_its_defaults() {
    let described = describe(&Folder::new().load(&with("maximum_staleness = \"off\"")).unwrap());
    for expected in [
        "the configuration is valid",
        "trust domain  a.example",
        "store         sqlite:///var/lib/comity/comity.db",
        "authorities   none: nothing is published",
        "b.example at https://b.example/ (https_web by the system's roots), change control automatic, stale never, polled every 1m to 1h",
    ] {
        assert!(described.contains(expected), "{expected} is not in\n{described}");
    }
}
