//! A SPIRE server's admin socket, as far as bundles go: gRPC by hand over HTTP/2, since a library would not lie, with
//! messages generated from SPIRE's published protocol, in which none of our own code has a part.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::{Buf as _, Bytes, BytesMut};
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Request, Response};
use prost::Message;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use self::api::server::bundle::v1 as bundle;
use self::api::server::trustdomain::v1 as trustdomain;
use self::api::types::{Bundle, FederationRelationship, JwtKey, Status, X509Certificate};
use crate::support::ca::Ca;

#[allow(warnings, clippy::pedantic, clippy::restriction, reason = "generated")]
pub(crate) mod api {
    pub(crate) mod types {
        include!("spire_api/types.rs");
    }
    pub(crate) mod server {
        pub(crate) mod bundle {
            pub(crate) mod v1 {
                include!("spire_api/server.bundle.v1.rs");
            }
        }
        pub(crate) mod trustdomain {
            pub(crate) mod v1 {
                include!("spire_api/server.trustdomain.v1.rs");
            }
        }
    }
}

/// What it has, and how it behaves.
#[derive(Default)]
pub(crate) struct State {
    /// Its own bundle.
    pub(crate) own: Bundle,
    /// The federated ones, by name.
    pub(crate) bundles: BTreeMap<String, Bundle>,
    /// Whose bundles it fetches by itself.
    pub(crate) relationships: Vec<String>,
    /// Names that it refuses, whatever is asked about them.
    pub(crate) refuses: BTreeSet<String>,
    /// What it does with certain calls instead of what it should.
    pub(crate) mood: BTreeMap<&'static str, Mood>,
    /// Each change that was made: the call and the name.
    pub(crate) changes: Vec<(&'static str, String)>,
}

/// What may be wrong with a server.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// It never answers.
    Silent,
    /// It answers with more than anybody wants.
    Endless,
    /// It closes the connection within its answer.
    Leaves,
    /// It answers with bytes that are no message.
    Raves,
    /// It says that all is well, and does nothing.
    Lies,
    /// It has one result less than it was asked for.
    Forgets,
    /// It ends with this gRPC status.
    Fails(u8),
}

/// A running server; it is gone when dropped.
pub(crate) struct SpireServer {
    state: Arc<Mutex<State>>,
    _server: JoinSet<()>,
}

impl SpireServer {
    /// The server of `a.example` at this path, with these CAs of its own.
    pub(crate) fn start(socket: &Path, own: &[&Ca]) -> Self {
        let state = State { own: bundle_of("a.example", own), ..State::default() };
        Self::again(socket, Arc::new(Mutex::new(state)))
    }

    /// The same server after a restart.
    pub(crate) fn restart(self, socket: &Path) -> Self {
        let state = self.state.clone();
        drop(self);
        Self::again(socket, state)
    }

    fn again(socket: &Path, state: Arc<Mutex<State>>) -> Self {
        // One of a server before this one.
        drop(std::fs::remove_file(socket));
        let listener = UnixListener::bind(socket).unwrap();
        let mut server = JoinSet::new();
        server.spawn(accept(listener, state.clone()));
        Self { state, _server: server }
    }

    /// Looks at its state, or changes it as an operator would.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap())
    }

    /// What it trusts of a domain: the certificates, sorted; `None` without a bundle.
    pub(crate) fn certificates(&self, name: &str) -> Option<Vec<Vec<u8>>> {
        self.with(|state| {
            let bundle = state.bundles.get(name)?;
            let mut all: Vec<_> = bundle.x509_authorities.iter().map(|one| one.asn1.clone()).collect();
            all.sort();
            Some(all)
        })
    }
}

/// What an operator sets with `spire-server bundle set`.
pub(crate) fn bundle_of(name: &str, cas: &[&Ca]) -> Bundle {
    let x509 = cas.iter().map(|ca| X509Certificate { asn1: ca.der().to_vec(), tainted: false });
    Bundle { trust_domain: name.into(), x509_authorities: x509.collect(), ..Bundle::default() }
}

