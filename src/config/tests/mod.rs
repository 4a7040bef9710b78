mod acme;
mod authorities;
mod documents;
mod outputs;
mod policy;
mod pushed;
mod reload;
mod served;

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, SanType};

use super::*;
use crate::federation::relationship::{ChangeControl, EndpointProfile};
use crate::spiffe::bundle::Bundle;
use crate::spiffe::document::render::{WitAuthorities, render};
use crate::telemetry::LogFormat;

/// A folder with configuration files that need no others.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn load(&self, text: &str) -> Result<Config, ConfigErrors> {
        load(Some(&self.write("comity.toml", text)), &HashMap::new(), &[])
    }
}

fn variables(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn messages(result: Result<Config, ConfigErrors>) -> Vec<(String, String)> {
    let errors = result.expect_err("a mistake");
    errors.problems().iter().map(|problem| (problem.key.clone(), problem.message.clone())).collect()
}

fn ca_pem(uri: Option<&str>) -> String {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.subject_alt_names.extend(uri.map(|uri| SanType::URI(uri.try_into().unwrap())));
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
}

/// The least that is valid, with room for more.
fn with(more: &str) -> String {
    format!("trust_domain = \"a.example\"\n{WEB}{more}")
}

const WEB: &str = "[federation.\"b.example\"]\nendpoint_url = \"https://b.example/\"\nprofile = \"https_web\"\n";
const SPIFFE: &str = "trust_domain = \"a.example\"\n[federation.\"b.example\"]\nendpoint_url = \"https://b.example/\"\n\
                      profile = \"https_spiffe\"\n";

#[test]
fn defaults_are_those_of_the_design() {
    let config = Folder::new().load(&with("")).unwrap();
    assert_eq!(config.refresh_hint, Duration::from_secs(300));
    assert_eq!(config.store_url, "sqlite:///var/lib/comity/comity.db");
    assert_eq!(config.admin_socket, Path::new("/var/lib/comity/admin.sock"));
    assert_eq!((config.log.format, config.endpoints.len(), config.operations), (LogFormat::Text, 0, None));
    let relationship = &config.relationships[0];
    assert_eq!(relationship.change_control, ChangeControl::Automatic);
    assert_eq!(relationship.maximum_staleness, Some(Duration::from_secs(7 * 86_400)));
    assert_eq!((relationship.key_notice, relationship.endpoint.redirects), (None, 5));
    assert_eq!(relationship.poll, crate::federation::relationship::PollPolicy::default());
    assert!(matches!(relationship.endpoint.profile, EndpointProfile::HttpsWeb { roots: None }));
}

#[test]
fn flags_beat_the_environment_which_beats_the_file_which_beats_defaults() {
    let folder = Folder::new();
    let file =
        folder.write("comity.toml", &with("[log]\nformat = \"json\"\nlevel = \"warn\"\n[store]\nurl = \"memory:\""));
    let environment = variables(&[
        ("COMITY__LOG__LEVEL", "debug"),
        ("COMITY__STORE__URL", "sqlite:///e/c.db"),
        ("COMITY_LOG_LEVEL", "x"),
    ]);
    let flags = [("store.url".to_owned(), "sqlite:///f/c.db".to_owned())];
    let config = load(Some(&file), &environment, &flags).unwrap();
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.log.level, tracing::level_filters::LevelFilter::DEBUG);
    assert_eq!(config.store_url, "sqlite:///f/c.db");
}

#[test]
fn variables_that_kubernetes_sets_for_a_service_of_our_name_are_no_keys() {
    let file = Folder::new();
    let path = file.write("comity.toml", &with(""));
    let environment =
        variables(&[("COMITY_SERVICE_HOST", "10.0.0.1"), ("COMITY_PORT_8443_TCP", "tcp://10.0.0.1:8443")]);
    assert!(load(Some(&path), &environment, &[]).is_ok());
}

