//! The least that actix and rustls need to serve one document: what `benches/endpoint.sh` holds the endpoint against.
//!
//! `bare_endpoint ADDRESS CERTIFICATE KEY DOCUMENT` serves until it is killed; without arguments it does nothing.

use std::error::Error;
use std::fs;

use actix_web::web::{self, Bytes};
use actix_web::{App, HttpResponse, HttpServer};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [address, certificate, key, document] = arguments.as_slice() else { return Ok(()) };
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<_, _>>()?;
    let mut tls = ServerConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
    tls.send_tls13_tickets = 0;
    tls.session_storage = std::sync::Arc::new(NoServerSessionStorage {});
    let document = Bytes::from(fs::read(document)?);
    let answer = move || {
        let document = document.clone();
        async move { HttpResponse::Ok().content_type("application/json").body(document) }
    };
    let server = HttpServer::new(move || App::new().route("/", web::get().to(answer.clone()))).workers(1);
    Ok(server.bind_rustls_0_23(address, tls)?.run().await?)
}
