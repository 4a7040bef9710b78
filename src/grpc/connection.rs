//! One connection to the socket: whose it is, and when it is over.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::time::Sleep;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

use super::access::Caller;
use super::authority::{AuthorityMender, PREFACE_BYTES};
use super::places::Place;

/// A connection that ends when it says nothing at first, and at the latest when it is cut.
pub(super) struct Connection {
    stream: UnixStream,
    caller: Caller,
    authority: AuthorityMender,
    /// What is left of the preface, in bytes, and until when it may take.
    greeting: Option<(usize, Pin<Box<Sleep>>)>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    _place: Place,
}

impl Connection {
    pub(super) fn new(stream: UnixStream, caller: Caller, cut: CancellationToken, place: Place) -> Self {
        let greeting = Some((PREFACE_BYTES, Box::pin(tokio::time::sleep(GREETING))));
        Self {
            stream,
            caller,
            authority: AuthorityMender::new(),
            greeting,
            cut: Box::pin(cut.cancelled_owned()),
            _place: place,
        }
    }

    fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        // HTTP/2 pings see to silence after the preface, but nothing in the library does before.
        let silent = self.greeting.as_mut().is_some_and(|(_, until)| until.as_mut().poll(context).is_ready());
        silent || self.cut.as_mut().poll(context).is_ready()
    }

    fn heard(&mut self, bytes: usize) {
        self.greeting = self.greeting.take().filter(|(left, _)| *left > bytes);
        if let Some((left, _)) = &mut self.greeting {
            *left -= bytes;
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_over(context) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.heard(buffer.filled().len() - before);
        self.authority.mend(&mut buffer.filled_mut()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Time for the preface.
const GREETING: Duration = Duration::from_secs(5);