#[test]
fn the_environment_alone_can_configure_an_endpoint() {
    let environment = variables(&[
        ("COMITY__TRUST_DOMAIN", "a.example"),
        ("COMITY__AUTHORITIES__X509", "/a/ca.pem, /b"),
        ("COMITY__ENDPOINT__HTTPS_WEB__LISTEN", "[::]:8443"),
        ("COMITY__ENDPOINT__HTTPS_WEB__CERTIFICATE", "tls.crt"),
        ("COMITY__ENDPOINT__HTTPS_WEB__PRIVATE_KEY", "tls.key"),
        ("COMITY__ENDPOINT__HTTPS_WEB__MAX_CONNECTIONS", "7"),
    ]);
    let config = load(None, &environment, &[]).unwrap();
    assert_eq!(config.authorities, AuthorityFiles::new(vec!["/a/ca.pem".into(), "/b".into()], vec![]));
    let endpoint = &config.endpoints[0];
    assert_eq!((endpoint.path.as_str(), endpoint.max_connections), ("/", 7));
    let keys = EndpointKeys::Files { certificate: "tls.crt".into(), private_key: "tls.key".into() };
    assert_eq!(endpoint.keys, keys, "relative to the working directory");
}

#[test]
fn toml_yaml_and_json_say_the_same() {
    let folder = Folder::new();
    let yaml = "trust_domain: a.example\nfederation:\n  b.example:\n    endpoint_url: https://b.example/\n    profile: https_web\n";
    let json = r#"{"trust_domain":"a.example","federation":{"b.example":{"endpoint_url":"https://b.example/","profile":"https_web"}}}"#;
    for (name, text) in [("c.toml", with("")), ("c.yaml", yaml.into()), ("c.yml", yaml.into()), ("c.json", json.into())]
    {
        let config = load(Some(&folder.write(name, &text)), &HashMap::new(), &[]).unwrap();
        assert_eq!(config.relationships[0].trust_domain.as_str(), "b.example", "{name}");
    }
}

#[test]
fn every_mistake_is_reported_at_once_with_its_layer() {
    let folder = Folder::new();
    let file = folder.write(
        "comity.toml",
        "trust_domain = \"A.example\"\nlisten = 1\n[store]\nurl = \"postgres://x\"\n[endpoint.https_web]\nlistn = \"0.0.0.0:1\"\n\
         [federation.\"b.example\"]\nprofile = \"https-spiffe\"\n",
    );
    let environment = variables(&[("COMITY__AUTHORITIES__REFRESH_HINT", "2s")]);
    let errors = load(Some(&file), &environment, &[("log.level".into(), "loud".into())]).unwrap_err();
    let shown = errors.to_string().replace(file.to_str().unwrap(), "comity.toml");
    let lines: Vec<&str> = shown.lines().map(str::trim).collect();
    for expected in [
        "12 problems in the configuration",
        "federation.\"b.example\".profile       \"https-spiffe\" is not https_web or https_spiffe",
        "(COMITY__AUTHORITIES__REFRESH_HINT)",
        "\"2s\" is below the minimum of 1m",
        "unknown key; did you mean listen?",
        "required: an address and port",
        "upper-case letter at byte 0",
        "\"loud\" is not off, error, warn, info, debug or trace",
        "(flag)",
        "neither sqlite:///absolute/path/comity.db nor memory:",
    ] {
        assert!(lines.iter().any(|line| line.contains(expected)), "{expected} is not in\n{shown}");
    }
}