/// A JWT key of a bundle.
pub(crate) fn jwt_key(key_id: &str, public_key: Vec<u8>) -> JwtKey {
    JwtKey { public_key, key_id: key_id.into(), expires_at: 0, tainted: false }
}

async fn accept(listener: UnixListener, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, state.clone()));
    }
}

async fn serve(stream: UnixStream, state: Arc<Mutex<State>>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    let mut calls = JoinSet::new();
    loop {
        tokio::select! {
            accepted = connection.accept() => {
                let Some(Ok((request, respond))) = accepted else { return };
                calls.spawn(answer(request, respond, state.clone()));
            }
            // Who leaves takes the connection along.
            Some(Ok(Some(Mood::Leaves))) = calls.join_next() => return,
        }
    }
}

async fn answer(
    request: Request<h2::RecvStream>,
    mut respond: SendResponse<Bytes>,
    state: Arc<Mutex<State>>,
) -> Option<Mood> {
    let call = request.uri().path().rsplit('/').next()?.to_owned();
    let mut body = request.into_body();
    let mut bytes = BytesMut::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.ok()?;
        body.flow_control().release_capacity(chunk.len()).ok()?;
        bytes.extend_from_slice(&chunk);
    }
    bytes.advance(PREFIX.min(bytes.len()));
    let (mood, said) = {
        let mut state = state.lock().unwrap();
        let mood = state.mood.iter().find(|(name, _)| **name == call).map(|(_, mood)| *mood);
        (mood, state.handle(&call, mood, &bytes))
    };
    if mood == Some(Mood::Silent) {
        std::future::pending::<()>().await;
    }
    let head = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
    let mut stream = respond.send_response(head, false).ok()?;
    let status = match (mood, said) {
        (Some(Mood::Fails(status)), _) => status,
        (Some(Mood::Leaves), _) => {
            stream.send_data(Bytes::from_static(&[0, 0, 0, 1, 0, 7]), false).ok()?;
            return mood;
        }
        (Some(Mood::Endless), _) => {
            stream.send_data(framed(&[0][..], u32::MAX), false).ok()?;
            OK
        }
        (Some(Mood::Raves), _) => {
            stream.send_data(framed(&[0xff; 64], 64), false).ok()?;
            OK
        }
        (_, Some(message)) => {
            stream.send_data(framed(&message, u32::try_from(message.len()).unwrap()), false).ok()?;
            OK
        }
        (_, None) => UNIMPLEMENTED,
    };
    let status = HeaderValue::from_str(&status.to_string()).unwrap();
    stream.send_trailers(HeaderMap::from_iter([("grpc-status".parse().unwrap(), status)])).ok()?;
    mood
}

fn framed(message: &[u8], length: u32) -> Bytes {
    [&[0][..], &length.to_be_bytes(), message].concat().into()
}

