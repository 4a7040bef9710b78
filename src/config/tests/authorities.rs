use super::*;
use crate::authorities::polled::{Origin, PolledSource};

/// One source under `[[authorities.KIND]]`.
fn one(kind: &str, keys: &str) -> String {
    with(&format!("[[authorities.{kind}]]\n{keys}\n"))
}

fn endpoint(keys: &str) -> String {
    let keys = format!("listen = \"127.0.0.1:1\"\n{keys}");
    with(&format!("[authorities]\nworkload_api = \"unix:///s\"\n[endpoint.https_spiffe]\n{keys}\n"))
}

#[test]
fn a_workload_api_is_all_that_an_endpoint_needs() {
    let config = Folder::new().load(&endpoint("workload_api = \"unix:///s\"\nspiffe_id = \"spiffe://a.example/x\""));
    let config = config.unwrap();
    assert!(config.publishes());
    let described = describe(&config);
    for line in ["source        own bundle at unix:///s, as it streams", "SVID from a Workload API"] {
        assert!(described.contains(line), "{line} is not in\n{described}");
    }
}

#[test]
fn sources_are_read_in_order_with_their_defaults() {
    let folder = Folder::new();
    folder.write("ca.pem", &ca_pem(None));
    let config = folder.load(&with(
        "[[authorities.oidc]]\nissuer = \"https://i.example/\"\nbearer_token_file = \"token\"\n\
         [[authorities.url]]\nurl = \"https://v.example/ca\"\nroot_certificates = \"ca.pem\"\ninterval = \"1h\"\n\
         [[authorities.url]]\nurl = \"https://c.example\"\n",
    ));
    let config = config.unwrap();
    let path = |name: &str| Some(folder.0.path().join(name));
    let source = |origin, root_certificates, bearer_token, seconds| PolledSource {
        origin,
        root_certificates,
        bearer_token,
        interval: Duration::from_secs(seconds),
    };
    let expected = [
        source(Origin::Certificates("https://v.example/ca".into()), path("ca.pem"), None, 3600),
        source(Origin::Certificates("https://c.example/".into()), None, None, 60),
        source(Origin::Issuer("https://i.example/".into()), None, path("token"), 60),
    ];
    assert_eq!((config.authority_sources.as_slice(), config.publishes()), (&expected[..], true));
    let described = describe(&config);
    for line in ["authorities   none in files", "source        CA certificates at https://v.example/ca, every 1h"] {
        assert!(described.contains(line), "{line} is not in\n{described}");
    }
}

#[test]
fn mistakes_in_sources_are_told_with_their_place() {
    let twice = "url = \"https://v.example\"\n[[authorities.url]]\nurl = \"https://v.example/\"";
    for (text, key, message) in [
        (one("url", ""), "authorities.url[0].url", "required: the https URL"),
        (one("url", "url = \"http://127.0.0.1:8200/v1/pki/ca/pem\""), "authorities.url[0].url", "not https"),
        (one("url", "url = \"https://u:p@v.example/\""), "authorities.url[0].url", "user information"),
        (one("url", "url = \"https://v.example\"\ninterval = \"2h\""), "authorities.url[0].interval", "maximum of 1h"),
        (one("url", "url = \"https://v.example\"\ninterval = \"1ms\""), "authorities.url[0].interval", "minimum of 1s"),
        (one("url", "url = \"https://v.example\"\nformat = \"pem\""), "authorities.url[0].format", "unknown key"),
        (
            one("url", "url = \"https://v.example\"\nroot_certificates = \"no\""),
            "authorities.url[0].root_certificates",
            "no",
        ),
        (one("url", twice), "authorities.url", "is there twice"),
        (with("[authorities.url]\nurl = \"https://v.example\""), "authorities.url", "[[authorities.url]]"),
        (with("[authorities]\nurl = [\"https://v.example\"]"), "authorities.url", "is not a section"),
        (with("[authorities]\nworkload_api = \"tcp://127.0.0.1:1\""), "authorities.workload_api", "unix:///run"),
        (with("[authorities]\nworkload_api = \"/run/agent.sock\""), "authorities.workload_api", "unix:///run"),
        (endpoint("workload_api = \"unix://x/y\""), "endpoint.https_spiffe.workload_api", "unix:///run"),
        (endpoint("workload_api = \"unix:///s\"\nsvid = \"x\""), "endpoint.https_spiffe.svid", "one or the other"),
        (
            endpoint("workload_api = \"unix:///s\"\nprivate_key = \"x\""),
            "endpoint.https_spiffe.private_key",
            "one or the other",
        ),
        (endpoint("workload_api = \"unix:///s\"\nspiffe_id = \"x\""), "endpoint.https_spiffe.spiffe_id", "x"),
        (
            endpoint("workload_api = \"unix:///s\"\nspiffe_id = \"spiffe://b.example/x\""),
            "endpoint.https_spiffe.spiffe_id",
            "not of our trust domain",
        ),
        (
            endpoint("workload_api = \"unix:///s\"\nspiffe_id = \"spiffe://a.example\""),
            "endpoint.https_spiffe.spiffe_id",
            "has no path",
        ),
        (
            endpoint("svid = \"x\"\nprivate_key = \"y\"\nspiffe_id = \"spiffe://a.example/x\""),
            "endpoint.https_spiffe.spiffe_id",
            "not set",
        ),
        (one("oidc", ""), "authorities.oidc[0].issuer", "or jwks_url instead"),
        (one("oidc", "issuer = \"https://i.example?x\""), "authorities.oidc[0].issuer", "neither query nor fragment"),
        (
            one("oidc", "issuer = \"https://i.example\"\njwks_url = \"https://i.example/k\""),
            "authorities.oidc[0].jwks_url",
            "give one",
        ),
        (one("oidc", "jwks_url = \"http://i.example/k\""), "authorities.oidc[0].jwks_url", "not https"),
    ] {
        let told = messages(Folder::new().load(&text));
        let found = told.iter().any(|(at, said)| at == key && said.contains(message));
        assert!(found, "{key}: {message} is not in {told:?}\n{text}");
    }
}
