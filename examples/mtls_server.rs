//! A TLS server that lets in one workload, of whatever trust domain, and lets go of it when its key is removed.
//!
//! `cargo run --example mtls_server -- MAP SVID KEY LISTEN CLIENT_ID`: a bundle map, our SVID and its key as PEM, an
//! address, and the SPIFFE ID of the client. It repeats each line, and says whose it is.

mod files;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use comity::{Authorizer, Usage, Verifier};
use rustls::time_provider::{DefaultTimeProvider, TimeProvider as _};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::interval;
use tokio_rustls::TlsAcceptor;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [map, svid, key, listen, client] = arguments.as_slice() else { return Err("MAP SVID KEY LISTEN ID".into()) };
    let (mut map, trust) = files::MapFile::open(map)?;
    let verifier = Verifier::new(trust.trust());
    let allowed = Authorizer::exactly(client.parse()?);
    let config = verifier.server_config(allowed, files::identity(svid, key)?, Arc::new(DefaultTimeProvider));
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(listen).await?;
    println!("listening on {}", listener.local_addr()?);
    let (mut connections, mut second) = (JoinSet::new(), interval(Duration::from_secs(1)));
    loop {
        tokio::select! {
            accepted = listener.accept() => drop(connections.spawn(serve(accepted?.0, acceptor.clone(), verifier.clone()))),
            _ = second.tick() => map.refresh(&trust),
            Some(ended) = connections.join_next() => if let Ok(Err(error)) = ended { println!("closed: {error}") },
        }
    }
}

async fn serve(tcp: TcpStream, tls: TlsAcceptor, verifier: Verifier) -> Result<(), Box<dyn Error + Send + Sync>> {
    let now = || DefaultTimeProvider.current_time().ok_or("no clock");
    let stream = tls.accept(tcp).await?;
    let peer = verifier.verify_peer(stream.get_ref().1.peer_certificates(), Usage::Client, now()?)?;
    let (reader, mut writer) = tokio::io::split(stream);
    let (mut lines, mut second) = (BufReader::new(reader).lines(), interval(Duration::from_secs(1)));
    loop {
        tokio::select! {
            // A handshake proves who was there then; a key that is removed since ends it.
            _ = second.tick() => peer.still_valid(&verifier.trust().load(), now()?)?,
            line = lines.next_line() => match line? {
                Some(line) => writer.write_all(format!("{}: {line}\n", peer.spiffe_id).as_bytes()).await?,
                None => return Ok(()),
            },
        }
    }
}
