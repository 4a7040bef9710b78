//! Our JWT authorities for whoever federates by OpenID Connect: a discovery document and a key set (Discovery 1.0 §3, §4).

use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::{ContentType, HeaderValue, RETRY_AFTER};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::federation::published_bundle::PublishedDocument;
use crate::federation::relationship::EndpointUrl;
use crate::outputs::progress::Progress;
use crate::outputs::served::keep_serving;
use crate::outputs::view::View;
use crate::spiffe::authority::JwtAuthority;
use crate::spiffe::public_key::{Curve, PublicKey};

use super::conditional::Representation;

/// Who issues our JWT-SVIDs, as their `iss` says it: an https URL without query, below which both documents are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OidcIssuer {
    issuer: String,
    /// Without a slash at its end.
    path: String,
}

impl FromStr for OidcIssuer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<EndpointUrl>().map_err(|error| error.to_string())?;
        let url = Url::parse(text).map_err(|error| error.to_string())?;
        let path = url.path().trim_end_matches('/').to_owned();
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'.' | b'_' | b'~');
        match () {
            () if url.query().is_some() || url.fragment().is_some() => {
                Err("an issuer has neither a query nor a fragment (OpenID Connect Discovery §3)".into())
            }
            () if !path.bytes().all(is_plain) => Err("its path has only a-z A-Z 0-9 / - . _ ~".into()),
            // What a parser changes, tokens would not have in their "iss".
            () if url.as_str().trim_end_matches('/') != text.trim_end_matches('/') => {
                Err(format!("is not written as it is read; write \"{}\"", url.as_str().trim_end_matches('/')))
            }
            () if text.ends_with("//") => Err("ends with more than one slash".into()),
            () if text.len() > MAX_BYTES => Err(format!("is longer than the {MAX_BYTES} bytes that clouds take")),
            () => Ok(Self { issuer: text.to_owned(), path }),
        }
    }
}

impl OidcIssuer {
    pub(crate) fn as_str(&self) -> &str {
        &self.issuer
    }

    /// Where the discovery document is, and where the keys are.
    pub(crate) fn paths(&self) -> [String; 2] {
        [DISCOVERY, KEYS].map(|name| format!("{}{name}", self.path))
    }

    fn keys_url(&self) -> String {
        format!("{}{KEYS}", self.issuer.trim_end_matches('/'))
    }
}

/// Both documents, as a bundle endpoint of `https_web` serves them.
#[derive(Clone)]
pub(crate) struct Oidc {
    paths: [String; 2],
    documents: watch::Receiver<Option<Arc<[PublishedDocument; 2]>>>,
    /// For caches.
    maximum_age: Duration,
}

impl Oidc {
    /// What to serve, and what keeps it at our own keys in `views` until `stop`. Clients may keep it for `maximum_age`.
    pub(crate) fn new(
        issuer: OidcIssuer,
        maximum_age: Duration,
        views: watch::Receiver<Arc<View>>,
        progress: Arc<Progress>,
        stop: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let out = watch::Sender::new(None);
        let oidc = Self { paths: issuer.paths(), documents: out.subscribe(), maximum_age };
        let render =
            move |view: &View, _: &_| view.own().map(|own| Arc::new(documents(&issuer, own.authorities().jwt())));
        (oidc, keep_serving(views, out, progress, render, stop))
    }

    /// Whether one of the two documents is at this path.
    pub(super) fn has(&self, path: &str) -> bool {
        self.paths.iter().any(|own| own == path)
    }

    /// The document at the request's path, which is one of ours.
    pub(super) fn answer(&self, request: &HttpRequest) -> HttpResponse {
        let documents = self.documents.borrow().clone();
        let at = self.paths.iter().position(|own| own == request.uri().path());
        match documents.as_deref().zip(at).and_then(|(documents, at)| documents.get(at)) {
            Some(document) => {
                let cache_control = format!("public, max-age={}", self.maximum_age.as_secs());
                let cache_control = HeaderValue::try_from(cache_control).expect("digits are a header value");
                Representation::negotiate(document, request).answer(request, ContentType::json(), cache_control)
            }
            None => HttpResponse::ServiceUnavailable().insert_header((RETRY_AFTER, "10")).finish(),
        }
    }
}

fn documents<'a>(issuer: &OidcIssuer, keys: impl Iterator<Item = &'a JwtAuthority>) -> [PublishedDocument; 2] {
    let keys: Vec<_> = keys.filter_map(|key| Some((key, algorithm(key.key())?))).collect();
    let algorithms: BTreeSet<_> = keys.iter().map(|(_, algorithm)| *algorithm).collect();
    let discovery = json!({
        "issuer": issuer.as_str(),
        "jwks_uri": issuer.keys_url(),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": algorithms,
        "claims_supported": ["aud", "exp", "iat", "iss", "sub"],
    });
    let keys: Vec<_> = keys.into_iter().map(|(key, algorithm)| jwk(key, algorithm)).collect();
    [discovery, json!({ "keys": keys })].map(|document| {
        PublishedDocument::new(document.to_string().into_bytes()).expect("writing to memory does not fail")
    })
}

