//! A long answer that is made in pieces: the next one is begun when the connection has room for it, so a slow client costs one
//! piece of memory, and one that has gone away nothing. What a piece needs (a connection to a database) is taken for that piece
//! alone. Must never make a piece before it is asked for.

use crate::http::answer::body::{Body, Broken};
use bytes::Bytes;
use http_body::Frame;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A piece, and what the next one is made from; the last piece has no next one.
pub type Piece<S> = (Bytes, Option<S>);

struct Pieces<S, M, F> {
    make: M,
    next: Option<S>,
    work: Option<Pin<Box<F>>>,
}

/// A body of pieces that `make` makes one after the other, the first one from `first`. An error breaks the answer off.
pub fn pieces<S, M, F>(first: S, make: M) -> Body
where
    S: Send + Unpin + 'static,
    M: FnMut(S) -> F + Send + Unpin + 'static,
    F: Future<Output = Result<Piece<S>, Broken>> + Send + 'static,
{
    Body::Stream(Box::pin(Pieces { make, next: Some(first), work: None }))
}

impl<S, M, F> http_body::Body for Pieces<S, M, F>
where
    S: Unpin,
    M: FnMut(S) -> F + Unpin,
    F: Future<Output = Result<Piece<S>, Broken>>,
{
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let Self { make, next, work } = self.get_mut();
        let working = match (work.as_mut(), next.take()) {
            (Some(working), _) => working,
            (None, Some(from)) => work.insert(Box::pin(make(from))),
            (None, None) => return Poll::Ready(None),
        };
        let Poll::Ready(made) = working.as_mut().poll(cx) else { return Poll::Pending };
        *work = None;
        Poll::Ready(Some(made.map(|(piece, after)| {
            *next = after;
            Frame::data(piece)
        })))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may end on its first surprise")]
    use super::*;
    use http_body_util::BodyExt;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn a_piece_is_made_when_it_is_asked_for_and_not_before() {
        let made = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&made);
        let mut body = pieces(1_u8, move |number| {
            let count = Arc::clone(&count);
            async move {
                count.fetch_add(1, Ordering::Relaxed);
                Ok((Bytes::from(vec![b'0' + number]), (number < 3).then_some(number + 1)))
            }
        });
        assert_eq!(made.load(Ordering::Relaxed), 0);
        for number in 1..=3 {
            let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
            assert_eq!((frame.as_ref(), made.load(Ordering::Relaxed)), (&[b'0' + number as u8][..], number));
        }
        assert!(body.frame().await.is_none() && body.frame().await.is_none());
    }

    #[tokio::test]
    async fn what_cannot_go_on_breaks_off() {
        let broken = |_: ()| std::future::ready(Err::<Piece<()>, _>(Broken("no".into())));
        let mut body = pieces((), broken);
        assert!(body.frame().await.unwrap().is_err());
        assert!(body.frame().await.is_none());
    }
}