impl State {
    fn handle(&mut self, call: &str, mood: Option<Mood>, bytes: &[u8]) -> Option<Vec<u8>> {
        let forgets = usize::from(mood == Some(Mood::Forgets));
        let lies = mood == Some(Mood::Lies);
        let answer = match call {
            "GetBundle" => self.own.encode_to_vec(),
            "ListFederatedBundles" => self.page(&bundle::ListFederatedBundlesRequest::decode(bytes).unwrap()),
            "ListFederationRelationships" => {
                let relationship =
                    |name: &String| FederationRelationship { trust_domain: name.clone(), ..Default::default() };
                let federation_relationships = self.relationships.iter().map(relationship).collect();
                let next_page_token = String::new();
                trustdomain::ListFederationRelationshipsResponse { federation_relationships, next_page_token }
                    .encode_to_vec()
            }
            "BatchCreateFederatedBundle" => {
                let asked = bundle::BatchCreateFederatedBundleRequest::decode(bytes).unwrap().bundle;
                type Result = bundle::batch_create_federated_bundle_response::Result;
                let one = |bundle: Bundle| {
                    let (status, bundle) = self.stored("create", bundle, lies);
                    Result { status: Some(status), bundle }
                };
                let mut results: Vec<_> = asked.into_iter().map(one).collect();
                results.truncate(results.len() - forgets);
                bundle::BatchCreateFederatedBundleResponse { results }.encode_to_vec()
            }
            "BatchUpdateFederatedBundle" => {
                let asked = bundle::BatchUpdateFederatedBundleRequest::decode(bytes).unwrap();
                assert_eq!(asked.input_mask, None, "all of it counts");
                type Result = bundle::batch_update_federated_bundle_response::Result;
                let one = |bundle: Bundle| {
                    let (status, bundle) = self.stored("update", bundle, lies);
                    Result { status: Some(status), bundle }
                };
                let mut results: Vec<_> = asked.bundle.into_iter().map(one).collect();
                results.truncate(results.len() - forgets);
                bundle::BatchUpdateFederatedBundleResponse { results }.encode_to_vec()
            }
            "BatchDeleteFederatedBundle" => {
                let asked = bundle::BatchDeleteFederatedBundleRequest::decode(bytes).unwrap();
                let dissociate = bundle::batch_delete_federated_bundle_request::Mode::Dissociate;
                assert_eq!(asked.mode(), dissociate, "registration entries must stay");
                type Result = bundle::batch_delete_federated_bundle_response::Result;
                let one = |name: String| Result { status: Some(self.deleted(&name)), trust_domain: name };
                let results = asked.trust_domains.into_iter().map(one).collect();
                bundle::BatchDeleteFederatedBundleResponse { results }.encode_to_vec()
            }
            _ => return None,
        };
        Some(answer)
    }

    /// As SPIRE pages: the token is the last name of the page before.
    fn page(&self, asked: &bundle::ListFederatedBundlesRequest) -> Vec<u8> {
        let size = usize::try_from(asked.page_size).unwrap();
        let rest = self.bundles.iter().filter(|(name, _)| **name > asked.page_token).map(|(_, bundle)| bundle.clone());
        let bundles: Vec<_> = rest.take(size).collect();
        let is_full = bundles.len() == size;
        let last = bundles.last().filter(|_| is_full).map(|bundle| bundle.trust_domain.clone());
        bundle::ListFederatedBundlesResponse { next_page_token: last.unwrap_or_default(), bundles }.encode_to_vec()
    }

    /// As SPIRE's `BatchCreate` and `BatchUpdate` decide.
    fn stored(&mut self, how: &'static str, bundle: Bundle, lies: bool) -> (Status, Option<Bundle>) {
        let name = bundle.trust_domain.clone();
        let refusal = match (how, self.bundles.contains_key(&name)) {
            _ if lies => return (status(OK, ""), Some(bundle_of(&name, &[]))),
            _ if name == self.own.trust_domain => Some((INVALID_ARGUMENT, "is the server trust domain")),
            _ if self.refuses.contains(&name) => Some((INVALID_ARGUMENT, "failed to convert bundle")),
            ("create", true) => Some((ALREADY_EXISTS, "bundle already exists")),
            ("update", false) => Some((NOT_FOUND, "bundle not found")),
            _ => None,
        };
        match refusal {
            Some((code, message)) => (status(code, message), None),
            None => {
                self.bundles.insert(name.clone(), bundle.clone());
                self.changes.push((how, name));
                (status(OK, ""), Some(bundle))
            }
        }
    }

    fn deleted(&mut self, name: &str) -> Status {
        if self.refuses.contains(name) {
            return status(INTERNAL, "database is locked");
        }
        match self.bundles.remove(name) {
            None => status(NOT_FOUND, "bundle not found"),
            Some(_) => {
                self.changes.push(("delete", name.to_owned()));
                status(OK, "")
            }
        }
    }
}

fn status(code: u8, message: &str) -> Status {
    Status { code: code.into(), message: message.into() }
}

/// Bytes before a message.
const PREFIX: usize = 5;
const OK: u8 = 0;
const INVALID_ARGUMENT: u8 = 3;
const NOT_FOUND: u8 = 5;
const ALREADY_EXISTS: u8 = 6;
pub(crate) const PERMISSION_DENIED: u8 = 7;
const UNIMPLEMENTED: u8 = 12;
const INTERNAL: u8 = 13;