#[test]
fn each_value_says_what_would_be_right() {
    for (text, key, expected) in [
        (
            "[authorities]\nrefresh_hint = 300",
            "authorities.refresh_hint",
            "300 has no unit; write \"300s\" for seconds",
        ),
        ("[authorities]\nrefresh_hint = \"25h\"", "authorities.refresh_hint", "\"25h\" is above the maximum of 1day"),
        (
            "[authorities]\nrefresh_hint = \"soon\"",
            "authorities.refresh_hint",
            "\"soon\" is not a duration such as \"90s\", \"5m\" or \"1h 30m\"",
        ),
        ("[authorities]\nx509 = [1]", "authorities.x509", "[1] is not a list of paths such as [\"/etc/comity/ca/\"]"),
        (
            "[operations]\nlisten = \"localhost\"",
            "operations.listen",
            "\"localhost\": not an address and port such as \"0.0.0.0:8443\" or \"[::]:8443\"",
        ),
        (
            "[store]\nurl = \"sqlite:comity.db\"",
            "store.url",
            "\"sqlite:comity.db\" is neither sqlite:///absolute/path/comity.db nor memory:",
        ),
        ("[log]\nformat = true", "log.format", "true is not a text in quotes"),
        ("[store.url]\nfile = \"x\"", "store.url.file", "unknown key; nothing goes below a plain value"),
        (
            "[federation.\"c.example\"]\napprovals = 2\nendpoint_url = \"https://c/\"\nprofile = \"https_web\"",
            "federation.\"c.example\".approvals",
            "not supported yet: approval by several people",
        ),
        (
            "[federation.\"*\"]\nprofile = \"https_web\"",
            "federation.\"*\".profile",
            "belongs to one relationship, not to all",
        ),
        ("[federation]\n\"c.example\" = 1", "federation.\"c.example\"", "is not a section with keys of its own"),
    ] {
        let problems = messages(Folder::new().load(&with(text)));
        assert!(problems.contains(&(key.into(), expected.into())), "{text}: {problems:?}");
    }
}

#[test]
fn later_promises_are_refused_with_the_reason() {
    let problems = messages(Folder::new().load(&with("approvals = true")));
    assert_eq!(problems[0].0, "federation.\"b.example\".approvals");
    assert!(problems[0].1.starts_with("not supported yet: "), "{problems:?}");
}

#[test]
fn fec_02_03_05_and_id_11_mistakes_of_a_relationship_are_found() {
    for (name, text, key, expected) in [
        ("ID-11", "trust_domain = \"b.example\"\n".to_owned() + WEB, "", "is our own trust domain"),
        ("ID-12", with("").replace("\"b.example\"]", "\"spiffe://b.example\"]"), "", "spiffe://"),
        ("FEC-02", with("").replace("profile = \"https_web\"", ""), "profile", "required"),
        ("FEC-02", with("").replace("endpoint_url = \"https://b.example/\"", ""), "endpoint_url", "required"),
        ("FEC-03", with("").replace("https://", "http://"), "endpoint_url", "the scheme is not https"),
        ("FEC-03", with("").replace("https://", "https://u:p@"), "endpoint_url", "user information"),
        ("FEC-03", with("").replace("https://b.example/", "/bundle"), "endpoint_url", "not an absolute URL"),
        ("FEC-05", SPIFFE.into(), "endpoint_spiffe_id", "required"),
        ("FEC-06", SPIFFE.into(), "bootstrap_bundle", "required"),
        ("FEC-05", format!("{SPIFFE}endpoint_spiffe_id = \"spiffe://b.example\""), "endpoint_spiffe_id", "has no path"),
        (
            "FEC-12",
            format!("{SPIFFE}endpoint_spiffe_id = \"spiffe://c/x\""),
            "endpoint_spiffe_id",
            "speaks_for_domain = true",
        ),
        ("web", with("endpoint_spiffe_id = \"spiffe://b.example/x\""), "endpoint_spiffe_id", "is for profile"),
        ("web", with("bootstrap_bundle = \"x\""), "bootstrap_bundle", "is for profile"),
        ("FEC-19", with("redirects = 6"), "redirects", "6 is above the maximum of 5"),
        ("notice", with("key_notice = \"1h\""), "key_notice", "counts only with"),
        ("poll", with("minimum_interval = \"2h\""), "minimum_interval", "is above maximum_interval"),
        ("age", with("maximum_staleness = \"30m\""), "maximum_staleness", "lapses between two polls"),
        ("age", with("maximum_staleness = false"), "maximum_staleness", "not a text"),
        ("SSRF", with("allow_link_local = 1"), "allow_link_local", "neither true nor false"),
    ] {
        let problems = messages(Folder::new().load(&text));
        let found = problems.iter().any(|(at, message)| at.ends_with(key) && message.contains(expected));
        assert!(found, "{name} {expected}: {problems:?}");
    }
}

