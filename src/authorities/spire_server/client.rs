//! Calls over the admin socket.

use std::collections::BTreeSet;
use std::time::Duration;

use prost::Message;
use tokio::time::{Instant, timeout};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use crate::files::believed_socket;
use crate::spiffe::trust_domain::TrustDomain;
use crate::verify::text::shown;

use super::api::{
    Bundle, BundlePage, Bundles, DeleteBundles, Deleted, DeletedBundle, GetBundle, ListPage, RelationshipPage, Stored,
    StoredBundle,
};
use super::{SpireServer, SpireServerProblem, check_domain, trust_domain};

/// A connection for one delivery. An answer has at most 32 MiB and 30 s, all of them together have two minutes.
pub(crate) struct Client {
    grpc: Grpc<Channel>,
    deadline: Instant,
}

impl Client {
    /// Connects, unless others could put a socket of theirs there.
    pub(crate) async fn connect(server: &SpireServer) -> Result<Self, SpireServerProblem> {
        believed_socket::check(&server.socket, server.owner)?;
        let endpoint = Endpoint::from_shared(server.to_string()).map_err(|error| unavailable(&error))?;
        match timeout(CONNECT, endpoint.connect()).await {
            Ok(Ok(channel)) => Ok(Self {
                grpc: Grpc::new(channel).max_decoding_message_size(MAX_ANSWER),
                deadline: Instant::now() + ALL_CALLS,
            }),
            Ok(Err(error)) => Err(unavailable(&error)),
            Err(_) => Err(SpireServerProblem::Silent),
        }
    }

    /// The server's own bundle, if it is of our trust domain.
    pub(crate) async fn bundle(&mut self, own: &TrustDomain) -> Result<Bundle, SpireServerProblem> {
        let bundle: Bundle = self.call("/spire.api.server.bundle.v1.Bundle/GetBundle", GetBundle {}).await?;
        check_domain(&bundle.trust_domain, own)?;
        Ok(bundle)
    }

    /// Gives each federated bundle to `take`; none of them is kept here.
    pub(crate) async fn each_federated_bundle(
        &mut self,
        mut take: impl FnMut(Bundle),
    ) -> Result<(), SpireServerProblem> {
        let mut pages = Pages::default();
        while let Some(question) = pages.next() {
            let path = "/spire.api.server.bundle.v1.Bundle/ListFederatedBundles";
            let page: BundlePage = self.call(path, question).await?;
            pages.turn(page.next_page_token, page.bundles.len())?;
            page.bundles.into_iter().for_each(&mut take);
        }
        Ok(())
    }

    /// Trust domains whose bundles the server fetches by itself, as far as it tells: those of its own configuration
    /// file are not among them.
    pub(crate) async fn relationships(&mut self) -> Result<BTreeSet<TrustDomain>, SpireServerProblem> {
        let (mut pages, mut names) = (Pages::default(), BTreeSet::new());
        while let Some(question) = pages.next() {
            let path = "/spire.api.server.trustdomain.v1.TrustDomain/ListFederationRelationships";
            let page: RelationshipPage = self.call(path, question).await?;
            pages.turn(page.next_page_token, page.relationships.len())?;
            names.extend(page.relationships.iter().filter_map(|relationship| trust_domain(&relationship.trust_domain)));
        }
        Ok(names)
    }

    /// Each is created, unless there is one; outcomes in the same order.
    pub(crate) async fn create(&mut self, bundle: Vec<Bundle>) -> Result<Vec<StoredBundle>, SpireServerProblem> {
        let asked = bundle.len();
        let path = "/spire.api.server.bundle.v1.Bundle/BatchCreateFederatedBundle";
        let Stored { results } = self.call(path, Bundles { bundle }).await?;
        one_for_each(asked, results)
    }

