//! What the service refuses to start with.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::partner::{Partner, Relationship};
use crate::service::Service;
use crate::support::ca::Ca;

#[tokio::test]
async fn fes_03_fec_03_a_url_without_tls_does_not_start() {
    let b = Partner::web("b.example").await;
    for url in ["http://127.0.0.1:1/", "https://u:p@127.0.0.1:1/", "file:///etc/passwd", "/bundle"] {
        let mut service = Service::new("a.example");
        service.configure([b.relationship().with("endpoint_url", url)]);
        assert_eq!(service.start().await.unwrap_err().code(), "config-rejected", "{url}");
    }
}

#[tokio::test]
async fn id_11_a_relationship_with_our_own_name_does_not_start() {
    let mut service = Service::new("a.example");
    service.configure([Relationship::web("a.example", "https://127.0.0.1:1/".into(), &Ca::web("web").pem())]);
    assert_eq!(service.start().await.unwrap_err().code(), "config-rejected");
}

#[tokio::test]
async fn fec_07_files_of_trust_that_others_may_write_are_refused() {
    let b = Partner::spiffe("b.example", &Ca::of("b.example")).await;
    for file in ["comity.toml", "b.example.bootstrap_bundle"] {
        let mut service = Service::new("a.example");
        service.configure([b.relationship()]);
        fs::set_permissions(service.path(file), fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(service.start().await.unwrap_err().code(), "config-rejected", "{file}");
    }
}
