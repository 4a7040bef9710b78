//! A TLS client that talks to one workload, of whatever trust domain, and ends when that one's key is removed.
//!
//! `cargo run --example mtls_client -- MAP SVID KEY CONNECT SERVER_ID`: a bundle map, our SVID and its key as PEM, an
//! address, and the SPIFFE ID of the server. It says hello once a second, and prints the answers.

mod files;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use comity::{Authorizer, Usage, Verifier};
use rustls::pki_types::ServerName;
use rustls::time_provider::{DefaultTimeProvider, TimeProvider as _};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, split};
use tokio::net::TcpStream;
use tokio::time::interval;
use tokio_rustls::TlsConnector;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [map, svid, key, connect, server] = arguments.as_slice() else { return Err("MAP SVID KEY CONNECT ID".into()) };
    let (mut map, trust) = files::MapFile::open(map)?;
    let verifier = Verifier::new(trust.trust());
    let expected = Authorizer::exactly(server.parse()?);
    let config = verifier.client_config(expected, files::identity(svid, key)?, Arc::new(DefaultTimeProvider));
    let now = || DefaultTimeProvider.current_time().ok_or("no clock");
    let tcp = TcpStream::connect(connect).await?;
    // Nobody looks at this name: the SPIFFE ID is what counts.
    let name = ServerName::try_from("comity.example")?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
    let peer = verifier.verify_peer(stream.get_ref().1.peer_certificates(), Usage::Server, now()?)?;
    println!("connected to {}", peer.spiffe_id);
    let (reader, mut writer) = split(stream);
    let (mut answers, mut second) = (BufReader::new(reader).lines(), interval(Duration::from_secs(1)));
    loop {
        tokio::select! {
            _ = second.tick() => {
                map.refresh(&trust);
                // A handshake proves who was there then; a key that is removed since ends it.
                peer.still_valid(&verifier.trust().load(), now()?)?;
                writer.write_all(b"hello\n").await?;
            }
            answer = answers.next_line() => match answer? {
                Some(answer) => println!("{answer}"),
                None => return Err("the server closed the connection".into()),
            },
        }
    }
}
