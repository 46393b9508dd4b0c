//! A whole range as a stream, at one revision. A stream that breaks is resumed where it broke, on another
//! node if need be.

use crate::client::action::Action;
use crate::client::call::{CallSpec, Called, Client};
use crate::client::classify::classify;
use crate::client::error::{Error, Failure};
use crate::client::kv;
use crate::client::model::{KeyValue, Keys, Meta, Order, ReadLevel, ScanOptions, after};
use crate::client::retry::{self, CallKind, Next};
use crate::client::wire;
use crate::proto::v1::ScanResponse;
use crate::reason::Outcome;
use std::time::Duration;
use tonic::Streaming;

/// How long a stream may last: far longer than any scan, but bounded.
pub(super) const STREAM_DEADLINE: Duration = Duration::from_secs(3600);

/// How often in a row a broken stream is resumed without a chunk in between.
const RESUMES: u32 = 5;

type Stream = Called<Streaming<ScanResponse>>;

/// A scan under way.
#[derive(Debug)]
pub struct Scan {
    client: Client,
    /// What remains to be read.
    rest: ScanOptions,
    stream: Option<Stream>,
    meta: Option<Meta>,
    resumes: u32,
    done: bool,
}

impl Client {
    /// Reads a whole range as a stream of chunks. Starts with the first [`Scan::next`].
    pub fn scan(&self, scan: ScanOptions) -> Scan {
        Scan { client: self.clone(), rest: scan, stream: None, meta: None, resumes: 0, done: false }
    }
}

impl Scan {
    /// The next keys, in order; `None` after the last. Each chunk must come
    /// within the client's timeout.
    pub async fn next(&mut self) -> Result<Option<Vec<KeyValue>>, Error> {
        while !self.done {
            let mut called = match self.stream.take() {
                Some(called) => called,
                None => self.open().await.inspect_err(|_| self.done = true)?,
            };
            match self.chunk(&mut called).await {
                Ok(kvs) => {
                    self.stream = Some(called);
                    if !kvs.is_empty() {
                        return Ok(Some(kvs));
                    }
                }
                Err(failure) => {
                    self.resumes += 1;
                    if retry::decide(CallKind::Read, &failure) == Next::GiveUp || self.resumes > RESUMES {
                        self.done = true;
                        return Err(called.error(CallSpec::read(Action::Scan), failure));
                    }
                    self.client.nodes.avoid(&called.endpoint);
                    tokio::time::sleep(retry::pause(self.resumes, Duration::ZERO)).await;
                }
            }
        }
        Ok(None)
    }

    /// Who answers and at which revision, once the first chunk is there.
    pub fn meta(&self) -> Option<&Meta> {
        self.meta.as_ref()
    }

    async fn chunk(&mut self, called: &mut Stream) -> Result<Vec<KeyValue>, Failure> {
        let timeout = self.client.options.timeout;
        let message = match tokio::time::timeout(timeout, called.answer.message()).await {
            Ok(Ok(Some(message))) => message,
            Ok(Ok(None)) => {
                return Err(Failure::Grpc {
                    message: "the stream ended early".to_owned(),
                    outcome: Outcome::Unknown,
                });
            }
            Ok(Err(status)) => return Err(classify(&status, timeout)),
            Err(_) => {
                return Err(Failure::Timeout { after: timeout, outcome: Outcome::NotApplied });
            }
        };
        let meta = wire::meta(Action::Scan, message.header, called).map_err(|error| *error.failure)?;
        self.client.of_one_cluster(&meta)?;
        // After a break, the rest must come from the same state.
        self.rest.revision = Some(meta.revision);
        // Another node may lag behind this one: it must wait rather than refuse the revision as a future one.
        if self.rest.level == ReadLevel::Local {
            self.rest.level = ReadLevel::AtLeast(meta.revision);
        }
        self.meta.get_or_insert(meta);
        let kvs = wire::key_values(message.kvs);
        self.passed(&kvs);
        self.done |= message.last;
        Ok(kvs)
    }

    async fn open(&self) -> Result<Stream, Error> {
        let call = CallSpec::stream(Action::Scan, STREAM_DEADLINE);
        let send = |channel, request| async move { kv::service(channel).scan(request).await };
        self.client.call(call, wire::scan(self.rest.clone()), send).await
    }

    /// Subtracts what was read from what remains.
    fn passed(&mut self, kvs: &[KeyValue]) {
        let Some(last) = kvs.last() else { return };
        self.resumes = 0;
        let (start, end) = self.rest.keys.bounds();
        self.rest.keys = match self.rest.order {
            Order::Ascending => Keys::Span { start: Some(after(&last.key)), end },
            Order::Descending => Keys::Span { start, end: Some(last.key.clone()) },
        };
        if self.rest.limit > 0 {
            self.rest.limit = self.rest.limit.saturating_sub(kvs.len() as u64);
            // 0 would mean no limit.
            self.done |= self.rest.limit == 0;
        }
    }
}
