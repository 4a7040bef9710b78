//! `[endpoint.https_web.acme]`.

use super::*;

const ENDPOINT: &str = "[authorities]\nx509 = \"ca/\"\n[endpoint.https_web]\nlisten = \"0.0.0.0:443\"\n";
const LEAST: &str = "domains = [\"bundle.a.example\"]\nterms_of_service_agreed = true\n";

fn section(endpoint: &str, acme: &str) -> String {
    with(&format!("{ENDPOINT}{endpoint}[endpoint.https_web.acme]\n{acme}"))
}

fn settings(config: &Config) -> &AcmeSettings {
    let EndpointKeys::Acme(settings) = &config.endpoints[0].keys else { panic!("{config:?}") };
    settings
}

#[test]
fn the_least_asks_lets_encrypt() {
    let config = Folder::new().load(&section("", LEAST)).unwrap();
    let settings = settings(&config);
    assert_eq!((&*settings.domains, &*settings.contact), (&["bundle.a.example".to_owned()][..], &[][..]));
    assert_eq!(settings.directory.to_string(), "https://acme-v02.api.letsencrypt.org/directory");
    assert!(settings.roots.is_none() && settings.external_account.is_none());
    assert!(
        describe(&config).contains("certificate for bundle.a.example from https://acme-v02"),
        "{}",
        describe(&config)
    );
}

#[test]
fn a_server_of_our_own_has_roots_and_accounts_of_its_own() {
    let folder = Folder::new();
    folder.write("root.pem", &ca_pem(None));
    folder.write("eab.key", "MDEyMzQ1Njc4OWFiY2RlZg==\n");
    let more = "contact = [\"ops@a.example\", \"mailto:it@a.example\"]\ndirectory = \"https://ca.a.example:9000/acme\"\n\
                directory_root_certificates = \"root.pem\"\neab_kid = \"k-1\"\neab_hmac_key_file = \"eab.key\"\n";
    let config = folder.load(&section("", &format!("{LEAST}{more}"))).unwrap();
    let settings = settings(&config);
    assert_eq!(settings.contact, ["mailto:ops@a.example", "mailto:it@a.example"]);
    assert_eq!(settings.roots.as_ref().unwrap().len(), 1);
    let account = settings.external_account.as_ref().unwrap();
    assert_eq!((account.key_id.as_str(), &*account.hmac_key), ("k-1", &b"0123456789abcdef"[..]));
    assert!(!format!("{config:?}").contains("hmac"), "a key is never shown");
}

#[test]
fn the_environment_alone_can_configure_it() {
    let environment = variables(&[
        ("COMITY__TRUST_DOMAIN", "a.example"),
        ("COMITY__AUTHORITIES__X509", "/a/ca.pem"),
        ("COMITY__ENDPOINT__HTTPS_WEB__LISTEN", "[::]:443"),
        ("COMITY__ENDPOINT__HTTPS_WEB__ACME__DOMAINS", "one.a.example, two.a.example"),
        ("COMITY__ENDPOINT__HTTPS_WEB__ACME__TERMS_OF_SERVICE_AGREED", "true"),
    ]);
    let config = load(None, &environment, &[]).unwrap();
    assert_eq!(settings(&config).domains, ["one.a.example", "two.a.example"]);
}

#[test]
fn every_mistake_of_the_section_is_told_at_once() {
    let folder = Folder::new();
    folder.write("short.key", "MDEy");
    let files = "certificate = \"tls.crt\"\nprivate_key = \"tls.key\"\n";
    let acme = "domains = [\"*.a.example\", \"A.example\", \"10.0.0.1\"]\ncontact = [\"nobody\"]\n\
                directory = \"http://ca.a.example/\"\ndirectory_root_certificates = \"none.pem\"\n\
                eab_hmac_key_file = \"short.key\"\nterms = true\n";
    let text = section(files, acme).replacen("[authorities]", "[store]\nurl = \"memory:\"\n[authorities]", 1);
    let told = messages(folder.load(&text));
    let keys: Vec<_> = told.iter().map(|(key, _)| key.strip_prefix("endpoint.https_web.").unwrap_or(key)).collect();
    let expected = [
        "acme.contact",
        "acme.directory",
        "acme.directory_root_certificates",
        "acme.domains",
        "acme.domains",
        "acme.domains",
        "acme.eab_hmac_key_file",
        "acme.eab_kid",
        "acme.terms",
        "acme.terms_of_service_agreed",
        "certificate",
        "private_key",
    ];
    assert_eq!(keys, expected, "{told:?}");
}

#[test]
fn a_name_that_cannot_be_proven_is_refused() {
    let long = format!("\"{}.example\"", "a".repeat(64));
    for (domains, words) in [
        ("", "is empty"),
        ("\"*.a.example\"", "no wildcard"),
        ("\"BUNDLE.a.example\"", "not a host name"),
        ("\"bündle.example\"", "xn--"),
        ("\"a..example\"", "not a host name"),
        ("\"-a.example\"", "not a host name"),
        (&long, "not a host name"),
        ("\"192.0.2.1\"", "IP address"),
        ("\"a.example\", \"b.example\", \"a.example\"", "twice"),
    ] {
        let acme = format!("domains = [{domains}]\nterms_of_service_agreed = true\n");
        let told = messages(Folder::new().load(&section("", &acme)));
        assert!(told.len() == 1 && told[0].1.contains(words), "{domains}: {told:?}");
    }
}

#[test]
fn nobody_agrees_to_terms_by_accident() {
    for text in ["", "terms_of_service_agreed = false\n"] {
        let told = messages(Folder::new().load(&section("", &format!("domains = [\"a.example\"]\n{text}"))));
        let [(key, message)] = &told[..] else { panic!("{told:?}") };
        assert_eq!(key, "endpoint.https_web.acme.terms_of_service_agreed");
        assert!(message.starts_with("required: true"), "{message}");
    }
}

#[test]
fn what_is_obtained_needs_a_store_that_lasts() {
    let text = section("", LEAST).replacen("[authorities]", "[store]\nurl = \"memory:\"\n[authorities]", 1);
    let told = messages(Folder::new().load(&text));
    assert!(told.len() == 1 && told[0].0 == "store.url", "{told:?}");
}
