//! The body of an answer, which says when there is nothing more of it to come.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::body::{Body, Frame, SizeHint};

use super::seats::State;

/// Tells the connection, when dropped, that a request is over.
#[derive(Debug)]
pub(super) struct Counted(Arc<State>);

/// A body whose connection is at work as long as it lives.
#[derive(Debug)]
pub(super) struct Answer<B> {
    body: Pin<Box<B>>,
    _counted: Counted,
}

impl Counted {
    /// For a request that has just begun.
    pub(super) const fn guard(state: Arc<State>) -> Self {
        Self(state)
    }

    /// To be dropped with that body.
    pub(super) fn over<B>(self, body: B) -> Answer<B> {
        Answer { body: Box::pin(body), _counted: self }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.answered();
    }
}

impl<B: Body> Body for Answer<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        self.body.as_mut().poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