#[test]
fn fec_03_13_27_mistakes_about_routes_to_an_endpoint_and_its_beginning_are_found() {
    for (name, text, key, expected) in [
        ("FEC-03", with("fallback_urls = [\"http://b2.example/\"]"), "fallback_urls", "the scheme is not https"),
        ("twice", with("fallback_urls = [\"https://b.example\"]"), "fallback_urls", "is endpoint_url already"),
        ("twice", with("fallback_urls = [\"https://c/\", \"https://C/\"]"), "fallback_urls", "stands there twice"),
        (
            "too many",
            with("fallback_urls = [\"https://1/a\", \"https://1/b\", \"https://1/c\", \"https://1/d\"]"),
            "fallback_urls",
            "has 4 URLs; at most 3",
        ),
        (
            "for all",
            with("[federation.\"*\"]\nfallback_urls = [\"https://c/\"]"),
            "fallback_urls",
            "belongs to one relationship",
        ),
        ("one route", with("two_routes = true"), "two_routes", "needs a second URL"),
        (
            "one route",
            with("two_routes = true\nfallback_urls = [\"https://b.example:443/2\"]"),
            "two_routes",
            "these are one route",
        ),
        ("twice", with("fallback_urls = [\"https://b.example/#2\"]"), "fallback_urls", "is endpoint_url already"),
        ("a pin", format!("{SPIFFE}pinned_authority = \"sha256:ab\""), "pinned_authority", "64 hexadecimal digits"),
        (
            "both",
            format!("{SPIFFE}pinned_authority = \"{}\"\nbootstrap_bundle = \"x\"", "ab".repeat(32)),
            "pinned_authority",
            "one or the other",
        ),
        ("a pin", with("pinned_authority = \"sha256:ab\""), "pinned_authority", "is for profile"),
        (
            "FEC-13",
            format!("{SPIFFE}endpoint_spiffe_id = \"spiffe://b.example/x\"\nendpoint_host_speaks_for_domain = true"),
            "endpoint_host_speaks_for_domain",
            "counts only with",
        ),
        ("web", with("endpoint_host_speaks_for_domain = true"), "endpoint_host_speaks_for_domain", "is for profile"),
        ("FEC-27", with("proxy = \"https://proxy:3128\""), "proxy", "not an http URL"),
        ("FEC-27", with("proxy = \"http://u:p@proxy:3128\""), "proxy", "user information"),
        ("FEC-27", with("[federation.\"*\"]\nproxy = \"http://proxy\""), "proxy", "belongs to one relationship"),
    ] {
        let problems = messages(Folder::new().load(&text));
        let found = problems.iter().any(|(at, message)| at.ends_with(key) && message.contains(expected));
        assert!(found, "{name} {expected}: {problems:?}");
    }
}

