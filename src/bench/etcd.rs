//! The part of etcd's v3 API that a benchmark needs: the same load for both systems, from the same generator.
//!
//! The messages are declared here with the field numbers of etcd's `rpc.proto` and `kv.proto`. Fields that are
//! neither sent nor read are left out, which protobuf allows.

use crate::bench::call::{Deadline, Read, VersionedValue};
use crate::bench::cluster::{Cluster, Leader, Limits, Node};
use bytes::Bytes;
use http::uri::PathAndQuery;
use prost::Message;
use std::collections::BTreeSet;
use std::time::Duration;
use tonic::Status;
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic_prost::ProstCodec;

/// How long the questions about the cluster may take.
const STATUS_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct Stub {
    grpc: Grpc<Channel>,
    deadline: Deadline,
}

impl Stub {
    pub fn new(channel: Channel, deadline: Deadline) -> Self {
        Self { grpc: Grpc::new(channel), deadline }
    }

    /// Reads a key. "Serializable" is etcd's word for a read of what the asked node has.
    pub async fn get(&mut self, key: Bytes, local: bool) -> Result<Read, Status> {
        let request = RangeRequest { key, serializable: local };
        let answer: RangeResponse = self.call("/etcdserverpb.KV/Range", request).await?;
        let newest = answer.kvs.into_iter().next();
        Ok(Read {
            revision: answer.header.unwrap_or_default().revision,
            newest: newest.map(|kv| VersionedValue { revision: kv.mod_revision, value: kv.value }),
        })
    }

    pub async fn put(&mut self, key: Bytes, value: Bytes) -> Result<i64, Status> {
        let answer: PutResponse = self.call("/etcdserverpb.KV/Put", PutRequest { key, value }).await?;
        Ok(answer.header.unwrap_or_default().revision)
    }

    /// Writes keys in one transaction.
    pub async fn put_many(&mut self, pairs: impl Iterator<Item = (Bytes, Bytes)>) -> Result<i64, Status> {
        let op = |(key, value)| RequestOp { put: Some(PutRequest { key, value }) };
        let answer: TxnResponse =
            self.call("/etcdserverpb.KV/Txn", TxnRequest { success: pairs.map(op).collect() }).await?;
        Ok(answer.header.unwrap_or_default().revision)
    }

    pub async fn compact(&mut self, revision: i64) -> Result<(), Status> {
        let request = CompactionRequest { revision };
        let _: CompactionResponse = self.call("/etcdserverpb.KV/Compact", request).await?;
        Ok(())
    }

    async fn call<Q, A>(&mut self, path: &'static str, message: Q) -> Result<A, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        self.grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let request = self.deadline.on(message);
        let path = PathAndQuery::from_static(path);
        let answer = self.grpc.unary(request, path, ProstCodec::<Q, A>::default()).await?;
        Ok(answer.into_inner())
    }
}

/// Asks a member about its cluster.
pub async fn describe(channel: Channel) -> Result<Cluster, Status> {
    let mut stub = Stub::new(channel, Deadline::new(STATUS_TIMEOUT));
    let status: StatusResponse =
        stub.call("/etcdserverpb.Maintenance/Status", StatusRequest::default()).await?;
    let mut list: MemberListResponse =
        stub.call("/etcdserverpb.Cluster/MemberList", MemberListRequest::default()).await?;
    list.members.sort_by(|one, other| one.name.cmp(&other.name));
    let url = |member: &Member| member.client_urls.first().cloned().unwrap_or_default();
    let leads = |member: &Member| member.id == status.leader;
    Ok(Cluster {
        id: format!("{:016x}", status.header.unwrap_or_default().cluster_id),
        versions: BTreeSet::from([status.version]),
        // Members do not say. This is the default; --unsafe-no-fsync turns it off.
        durability: BTreeSet::from(["fdatasync (unless told otherwise)".to_owned()]),
        leader: list.members.iter().find(|member| leads(member)).map(|member| Leader {
            name: member.name.clone(),
            term: status.raft_term,
            url: url(member),
        }),
        nodes: list
            .members
            .iter()
            .map(|member| Node {
                name: member.name.clone(),
                client_url: url(member),
                role: if leads(member) { "leader" } else { "follower" }.to_owned(),
            })
            .collect(),
        longest_apply: None,
        limits: Limits::default(),
    })
}

#[derive(Clone, PartialEq, Message)]
struct ResponseHeader {
    #[prost(uint64, tag = "1")]
    cluster_id: u64,
    #[prost(int64, tag = "3")]
    revision: i64,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(int64, tag = "3")]
    mod_revision: i64,
    #[prost(bytes = "bytes", tag = "5")]
    value: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct RangeRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bool, tag = "7")]
    serializable: bool,
}

#[derive(Clone, PartialEq, Message)]
struct RangeResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<ResponseHeader>,
    #[prost(message, repeated, tag = "2")]
    kvs: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct PutRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct PutResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<ResponseHeader>,
}

/// Only the variant of the oneof that is sent.
#[derive(Clone, PartialEq, Message)]
struct RequestOp {
    #[prost(message, optional, tag = "2")]
    put: Option<PutRequest>,
}

#[derive(Clone, PartialEq, Message)]
struct TxnRequest {
    #[prost(message, repeated, tag = "2")]
    success: Vec<RequestOp>,
}

#[derive(Clone, PartialEq, Message)]
struct TxnResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<ResponseHeader>,
}

#[derive(Clone, PartialEq, Message)]
struct CompactionRequest {
    #[prost(int64, tag = "1")]
    revision: i64,
}

#[derive(Clone, PartialEq, Message)]
struct CompactionResponse {}

#[derive(Clone, PartialEq, Message)]
struct StatusRequest {}

#[derive(Clone, PartialEq, Message)]
struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<ResponseHeader>,
    #[prost(string, tag = "2")]
    version: String,
    #[prost(uint64, tag = "4")]
    leader: u64,
    #[prost(uint64, tag = "6")]
    raft_term: u64,
}

#[derive(Clone, PartialEq, Message)]
struct MemberListRequest {}

#[derive(Clone, PartialEq, Message)]
struct MemberListResponse {
    #[prost(message, repeated, tag = "2")]
    members: Vec<Member>,
}

#[derive(Clone, PartialEq, Message)]
struct Member {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, repeated, tag = "4")]
    client_urls: Vec<String>,
}
