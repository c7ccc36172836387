//! An IO wrapper that yields to all ready tasks of the thread before it writes. Writes of several connections then follow each
//! other closely, and a client that reads many connections, such as a proxy, is woken once for several answers. Must never
//! delay a write when no other task is ready.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// See the module.
pub(super) struct YieldBeforeWrite<S> {
    socket: S,
    /// Whether it has yielded for what is being sent: once for everything until the next flush.
    has_yielded: bool,
}

impl<S> YieldBeforeWrite<S> {
    pub(super) fn new(socket: S) -> Self {
        Self { socket, has_yielded: false }
    }

    pub(super) fn into_inner(self) -> S {
        self.socket
    }

    /// The first time, puts the connection's task behind all ready ones.
    fn poll_yield(&mut self, cx: &Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.has_yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for YieldBeforeWrite<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for YieldBeforeWrite<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_yield(cx));
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.socket).poll_flush(cx))?;
        self.has_yielded = false;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may end on its first surprise")]
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn answers_are_written_after_all_ready_tasks_have_run_and_together() {
        let handled = Arc::new(AtomicUsize::new(0));
        let (mut clients, mut tasks) = (Vec::new(), Vec::new());
        for _ in 0..5 {
            let (client, socket) = tokio::io::duplex(64);
            let handled = Arc::clone(&handled);
            clients.push(client);
            tasks.push(tokio::spawn(async move {
                let mut socket = YieldBeforeWrite::new(socket);
                for _ in 0..2 {
                    handled.fetch_add(1, Ordering::Relaxed);
                    // In two writes. The second does not yield: all tasks have run in the round before.
                    socket.write_all(b"an ").await.unwrap();
                    let so_far = handled.load(Ordering::Relaxed).to_string();
                    socket.write_all(so_far.as_bytes()).await.unwrap();
                    socket.flush().await.unwrap();
                    tokio::task::yield_now().await;
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        for mut client in clients {
            let mut read = String::new();
            client.read_to_string(&mut read).await.unwrap();
            assert_eq!(read, "an 5an 10");
        }
    }

    #[tokio::test]
    async fn more_than_the_socket_takes_at_once_arrives_whole() {
        let (mut client, socket) = tokio::io::duplex(10);
        let sent: Vec<u8> = (0..100_000_u32).map(|byte| byte as u8).collect();
        let expected = sent.clone();
        let sending = tokio::spawn(async move {
            let mut socket = YieldBeforeWrite::new(socket);
            socket.write_all(&sent).await.unwrap();
            socket.shutdown().await.unwrap();
        });
        let mut read = Vec::new();
        client.read_to_end(&mut read).await.unwrap();
        sending.await.unwrap();
        assert_eq!(read, expected);
    }
}