#[test]
fn mistakes_of_the_authorization_listener_are_found_all_at_once() {
    let tls = "listen = \"127.0.0.1:9\"\nsvid = \"a\"\nprivate_key = \"b\"\n";
    for (name, text, key, expected) in [
        ("no way in", "path = \"/check\"", "socket", "required: the path of a Unix socket, or listen"),
        ("two ways in", "socket = \"/a\"\nlisten = \"127.0.0.1:9\"", "listen", "one or the other"),
        ("plain TCP", "listen = \"127.0.0.1:9\"", "svid", "required: a PEM file with an X509-SVID"),
        ("plain TCP", "listen = \"127.0.0.1:9\"", "private_key", "required"),
        ("TLS for everybody", tls, "proxies", "required: the SPIFFE IDs of the proxies"),
        ("TLS for everybody", &format!("{tls}proxies = []"), "proxies", "required"),
        ("a whole domain", &format!("{tls}proxies = [\"spiffe://b.example\"]"), "proxies", "it has no path"),
        ("a pattern", &format!("{tls}proxies = [\"spiffe://b.example/**\"]"), "proxies", "spiffe://b.example/**"),
        ("two certificates", &format!("{tls}certificate = \"c\""), "svid", "one or the other"),
        ("TLS on a socket", "socket = \"/a\"\nproxies = [\"spiffe://b.example/x\"]", "proxies", "is for listen"),
        ("the admin's", "socket = \"/var/lib/comity/admin.sock\"", "socket", "is the admin socket"),
        ("too long", &format!("socket = \"/{}\"", "a".repeat(107)), "socket", "at most 107"),
        (
            "no pattern",
            "socket = \"/a\"\nallow = [\"spiffe://b.example/x\", \"*\"]",
            "allow",
            "\"*\": a pattern begins",
        ),
        ("no pattern", "socket = \"/a\"\nallow = [\"spiffe://b.example\"]", "allow", "has a path"),
        ("no list", "socket = \"/a\"\nallow = 7", "allow", "7 is not a list of patterns such as"),
        ("no path", "socket = \"/a\"\npath = \"check\"", "path", "a path begins with /"),
        ("no boolean", "socket = \"/a\"\nrequire_hash = \"no\"", "require_hash", "neither true nor false"),
        ("a typo", "socket = \"/a\"\nallowed = []", "allowed", "did you mean allow?"),
    ] {
        let problems = messages(Folder::new().load(&with(&format!("[authorization]\n{text}"))));
        let found =
            problems.iter().any(|(at, message)| *at == format!("authorization.{key}") && message.contains(expected));
        assert!(found, "{name} {expected}: {problems:?}");
    }
    let taken = with(&format!(
        "[authorization]\n{tls}proxies = [\"spiffe://b.example/x\"]\n[operations]\nlisten = \"0.0.0.0:9\""
    ));
    assert!(messages(Folder::new().load(&taken))[0].1.contains("another listener's address"));
    let several =
        messages(Folder::new().load(&with("[authorization]\npath = \"x\"\nallow = [\"*\", \"x\"]\nrequire_hash = 1")));
    assert_eq!(several.len(), 5, "{several:?}");
}

#[test]
fn an_authorization_listener_is_off_until_it_is_configured_and_then_lets_in_nobody() {
    let load = |text: &str| Folder::new().load(&with(text)).unwrap();
    assert_eq!(load("").authorization, None);
    let listener = load("[authorization]\nsocket = \"/run/a.sock\"").authorization.unwrap();
    assert_eq!(listener.transport, AuthorizationTransport::Unix("/run/a.sock".into()));
    assert_eq!((listener.path.as_str(), listener.rules.allow.len(), listener.rules.require_hash), ("/", 0, true));
    let tls = "[authorization]\nlisten = \"127.0.0.1:9\"\ncertificate = \"/a\"\nprivate_key = \"/b\"\n\
               proxies = [\"spiffe://b.example/x\", \"spiffe://a.example/y\"]\nallow = \"spiffe://b.example/**\"";
    let config = load(tls);
    let listener = config.authorization.as_ref().unwrap();
    let AuthorizationTransport::Tls(mutual) = &listener.transport else { panic!("{listener:?}") };
    assert_eq!((mutual.is_svid, mutual.proxies.len(), listener.rules.allow.len()), (false, 2, 1));
    assert!(describe(&config).contains("https://127.0.0.1:9 for 2 proxies, lets in spiffe://b.example/**"));
}

#[test]
fn staleness_off_must_be_written_and_policy_for_all_may_be_overruled() {
    let all = "[federation.\"*\"]\nmaximum_staleness = \"off\"\nchange_control = \"manual\"\n";
    let config = Folder::new().load(&(with("change_control = \"overlapping\"\nkey_notice = \"1h\"\n") + all)).unwrap();
    let relationship = &config.relationships[0];
    assert_eq!(relationship.maximum_staleness, None);
    assert_eq!(relationship.change_control, ChangeControl::Overlapping);
    assert_eq!(relationship.key_notice, Some(Duration::from_secs(3600)));
}

/// A relationship whose endpoint is in another domain, which may speak for it.
fn via(domain: &str, host: &str) -> String {
    format!(
        "[federation.\"{domain}\"]\nendpoint_url = \"https://{host}/\"\nprofile = \"https_spiffe\"\n\
         endpoint_spiffe_id = \"spiffe://{host}/e\"\nendpoint_host_speaks_for_domain = true\n"
    )
}

