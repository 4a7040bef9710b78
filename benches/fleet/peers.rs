//! The bundle endpoints of all synthetic domains, behind one TLS listener of this process.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use actix_web::http::header::{ETAG, IF_NONE_MATCH};
use actix_web::web::{Bytes, Data, Path};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::PrivateKeyDer;

use super::Result;
use super::domain::Domain;

/// All endpoints: domain N is at `/N`.
pub(crate) struct Peers {
    pub(crate) address: SocketAddr,
    /// What clients have to trust, in PEM.
    pub(crate) root: String,
    documents: Data<Documents>,
    stall: bool,
}

struct Documents {
    all: Vec<RwLock<Document>>,
    stall: bool,
    wait: bool,
}

struct Document {
    bytes: Bytes,
    etag: &'static str,
}

impl Peers {
    pub(crate) fn start(domains: &[Domain], stall: bool, wait: bool) -> Result<Self> {
        let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
        let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der())?;
        let mut tls = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)?;
        tls.send_tls13_tickets = 0;
        let first = |domain: &Domain| RwLock::new(Document { bytes: domain.document(false).into(), etag: "\"1\"" });
        let documents = Data::new(Documents { all: domains.iter().map(first).collect(), stall, wait });
        let served = documents.clone();
        let app = move || App::new().app_data(served.clone()).route("/{number}", web::get().to(answer));
        let server = HttpServer::new(app).workers(1).backlog(8192).max_connection_rate(8192).tcp_nodelay(true);
        let server = server.bind_rustls_0_23("127.0.0.1:0", tls)?;
        let address = server.addrs()[0];
        actix_web::rt::spawn(server.run());
        Ok(Self { address, root: certified.cert.pem(), documents, stall })
    }

    /// How many never answer.
    pub(crate) fn stalled(&self) -> usize {
        if self.stall { self.documents.all.len().div_ceil(STALLED) } else { 0 }
    }

    /// Has the domain publish its next authority beside the present one.
    pub(crate) fn rotate(&self, domain: &Domain) {
        let next = Document { bytes: domain.document(true).into(), etag: "\"2\"" };
        *self.documents.all[domain.number].write().expect("nobody panics") = next;
    }
}

async fn answer(number: Path<usize>, request: HttpRequest, documents: Data<Documents>) -> HttpResponse {
    if documents.stall && number.is_multiple_of(STALLED) {
        pending::<()>().await;
    }
    let is_known = || {
        let document = documents.all[*number].read().expect("nobody panics");
        request.headers().get(IF_NONE_MATCH).is_some_and(|tag| tag == document.etag)
    };
    let mut answer = HttpResponse::NotModified();
    if let Some(wait) = request.headers().get("prefer").filter(|_| documents.wait && is_known()) {
        let seconds = wait.to_str().ok().and_then(|wait| wait.strip_prefix("wait=")?.parse().ok());
        tokio::time::sleep(Duration::from_secs(seconds.unwrap_or_default())).await;
        answer.insert_header(("preference-applied", wait));
    }
    if is_known() {
        return answer.finish();
    }
    let document = documents.all[*number].read().expect("nobody panics");
    HttpResponse::Ok().insert_header((ETAG, document.etag)).body(document.bytes.clone())
}

/// One endpoint of so many stalls, if any do.
const STALLED: usize = 100;
