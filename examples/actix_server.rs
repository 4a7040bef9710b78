//! An actix-web server that lets in one workload, of whatever trust domain, and answers no more when its key is removed.
//!
//! `cargo run --example actix_server -- MAP SVID KEY LISTEN CLIENT_ID`, as `mtls_server`.

mod files;

use std::error::Error;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::rt::net::TcpStream;
use actix_web::rt::time::interval;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use comity::{Authorizer, Usage, Verified, Verifier};
use rustls::time_provider::{DefaultTimeProvider, TimeProvider as _};

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [map, svid, key, listen, client] = arguments.as_slice() else { return Err("MAP SVID KEY LISTEN ID".into()) };
    let (mut map, trust) = files::MapFile::open(map)?;
    let verifier = Verifier::new(trust.trust());
    let allowed = Authorizer::exactly(client.parse()?);
    let config = verifier.server_config(allowed, files::identity(svid, key)?, Arc::new(DefaultTimeProvider));
    let listener = TcpListener::bind(listen)?;
    println!("listening on {}", listener.local_addr()?);
    let shared = web::Data::new(verifier.clone());
    let server = HttpServer::new(move || App::new().app_data(shared.clone()).default_service(web::to(greet)))
        .on_connect(move |connection, data| {
            let Some(tls) = connection.downcast_ref::<TlsStream<TcpStream>>() else { return };
            let now = DefaultTimeProvider.current_time();
            let peer = now.map(|now| verifier.verify_peer(tls.get_ref().1.peer_certificates(), Usage::Client, now));
            if let Some(Ok(peer)) = peer {
                data.insert(peer);
            }
        })
        .listen_rustls_0_23(listener, config)?
        .run();
    let (mut server, mut second) = (std::pin::pin!(server), interval(Duration::from_secs(1)));
    loop {
        tokio::select! {
            ended = &mut server => return Ok(ended?),
            _ = second.tick() => map.refresh(&trust),
        }
    }
}

async fn greet(request: HttpRequest, verifier: web::Data<Verifier>) -> HttpResponse {
    let (peer, now) = (request.conn_data::<Verified>(), DefaultTimeProvider.current_time());
    match peer.zip(now).map(|(peer, now)| (peer, peer.still_valid(&verifier.trust().load(), now))) {
        Some((peer, Ok(()))) => HttpResponse::Ok().body(format!("hello {}\n", peer.spiffe_id)),
        // A handshake proves who was there then; a key that is removed since ends it.
        _ => HttpResponse::Forbidden().force_close().finish(),
    }
}