#[test]
fn fec_12_15_the_host_of_an_endpoint_is_a_known_domain_and_no_domain_vouches_for_itself() {
    let top = "trust_domain = \"a.example\"\n".to_owned();
    for (name, text, wrong, expected) in [
        ("unknown", via("b.example", "c.example"), "b.example", "is in c.example, with which there is no relationship"),
        ("our own", via("b.example", "a.example"), "b.example", "is in our own trust domain"),
        (
            "two around",
            via("b.example", "c.example") + &via("c.example", "b.example"),
            "c.example",
            "c.example is via b.example, which is via c.example: nobody vouches",
        ),
        (
            "three around",
            via("b.example", "c.example") + &via("c.example", "d.example") + &via("d.example", "b.example"),
            "b.example",
            "is via c.example, which is via d.example, which is via b.example",
        ),
        (
            "a bundle of its own",
            via("b.example", "c.example") + "bootstrap_bundle = \"x\"\n",
            "b.example",
            "authenticated by the bundle of c.example",
        ),
    ] {
        let problems = messages(Folder::new().load(&(top.clone() + &text)));
        let found = problems.iter().any(|(at, message)| at.contains(wrong) && message.contains(expected));
        assert!(found, "{name}: {problems:?}");
    }
}

#[test]
fn fec_13_a_domain_that_another_speaks_for_is_manual_unless_it_says_otherwise_itself() {
    let all = "[federation.\"*\"]\nchange_control = \"overlapping\"\n";
    for (own, expected) in [("", ChangeControl::Manual), ("change_control = \"automatic\"\n", ChangeControl::Automatic)]
    {
        let text = with("") + &via("c.example", "b.example") + own + all;
        let config = Folder::new().load(&text).unwrap();
        let [b, c] = &config.relationships[..] else { panic!("{config:?}") };
        assert_eq!((b.change_control, c.change_control), (ChangeControl::Overlapping, expected));
        assert_eq!((b.via(), c.via()), (None, Some(&b.trust_domain)));
        assert!(describe(&config).contains("spiffe://b.example/e, which speaks for it"), "{}", describe(&config));
    }
}

#[test]
fn a_pin_is_written_as_tools_print_it() {
    let digits = "0123456789abcdef".repeat(4);
    let pairs: Vec<_> = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap()).collect();
    let colons = pairs.join(":").to_uppercase();
    for pin in [format!("sha256:{digits}"), format!("x509:{digits}"), digits.clone(), colons] {
        let text = format!("{SPIFFE}endpoint_spiffe_id = \"spiffe://b.example/e\"\npinned_authority = \"{pin}\"");
        let config = Folder::new().load(&text).unwrap();
        assert_eq!(config.relationships[0].pinned_authority(), digits.parse().ok(), "{pin}");
        assert!(describe(&config).contains(&format!("first under sha256:{digits}")), "{pin}");
    }
}

#[test]
fn fec_06_a_bootstrap_bundle_is_jwks_or_pem_with_an_x509_authority_of_that_domain() {
    let domain: TrustDomain = "b.example".parse().unwrap();
    let ca = crate::authorities::pem::ca_certificates(ca_pem(None).as_bytes()).unwrap();
    let authorities = ca.into_iter().map(crate::spiffe::authority::Authority::X509).collect();
    let jwks = render(&Bundle::new(domain, authorities, Some(7), None), WitAuthorities::Omit);
    let jwks = String::from_utf8(jwks).unwrap();
    for (name, text, expected) in [
        ("PEM", ca_pem(None), Ok(None)),
        ("PEM of that domain", ca_pem(Some("spiffe://b.example")), Ok(None)),
        ("JWKS", jwks, Ok(Some(7))),
        ("PEM of another", ca_pem(Some("spiffe://c.example")), Err("which is not the ID of trust domain b.example")),
        ("no X.509", "{\"keys\":[]}".into(), Err("holds no X.509 authority")),
        ("JSON cut off", "{\"keys\":[".into(), Err("")),
        ("private key", KeyPair::generate().unwrap().serialize_pem(), Err("is a private key")),
        ("empty", String::new(), Err("holds no PEM certificate")),
    ] {
        let folder = Folder::new();
        folder.write("b.bundle", &text);
        let text = format!("{SPIFFE}endpoint_spiffe_id = \"spiffe://b.example/e\"\nbootstrap_bundle = \"b.bundle\"");
        match (folder.load(&text), expected) {
            (Ok(config), Ok(sequence)) => {
                let bundle = config.relationships[0].bootstrap_bundle().unwrap();
                assert_eq!((bundle.authorities().len(), bundle.sequence()), (1, sequence), "{name}");
            }
            (Err(errors), Err(expected)) => assert!(errors.to_string().contains(expected), "{name}: {errors}"),
            (result, _) => panic!("{name}: {result:?}"),
        }
    }
}

