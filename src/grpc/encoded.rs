//! A stream of domain values as a stream of messages.

use crate::api::answer_stream::AnswerStream;
use futures_util::Stream;
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::Status;

pub struct EncodedStream<M> {
    next: Box<Next<M>>,
}

type Next<M> = dyn FnMut(&mut Context<'_>) -> Poll<Option<Result<M, Status>>> + Send;

/// Encodes the values as they are polled.
pub fn encoded<T, M>(
    mut parts: AnswerStream<T>,
    mut encode: impl FnMut(T) -> M + Send + 'static,
) -> EncodedStream<M>
where
    T: Send + 'static,
{
    let next = move |context: &mut Context<'_>| {
        Pin::new(&mut parts).poll_next(context).map(|part| Some(part?.map(&mut encode).map_err(Status::from)))
    };
    EncodedStream { next: Box::new(next) }
}

impl<M> Stream for EncodedStream<M> {
    type Item = Result<M, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        (self.next)(context)
    }
}
