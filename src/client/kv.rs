//! The calls of the key-value service, except scans.

use crate::client::action::Action;
use crate::client::call::{CallSpec, Called, Client};
use crate::client::error::Error;
use crate::client::model::{Answer, Delete, Deleted, Get, KeyValue, Page, Put, Range};
use crate::client::txn::{Txn, TxnAnswer};
use crate::client::wire;
use crate::proto::v1 as pb;
use crate::proto::v1::kv_service_client::KvServiceClient;
use crate::types::Revision;
use tonic::transport::Channel;

/// The largest answer accepted: the largest page that a server can be configured for (64 MiB), and room for
/// the key-value that goes over it.
pub(super) const MOST_BYTES: usize = 80 << 20;

pub(super) fn service(channel: Channel) -> KvServiceClient<Channel> {
    KvServiceClient::new(channel).max_decoding_message_size(MOST_BYTES).max_encoding_message_size(MOST_BYTES)
}

impl Client {
    /// Sets a key. Returns the replaced version, if asked for and if there was one.
    pub async fn put(&self, put: Put) -> Result<Answer<Option<KeyValue>>, Error> {
        let send = |channel, request| async move { service(channel).put(request).await };
        let called = self.call(CallSpec::write(Action::Put), wire::put(put), send).await?;
        answer(Action::Put, called, |answer: pb::PutResponse| {
            (answer.header, Ok(answer.previous.map(wire::key_value)))
        })
    }

    /// Reads a key. Absence is not an error.
    pub async fn get(&self, get: Get) -> Result<Answer<Option<KeyValue>>, Error> {
        let send = |channel, request| async move { service(channel).get(request).await };
        let called = self.call(CallSpec::read(Action::Get), wire::get(get), send).await?;
        answer(Action::Get, called, |answer: pb::GetResponse| {
            (answer.header, Ok(answer.kv.map(wire::key_value)))
        })
    }

    /// Removes keys. Removing nothing is not an error.
    pub async fn delete(&self, delete: Delete) -> Result<Answer<Deleted>, Error> {
        let send = |channel, request| async move { service(channel).delete(request).await };
        let called = self.call(CallSpec::write(Action::Delete), wire::delete(delete), send).await?;
        answer(Action::Delete, called, |mut answer: pb::DeleteResponse| {
            (answer.header.take(), Ok(wire::deleted(answer)))
        })
    }

    /// Reads one page of keys.
    pub async fn range(&self, range: Range) -> Result<Answer<Page>, Error> {
        let send = |channel, request| async move { service(channel).range(request).await };
        let called = self.call(CallSpec::read(Action::Range), wire::range(range), send).await?;
        answer(Action::Range, called, |mut answer: pb::RangeResponse| {
            (answer.header.take(), Ok(wire::page(answer)))
        })
    }

    /// Compares, then does one of two things. A condition that does not hold is not an error.
    pub async fn txn(&self, txn: Txn) -> Result<Answer<TxnAnswer>, Error> {
        let call =
            if txn.is_repeatable() { CallSpec::read(Action::Txn) } else { CallSpec::write(Action::Txn) };
        let send = |channel, request| async move { service(channel).txn(request).await };
        let called = self.call(call, wire::txn(txn), send).await?;
        answer(Action::Txn, called, |mut answer: pb::TxnResponse| {
            (answer.header.take(), wire::txn_answer(answer))
        })
    }

    /// Forgets history: afterwards no read below `revision` succeeds.
    pub async fn compact(&self, revision: Revision) -> Result<Answer<()>, Error> {
        let send = |channel, request| async move { service(channel).compact(request).await };
        let called = self.call(CallSpec::write(Action::Compact), wire::compact(revision), send).await?;
        answer(Action::Compact, called, |answer: pb::CompactResponse| (answer.header, Ok(())))
    }
}

/// Splits an answer into its header and its value.
pub(super) fn answer<A, T>(
    action: Action,
    called: Called<A>,
    open: impl FnOnce(A) -> (Option<pb::ResponseHeader>, Result<T, &'static str>),
) -> Result<Answer<T>, Error> {
    let Called { answer, endpoint, attempts, latency } = called;
    let called = Called { answer: (), endpoint, attempts, latency };
    let (header, value) = open(answer);
    let value = value.map_err(|what| wire::broken(action, &called, what))?;
    Ok(Answer { value, meta: wire::meta(action, header, &called)? })
}
