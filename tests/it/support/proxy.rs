//! An HTTP proxy that knows CONNECT alone, or misbehaves as a test wants.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A proxy on `127.0.0.1`; it stops when dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    /// What it was asked for, as `CONNECT host:port HTTP/1.1`.
    asked: Arc<Mutex<Vec<String>>>,
    _server: JoinSet<()>,
}

/// What a proxy does when it is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Manner {
    /// Connects to this address, whatever host was named.
    LeadsTo(SocketAddr),
    /// Sends these bytes and ends.
    Says(&'static str),
    /// Sends this line again and again.
    Babbles(&'static str),
    /// Nothing, with the connection open.
    Silent,
}

impl Proxy {
    pub(crate) async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let mut server = JoinSet::new();
        server.spawn(accept(listener, manner, asked.clone()));
        Self { address, asked, _server: server }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The first line of each request so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn accept(listener: TcpListener, manner: Manner, asked: Arc<Mutex<Vec<String>>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, manner, asked.clone()));
        while connections.try_join_next().is_some() {}
    }
}

/// One request; a client that goes away is no failure.
async fn serve(mut client: TcpStream, manner: Manner, asked: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = client.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    asked.lock().unwrap().push(head.lines().next().unwrap().to_owned());
    match manner {
        Manner::LeadsTo(address) => {
            let Ok(mut endpoint) = TcpStream::connect(address).await else { return };
            let _ = client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await;
            let _ = copy_bidirectional(&mut client, &mut endpoint).await;
        }
        Manner::Says(text) => {
            let _ = client.write_all(text.as_bytes()).await;
            let _ = client.shutdown().await;
        }
        Manner::Babbles(line) => while client.write_all(line.as_bytes()).await.is_ok() {},
        Manner::Silent => std::future::pending().await,
    }
}