    /// Each is replaced, unless there is none; outcomes in the same order.
    pub(crate) async fn update(&mut self, bundle: Vec<Bundle>) -> Result<Vec<StoredBundle>, SpireServerProblem> {
        let asked = bundle.len();
        let path = "/spire.api.server.bundle.v1.Bundle/BatchUpdateFederatedBundle";
        let Stored { results } = self.call(path, Bundles { bundle }).await?;
        one_for_each(asked, results)
    }

    /// Each is deleted, and registration entries no longer federate with it; outcomes in the same order.
    pub(crate) async fn delete(
        &mut self,
        trust_domains: Vec<String>,
    ) -> Result<Vec<DeletedBundle>, SpireServerProblem> {
        let asked = trust_domains.len();
        let path = "/spire.api.server.bundle.v1.Bundle/BatchDeleteFederatedBundle";
        let question = DeleteBundles { trust_domains, mode: DeleteBundles::DISSOCIATE };
        let Deleted { results } = self.call(path, question).await?;
        one_for_each(asked, results)
    }

    async fn call<Q, A>(&mut self, path: &'static str, question: Q) -> Result<A, SpireServerProblem>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let call = async {
            self.grpc.ready().await.map_err(|error| unavailable(&error))?;
            let codec = ProstCodec::<Q, A>::default();
            let answer = self.grpc.unary(Request::new(question), PathAndQuery::from_static(path), codec).await;
            answer.map(tonic::Response::into_inner).map_err(|status| problem(&status))
        };
        let left = self.deadline.saturating_duration_since(Instant::now());
        let late = if left < CALL { SpireServerProblem::Slow } else { SpireServerProblem::Silent };
        timeout(CALL.min(left), call).await.unwrap_or(Err(late))
    }
}

/// Each item has its outcome, or nobody knows which is whose.
fn one_for_each<T>(asked: usize, results: Vec<T>) -> Result<Vec<T>, SpireServerProblem> {
    match results.len() {
        answered if answered == asked => Ok(results),
        answered => Err(SpireServerProblem::malformed(format!("{answered} results for {asked} bundles"))),
    }
}

