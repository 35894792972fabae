//! Whether a connection takes what is written to it.
//!
//! hyper bounds the bodies that it holds for a client and not the headers. After a request that
//! has a body it takes the next one though its answer is not written yet: whoever asks so with
//! `HEAD` and reads nothing would have all headers kept. So no request is answered while what was
//! written before waits.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

/// A stream that tells when it takes no more.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    is_full: watch::Sender<bool>,
}

/// Waits for room in a [`Watched`].
#[derive(Clone, Debug)]
pub(super) struct Room(watch::Receiver<bool>);

impl<S> Watched<S> {
    pub(super) fn new(stream: S) -> (Self, Room) {
        let (is_full, room) = watch::channel(false);
        (Self { stream, is_full }, Room(room))
    }

    fn told<T>(&self, poll: Poll<T>) -> Poll<T> {
        let now = poll.is_pending();
        self.is_full
            .send_if_modified(|is_full| std::mem::replace(is_full, now) != now);
        poll
    }
}

impl Room {
    /// Nothing waits to be written.
    pub(super) async fn free(mut self) {
        // An error says that the stream is gone, and that there is nobody to wait for.
        self.0.wait_for(|is_full| !is_full).await.ok();
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.told(poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.told(poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(cx);
        self.told(poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
