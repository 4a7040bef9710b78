//! Waits of the endpoints, and the outputs that are asked.

use super::*;

/// An `https_web` endpoint with more keys, and sections after them.
fn endpoint(keys: &str) -> String {
    let listen = if keys.contains("listen") { "" } else { "listen = \"127.0.0.1:8443\"" };
    format!(
        "trust_domain = \"a.example\"\nauthorities.x509 = [\"ca.pem\"]\n[endpoint.https_web]\ncertificate = \"c\"\n\
         private_key = \"k\"\n{listen}\n{keys}\n"
    )
}

/// A section after an endpoint.
fn section(name: &str, keys: &str) -> String {
    format!("{}[{name}]\n{keys}\n", endpoint(""))
}

#[test]
fn half_of_the_connections_may_wait_unless_it_is_said() {
    for (keys, waits, per_address) in [
        ("", 512, 16),
        ("max_connections = 100", 50, 16),
        ("max_connections = 1", 0, 16),
        ("max_waits = 0\nmax_waits_per_address = 1", 0, 1),
        ("max_connections = 4096\nmax_waits = 4095", 4095, 16),
    ] {
        let config = Folder::new().load(&endpoint(keys)).unwrap();
        let endpoint = &config.endpoints[0];
        assert_eq!((endpoint.max_waits, endpoint.max_waits_per_address), (waits, per_address), "{keys}");
    }
}

#[test]
fn what_is_asked_inside_the_domain_has_tls_or_a_loopback_address() {
    let config = Folder::new().load(&section("outputs.http", "listen = \"127.0.0.1:9445\"")).unwrap();
    let described = describe(&config);
    let line = "all trust domains at http://127.0.0.1:9445/bundles, without TLS";
    assert!(described.contains(line), "{described}");
    let http = config.outputs.http.unwrap();
    assert_eq!((http.keys, http.selection.shared_authorities), (None, false));
    let tls = "listen = \"0.0.0.0:9445\"\ncertificate = \"c\"\nprivate_key = \"k\"\ntrust_domains = [\"b.example\"]";
    let http = Folder::new().load(&section("outputs.http", tls)).unwrap().outputs.http.unwrap();
    assert!(http.keys.is_some() && http.selection.trust_domains.unwrap().contains(&"b.example".parse().unwrap()));
}

#[test]
fn mistakes_in_what_is_served_say_what_would_be_right() {
    let oidc = |keys: &str| section("outputs.oidc", keys);
    let http = |keys: &str| section("outputs.http", keys);
    for (text, key, message) in [
        (endpoint("max_waits = 1024"), "endpoint.https_web.max_waits", "below max_connections"),
        (endpoint("max_waits = 65536"), "endpoint.https_web.max_waits", "maximum of 65535"),
        (endpoint("max_waits_per_address = 0"), "endpoint.https_web.max_waits_per_address", "minimum of 1"),
        (with("wait = 5"), "federation.\"b.example\".wait", "neither true nor false"),
        (http("trust_domains = [\"b.example\"]"), "outputs.http.listen", "required"),
        (http("listen = \"0.0.0.0:9445\""), "outputs.http.certificate", "only a loopback address"),
        (http("listen = \"10.0.0.1:9445\""), "outputs.http.certificate", "only a loopback address"),
        (http("listen = \"127.0.0.1:1\"\ncertificate = \"x\""), "outputs.http.private_key", "required"),
        (http("listen = \"127.0.0.1:1\"\nprivate_key = \"x\""), "outputs.http.certificate", "required"),
        (http("listen = \"127.0.0.1:1\"\ntrust_domains = []"), "outputs.http.trust_domains", "nothing would be shown"),
        (http("listen = \"127.0.0.1:1\"\ntrust_domains = [\"B\"]"), "outputs.http.trust_domains", "\"B\""),
        (http("listen = \"127.0.0.1:1\"\npath = \"/\""), "outputs.http.path", "unknown key"),
        (oidc("issuer = \"http://a.example\""), "outputs.oidc.issuer", "not https"),
        (oidc("issuer = \"https://a.example/?x\""), "outputs.oidc.issuer", "neither a query"),
        (
            endpoint("path = \"/oidc/keys\"\n[outputs.oidc]\nissuer = \"https://a.example/oidc\""),
            "outputs.oidc.issuer",
            "where the bundle is",
        ),
        (with("[outputs.oidc]\nissuer = \"https://a.example\""), "outputs.oidc.issuer", "needs [endpoint.https_web]"),
        (
            endpoint("listen = \"127.0.0.1:7\"\n[outputs.http]\nlisten = \"127.0.0.1:7\""),
            "outputs.http.listen",
            "another listener's address",
        ),
    ] {
        let told = messages(Folder::new().load(&text));
        let found = told.iter().any(|(at, said)| at == key && said.contains(message));
        assert!(found, "{key}: {message} is not in {told:?}\n{text}");
    }
}