fn unavailable(error: &(dyn std::error::Error + 'static)) -> SpireServerProblem {
    let cause = error.source().map(|source| format!(": {source}")).unwrap_or_default();
    SpireServerProblem::Unavailable { detail: shown(format!("{error}{cause}").as_bytes()) }
}

/// A status of the server's, or of the library that could not read what it said.
fn problem(status: &Status) -> SpireServerProblem {
    let detail = format!("{:?}: {}", status.code(), shown(status.message().as_bytes()));
    match status.code() {
        Code::PermissionDenied | Code::Unauthenticated => SpireServerProblem::Denied { detail },
        Code::Unavailable | Code::Cancelled | Code::Unknown => SpireServerProblem::Unavailable { detail },
        Code::OutOfRange | Code::DataLoss => SpireServerProblem::Malformed { detail },
        Code::Internal if status.message().starts_with("failed to decode") => SpireServerProblem::Malformed { detail },
        _ => SpireServerProblem::Failed { detail },
    }
}

/// Where a list goes on.
struct Pages {
    token: Option<String>,
    turned: u32,
    items: usize,
}

impl Default for Pages {
    fn default() -> Self {
        Self { token: Some(String::new()), turned: 0, items: 0 }
    }
}

impl Pages {
    fn next(&mut self) -> Option<ListPage> {
        self.token.take().map(|page_token| ListPage { page_size: PAGE_SIZE, page_token })
    }

    /// After a page with so many items.
    fn turn(&mut self, token: String, items: usize) -> Result<(), SpireServerProblem> {
        self.turned += 1;
        self.items = self.items.saturating_add(items);
        if self.turned > MAX_PAGES || self.items > MAX_ITEMS {
            let most = format!("a list has more than {MAX_PAGES} pages or {MAX_ITEMS} items");
            return Err(SpireServerProblem::malformed(most));
        }
        self.token = Some(token).filter(|token| !token.is_empty());
        Ok(())
    }
}

const CONNECT: Duration = Duration::from_secs(5);
/// For one call, its answer included.
pub(super) const CALL: Duration = Duration::from_secs(30);
/// For all calls of a delivery: what it came to by then stays, and the next one goes on from there.
pub(super) const ALL_CALLS: Duration = Duration::from_secs(120);
/// Bundles on a page; each has at most 1 MiB where Comity put it.
const PAGE_SIZE: i32 = 25;
const MAX_ANSWER: usize = 32 << 20;
/// Room for ten times the relationships that we promise.
const MAX_PAGES: u32 = 4_000;
const MAX_ITEMS: usize = 100_000;

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use http::{HeaderMap, HeaderValue, Response};
    use tokio::net::UnixListener;
    use tokio::task::JoinSet;
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_server_that_says_nothing_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("api.sock");
        let _listener = UnixListener::bind(&socket).unwrap();
        let mut client = Client::connect(&SpireServer::at(&socket).unwrap()).await.unwrap();
        let asked = client.bundle(&"a.example".parse().unwrap()).await.unwrap_err();
        assert_eq!(
            (asked.code(), asked.to_string()),
            ("spire-server-unavailable", SpireServerProblem::Silent.to_string())
        );
    }

    #[tokio::test]
    async fn a_socket_in_whose_place_others_could_listen_is_not_connected_to() {
        let folder = tempfile::tempdir().unwrap();
        let open = folder.path().join("open");
        std::fs::create_dir_all(open.join("private")).unwrap();
        std::fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
        let socket = open.join("private/api.sock");
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        let refused = Client::connect(&SpireServer::at(&socket).unwrap()).await.err().unwrap();
        assert_eq!(refused.code(), "file-writable-by-others", "{refused}");
        assert!(listener.accept().is_err(), "nobody came");
    }

    /// Answers each call just in time, with a page that is not the last.
    async fn trickle(listener: UnixListener) {
        let mut connection = h2::server::handshake(listener.accept().await.unwrap().0).await.unwrap();
        let mut calls = JoinSet::new();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            calls.spawn(async move {
                sleep(CALL - Duration::from_secs(1)).await;
                let page = RelationshipPage { relationships: Vec::new(), next_page_token: "more".into() };
                let length = u32::try_from(page.encoded_len()).unwrap().to_be_bytes();
                let head = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
                let mut answer = respond.send_response(head, false).unwrap();
                let message = [&[0][..], &length, &page.encode_to_vec()].concat();
                answer.send_data(message.into(), false).unwrap();
                let status = ("grpc-status".parse().unwrap(), HeaderValue::from_static("0"));
                answer.send_trailers(HeaderMap::from_iter([status])).unwrap();
                drop(request);
            });
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_trickles_pages_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("api.sock");
        let mut server = JoinSet::new();
        server.spawn(trickle(UnixListener::bind(&socket).unwrap()));
        let began = Instant::now();
        let mut client = Client::connect(&SpireServer::at(&socket).unwrap()).await.unwrap();
        let asked = timeout(ALL_CALLS * 10, client.relationships()).await.expect("it ends").unwrap_err();
        assert_eq!(asked.code(), "spire-server-slow", "{asked}");
        assert!(began.elapsed() < ALL_CALLS + CALL, "{:?}", began.elapsed());
    }

    #[test]
    fn a_list_without_end_is_left() {
        let mut pages = Pages::default();
        let turned = (0..).find_map(|number: u32| pages.turn(number.to_string(), 1).err().map(|error| (number, error)));
        let (number, error) = turned.unwrap();
        assert_eq!((number, error.code()), (MAX_PAGES, "spire-server-malformed"));
        let mut pages = Pages::default();
        assert_eq!(pages.next().unwrap().page_token, "");
        pages.turn("b.example".into(), MAX_ITEMS).unwrap();
        assert_eq!(pages.next().unwrap().page_token, "b.example");
        assert_eq!(pages.turn("c.example".into(), 1).unwrap_err().code(), "spire-server-malformed");
        let mut pages = Pages::default();
        pages.turn(String::new(), 0).unwrap();
        assert_eq!(pages.next(), None);
    }
}