#[test]
fn fec_04_private_roots_replace_the_systems() {
    let folder = Folder::new();
    folder.write("roots.pem", &(ca_pem(None) + &ca_pem(None)));
    let config = folder.load(&with("root_certificates = \"roots.pem\"")).unwrap();
    let EndpointProfile::HttpsWeb { roots: Some(roots) } = &config.relationships[0].endpoint.profile else {
        panic!("no private roots")
    };
    assert_eq!(roots.len(), 2);
    let problems = messages(folder.load(&with("root_certificates = \"none.pem\"")));
    assert!(problems[0].1.contains("cannot be read"), "{problems:?}");
}

#[test]
fn files_that_others_may_write_are_refused() {
    let folder = Folder::new();
    let file = folder.write("comity.toml", &with(""));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o664)).unwrap();
    let problems = messages(load(Some(&file), &HashMap::new(), &[]));
    assert!(problems[0].1.contains("chmod go-w"), "{problems:?}");
    let bundle = folder.write("b.pem", &ca_pem(None));
    fs::set_permissions(&bundle, fs::Permissions::from_mode(0o646)).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let text = format!("{SPIFFE}endpoint_spiffe_id = \"spiffe://b.example/e\"\nbootstrap_bundle = \"b.pem\"");
    let problems = messages(folder.load(&text));
    assert!(problems[0].1.contains("chmod go-w"), "{problems:?}");
}

#[test]
fn there_must_be_something_to_do_and_each_listener_has_its_own_address() {
    let nothing = messages(Folder::new().load("trust_domain = \"a.example\""));
    assert!(nothing[0].1.starts_with("nothing to do"), "{nothing:?}");
    let endpoints = "trust_domain = \"a.example\"\n[endpoint.https_web]\nlisten = \"0.0.0.0:8443\"\ncertificate = \"a\"\n\
                     private_key = \"b\"\n[endpoint.https_spiffe]\nlisten = \"127.0.0.1:8443\"\nsvid = \"a\"\nprivate_key = \"b\"\n\
                     path = \"bundle\"\n";
    let problems = messages(Folder::new().load(endpoints));
    let keys: Vec<&str> = problems.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["authorities", "endpoint.https_spiffe.path"], "{problems:?}");
    let problems = messages(Folder::new().load(&endpoints.replace("\"bundle\"", "\"/\"")));
    let message = "\"127.0.0.1:8443\" is another listener's address; each has its own".to_owned();
    assert!(problems.contains(&("endpoint.https_spiffe.listen".into(), message)), "{problems:?}");
}

#[test]
fn a_file_that_cannot_be_read_as_a_whole_is_one_problem() {
    let folder = Folder::new();
    for (name, text, expected) in [
        ("c.toml", "trust_domain = ", ""),
        ("c.ini", "", ".toml, .yaml, .yml, .json"),
        ("c.json", "[]", ""),
        ("c.toml", "a = 1\na = 2", "duplicate key"),
    ] {
        let problems = messages(load(Some(&folder.write(name, text)), &HashMap::new(), &[]));
        assert!(problems.len() == 1 && problems[0].1.contains(expected), "{name}: {problems:?}");
    }
    let problems = messages(load(Some(Path::new("/nonexistent/comity.toml")), &HashMap::new(), &[]));
    assert!(problems[0].1.contains("cannot be read"), "{problems:?}");
}
