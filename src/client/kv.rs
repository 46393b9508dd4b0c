//! The calls of the key-value service, except scans.

use crate::client::action::Action;
use crate::client::call::{CallSpec, Called, Client};
use crate::client::error::{Error, Failure, ServerError};
use crate::client::model::{Answer, Delete, Deleted, Get, KeyValue, Meta, Page, Put, Range};
use crate::client::txn::{Txn, TxnAnswer};
use crate::client::wire;
use crate::proto::v1 as pb;
use crate::proto::v1::kv_service_client::KvServiceClient;
use crate::types::{ClusterId, Revision};
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
        let call = CallSpec::write(Action::Put);
        let called = self.call(call, wire::put(put), send).await?;
        self.answer(call, called, |answer: pb::PutResponse| {
            (answer.header, Ok(answer.previous.map(wire::key_value)))
        })
    }

    /// Reads a key. Absence is not an error.
    pub async fn get(&self, get: Get) -> Result<Answer<Option<KeyValue>>, Error> {
        let send = |channel, request| async move { service(channel).get(request).await };
        let call = CallSpec::read(Action::Get);
        let called = self.call(call, wire::get(get), send).await?;
        self.answer(call, called, |answer: pb::GetResponse| {
            (answer.header, Ok(answer.kv.map(wire::key_value)))
        })
    }

    /// Removes keys. Removing nothing is not an error.
    pub async fn delete(&self, delete: Delete) -> Result<Answer<Deleted>, Error> {
        let send = |channel, request| async move { service(channel).delete(request).await };
        let call = CallSpec::write(Action::Delete);
        let called = self.call(call, wire::delete(delete), send).await?;
        self.answer(call, called, |mut answer: pb::DeleteResponse| {
            (answer.header.take(), Ok(wire::deleted(answer)))
        })
    }

    /// Reads one page of keys.
    pub async fn range(&self, range: Range) -> Result<Answer<Page>, Error> {
        let send = |channel, request| async move { service(channel).range(request).await };
        let call = CallSpec::read(Action::Range);
        let called = self.call(call, wire::range(range), send).await?;
        self.answer(call, called, |mut answer: pb::RangeResponse| {
            (answer.header.take(), Ok(wire::page(answer)))
        })
    }

    /// Compares, then does one of two things. A condition that does not hold is not an error.
    pub async fn txn(&self, txn: Txn) -> Result<Answer<TxnAnswer>, Error> {
        let call =
            if txn.is_repeatable() { CallSpec::read(Action::Txn) } else { CallSpec::write(Action::Txn) };
        let send = |channel, request| async move { service(channel).txn(request).await };
        let called = self.call(call, wire::txn(txn), send).await?;
        self.answer(call, called, |mut answer: pb::TxnResponse| {
            (answer.header.take(), wire::txn_answer(answer))
        })
    }

    /// Forgets history: afterwards no read below `revision` succeeds.
    pub async fn compact(&self, revision: Revision) -> Result<Answer<()>, Error> {
        let send = |channel, request| async move { service(channel).compact(request).await };
        let call = CallSpec::write(Action::Compact);
        let called = self.call(call, wire::compact(revision), send).await?;
        self.answer(call, called, |answer: pb::CompactResponse| (answer.header, Ok(())))
    }
}

impl Client {
    /// Splits an answer into its header and its value.
    pub(super) fn answer<A, T>(
        &self,
        call: CallSpec,
        called: Called<A>,
        open: impl FnOnce(A) -> (Option<pb::ResponseHeader>, Result<T, &'static str>),
    ) -> Result<Answer<T>, Error> {
        let Called { answer, endpoint, attempts, latency } = called;
        let called = Called { answer: (), endpoint, attempts, latency };
        let (header, value) = open(answer);
        let value = value.map_err(|what| wire::broken(call.action, &called, what))?;
        let meta = wire::meta(call.action, header, &called)?;
        self.of_one_cluster(&meta).map_err(|failure| called.error(call, failure))?;
        Ok(Answer { value, meta })
    }

    /// Refuses what another cluster answered than the first that was heard: its keys and revisions are others.
    pub(super) fn of_one_cluster(&self, meta: &Meta) -> Result<(), Failure> {
        let before = self.nodes.cluster_or(meta.cluster_id);
        if meta.cluster_id == before {
            return Ok(());
        }
        let other = ServerError::other_cluster(ClusterId(meta.cluster_id), ClusterId(before));
        Err(Failure::Refused(Box::new(other)))
    }
}
