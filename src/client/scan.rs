//! A whole range as a stream, at one revision. A stream that breaks is taken
//! up again where it broke, on another node if need be.

use crate::client::call::{Action, Called, Client};
use crate::client::classify::classify;
use crate::client::error::{Error, Failure, Outcome};
use crate::client::kv;
use crate::client::model::{KeyValue, Keys, Meta, Order, ScanOptions, after};
use crate::client::wire;
use crate::rpc::proto::v1::ScanResponse;
use std::time::Duration;
use tonic::Streaming;

/// How long a stream may last; far longer than any scan, and yet an end.
pub(super) const STREAM_DEADLINE: Duration = Duration::from_secs(3600);

/// How often in a row a broken stream is taken up again without a chunk in between.
const RESUMES: u32 = 5;

/// A scan under way.
#[derive(Debug)]
pub struct Scan {
    client: Client,
    /// What remains to be read.
    rest: ScanOptions,
    stream: Option<Called<Streaming<ScanResponse>>>,
    meta: Option<Meta>,
    resumes: u32,
    done: bool,
}

impl Client {
    /// Reads a whole range as a stream of chunks. Starts with the first [`Scan::next`].
    pub fn scan(&self, scan: ScanOptions) -> Scan {
        Scan {
            client: self.clone(),
            rest: scan,
            stream: None,
            meta: None,
            resumes: 0,
            done: false,
        }
    }
}

impl Scan {
    /// The next keys, in order; `None` after the last. Each chunk must come
    /// within the client's timeout.
    pub async fn next(&mut self) -> Result<Option<Vec<KeyValue>>, Error> {
        while !self.done {
            match self.chunk().await {
                Ok(kvs) if kvs.is_empty() => {}
                Ok(kvs) => return Ok(Some(kvs)),
                Err(error) => {
                    let broke = matches!(*error.failure, Failure::Grpc(_) | Failure::Timeout { .. });
                    self.stream = None;
                    self.resumes += 1;
                    if !broke || self.resumes > RESUMES {
                        self.done = true;
                        return Err(error);
                    }
                }
            }
        }
        Ok(None)
    }

    /// Who answers and at which revision, once the first chunk is there.
    pub fn meta(&self) -> Option<&Meta> {
        self.meta.as_ref()
    }

    async fn chunk(&mut self) -> Result<Vec<KeyValue>, Error> {
        let timeout = self.client.options.timeout;
        let mut called = match self.stream.take() {
            Some(called) => called,
            None => self.open().await?,
        };
        let message = match tokio::time::timeout(timeout, called.answer.message()).await {
            Ok(Ok(Some(message))) => message,
            Ok(Ok(None)) => return Err(error(&called, Failure::Grpc("the stream ended early".to_owned()))),
            Ok(Err(status)) => return Err(error(&called, classify(&status, timeout))),
            Err(_) => {
                let failure = Failure::Timeout {
                    after: timeout,
                    outcome: Outcome::NotApplied,
                };
                return Err(error(&called, failure));
            }
        };
        let meta = wire::meta("scan", message.header, &called)?;
        // What comes after a break must be of the same state.
        self.rest.revision = Some(meta.revision);
        self.meta.get_or_insert(meta);
        self.stream = Some(called);
        let kvs = wire::key_values(message.kvs);
        self.passed(&kvs);
        self.done |= message.last;
        Ok(kvs)
    }

    async fn open(&self) -> Result<Called<Streaming<ScanResponse>>, Error> {
        let action = Action::stream("scan", STREAM_DEADLINE);
        let send = |channel, request| async move { kv::service(channel).scan(request).await };
        self.client
            .call(action, wire::scan(self.rest.clone()), send)
            .await
    }

    /// Takes what was read off what remains.
    fn passed(&mut self, kvs: &[KeyValue]) {
        let Some(last) = kvs.last() else { return };
        self.resumes = 0;
        let (start, end) = self.rest.keys.bounds();
        self.rest.keys = match self.rest.order {
            Order::Ascending => Keys::Span {
                start: Some(after(&last.key)),
                end,
            },
            Order::Descending => Keys::Span {
                start,
                end: Some(last.key.clone()),
            },
        };
        if self.rest.limit > 0 {
            self.rest.limit = self.rest.limit.saturating_sub(kvs.len() as u64);
            // 0 would mean no limit.
            self.done |= self.rest.limit == 0;
        }
    }
}

fn error<A>(called: &Called<A>, failure: Failure) -> Error {
    Error {
        action: "scan",
        endpoint: Some(called.endpoint.clone()),
        attempts: called.attempts,
        failure: Box::new(failure),
        write: false,
        unreachable: Vec::new(),
    }
}