/// Unlike in a bundle, `use` and `alg` are what OpenID Connect says.
fn jwk(key: &JwtAuthority, algorithm: &str) -> Value {
    let members = key.key().to_jwk_members().into_iter().map(|(name, value)| (name.to_owned(), Value::from(value)));
    let more = [("kid", key.key_id()), ("use", "sig"), ("alg", algorithm)];
    Value::Object(members.chain(more.map(|(name, value)| (name.to_owned(), value.into()))).collect::<Map<_, _>>())
}

/// What SPIFFE issuers sign with by such a key; `None` for one that clouds don't know.
fn algorithm(key: &PublicKey) -> Option<&'static str> {
    match key {
        PublicKey::Rsa { .. } => Some("RS256"),
        PublicKey::Ec { curve: Curve::P256, .. } => Some("ES256"),
        PublicKey::Ec { curve: Curve::P384, .. } => Some("ES384"),
        PublicKey::Ec { curve: Curve::P521, .. } => Some("ES512"),
        PublicKey::Ed25519 { .. } => None,
    }
}

const DISCOVERY: &str = "/.well-known/openid-configuration";
const KEYS: &str = "/keys";
/// Of an issuer's URL, in AWS IAM.
const MAX_BYTES: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spiffe::fixtures::FIXTURES;

    #[test]
    fn an_issuer_is_an_https_url_written_as_it_is_read() {
        for (text, expected) in [
            ("https://a.example", Ok(["/.well-known/openid-configuration", "/keys"])),
            ("https://a.example/", Ok(["/.well-known/openid-configuration", "/keys"])),
            ("https://a.example:8443/oidc/v1", Ok(["/oidc/v1/.well-known/openid-configuration", "/oidc/v1/keys"])),
            ("https://a.example/oidc/", Ok(["/oidc/.well-known/openid-configuration", "/oidc/keys"])),
            ("http://a.example", Err("not https")),
            ("https://u@a.example", Err("user information")),
            ("https://a.example/?x=1", Err("neither a query nor a fragment")),
            ("https://a.example/#x", Err("neither a query nor a fragment")),
            ("https://A.example", Err("write \"https://a.example\"")),
            ("https://a.example:443/x", Err("write \"https://a.example/x\"")),
            ("https://a.example/x/../y", Err("write \"https://a.example/y\"")),
            ("https://a.example/x%20y", Err("its path has only")),
            ("https://a.example//", Err("more than one slash")),
            ("https://a.example/x//", Err("more than one slash")),
            ("a.example", Err("not an absolute URL")),
        ] {
            match (text.parse::<OidcIssuer>(), expected) {
                (Ok(issuer), Ok(paths)) => assert_eq!(issuer.paths(), paths, "{text}"),
                (Err(error), Err(part)) => assert!(error.contains(part), "{text}: {error}"),
                (read, _) => panic!("{text}: {read:?}"),
            }
        }
        assert!(format!("https://a.example/{}", "x".repeat(255)).parse::<OidcIssuer>().is_err());
    }

    #[test]
    fn clouds_are_told_of_keys_as_they_know_them() {
        let issuer: OidcIssuer = "https://a.example/oidc/".parse().unwrap();
        let keys: Vec<_> = FIXTURES.iter().enumerate().map(|(at, fixture)| fixture.jwt(&format!("k{at}"))).collect();
        let keys = keys.into_iter().collect::<crate::spiffe::bundle::Authorities>();
        let [discovery, set] = documents(&issuer, keys.jwt());
        let read = |document: &PublishedDocument| serde_json::from_slice::<Value>(&document.identity.bytes).unwrap();
        let (discovery, set) = (read(&discovery), read(&set));
        assert_eq!(discovery["issuer"], "https://a.example/oidc/");
        assert_eq!(discovery["jwks_uri"], "https://a.example/oidc/keys");
        let told = set["keys"].as_array().unwrap();
        for key in told {
            assert_eq!(key["use"], "sig", "{key}");
            assert!(key["kid"].is_string() && key["alg"].is_string() && key.get("d").is_none(), "{key}");
            assert!(discovery["id_token_signing_alg_values_supported"].as_array().unwrap().contains(&key["alg"]));
        }
        let known = keys.jwt().filter(|key| !matches!(key.key(), PublicKey::Ed25519 { .. })).count();
        assert_eq!((told.len(), known > 0), (known, true));
    }
}
