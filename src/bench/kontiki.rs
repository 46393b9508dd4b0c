//! Kontiki's own API.

use crate::bench::call::{Deadline, Read, VersionedValue};
use crate::bench::cluster::{Cluster, Leader, Limits, Node};
use crate::proto::v1::cluster_service_client::ClusterServiceClient;
use crate::proto::v1::kv_service_client::KvServiceClient;
use crate::proto::v1::maintenance_service_client::MaintenanceServiceClient;
use crate::proto::v1::{self as pb, NodeRole, NodeStatus, ReadLevel};
use bytes::Bytes;
use std::time::Duration;
use tonic::Status;
use tonic::transport::Channel;

/// The stubs generated from the protocol's files, as any client has them.
#[derive(Clone)]
pub struct Stub {
    kv: KvServiceClient<Channel>,
    maintenance: MaintenanceServiceClient<Channel>,
    deadline: Deadline,
}

impl Stub {
    pub fn new(channel: Channel, deadline: Deadline) -> Self {
        Self {
            kv: KvServiceClient::new(channel.clone()),
            maintenance: MaintenanceServiceClient::new(channel),
            deadline,
        }
    }

    pub async fn echo(&mut self) -> Result<(), Status> {
        let request = self.deadline.on(pb::EchoRequest::default());
        self.maintenance.echo(request).await.map(drop)
    }

    pub async fn get(&mut self, key: Bytes, local: bool) -> Result<Read, Status> {
        let level = if local { ReadLevel::Local } else { ReadLevel::Linearizable };
        let request = self.deadline.on(pb::GetRequest {
            key_form: Some(pb::get_request::KeyForm::KeyBytes(key)),
            revision: 0,
            read_level: level.into(),
            min_revision: 0,
        });
        let answer = self.kv.get(request).await?.into_inner();
        Ok(Read { revision: answer.header.unwrap_or_default().revision, newest: answer.kv.map(newest) })
    }

    pub async fn put(&mut self, key: Bytes, value: Bytes) -> Result<i64, Status> {
        let request = self.deadline.on(put(key, value));
        let answer = self.kv.put(request).await?.into_inner();
        Ok(answer.header.unwrap_or_default().revision)
    }

    /// Writes keys in one transaction.
    pub async fn put_many(&mut self, pairs: impl Iterator<Item = (Bytes, Bytes)>) -> Result<i64, Status> {
        let op = |(key, value)| pb::TxnOp { op: Some(pb::txn_op::Op::Put(put(key, value))) };
        let success = pairs.map(op).collect();
        let request = self.deadline.on(pb::TxnRequest { compares: Vec::new(), success, failure: Vec::new() });
        let answer = self.kv.txn(request).await?.into_inner();
        Ok(answer.header.unwrap_or_default().revision)
    }

    pub async fn compact(&mut self, revision: i64) -> Result<(), Status> {
        let request = self.deadline.on(pb::CompactRequest { revision });
        self.kv.compact(request).await.map(drop)
    }
}

fn put(key: Bytes, value: Bytes) -> pb::PutRequest {
    pb::PutRequest {
        key_form: Some(pb::put_request::KeyForm::KeyBytes(key)),
        value_form: Some(pb::put_request::ValueForm::ValueBytes(value)),
        return_previous: false,
    }
}

fn newest(kv: pb::KeyValue) -> VersionedValue {
    let value = match kv.value_form {
        Some(pb::key_value::ValueForm::ValueBytes(bytes)) => bytes,
        Some(pb::key_value::ValueForm::Value(text)) => text.into(),
        None => Bytes::new(),
    };
    VersionedValue { revision: kv.mod_revision, value }
}

/// Asks a node about its cluster.
pub async fn describe(channel: Channel) -> Result<Cluster, Status> {
    let request = pb::StatusRequest { local_only: false };
    let answer = ClusterServiceClient::new(channel).status(request).await?.into_inner();
    let header = answer.header.unwrap_or_default();
    let limits = answer.limits.unwrap_or_default();
    let answered = || answer.nodes.iter().filter(|node| node.error.is_empty());
    Ok(Cluster {
        id: format!("{:016x}", header.cluster_id),
        versions: answered().map(|node| node.version.clone()).collect(),
        durability: answered().map(|node| node.durability.clone()).collect(),
        leader: answered()
            .filter(|node| node.role() == NodeRole::Leader)
            .max_by_key(|node| node.raft_term)
            .map(|node| Leader { name: name(node), term: node.raft_term, url: client_url(node) }),
        nodes: answer
            .nodes
            .iter()
            .map(|node| Node { name: name(node), client_url: client_url(node), role: role(node) })
            .collect(),
        longest_apply: answered().map(|node| Duration::from_micros(node.longest_apply_micros)).max(),
        limits: Limits {
            key_bytes: limits.key_bytes,
            request_bytes: limits.request_bytes,
            txn_ops: limits.txn_ops,
        },
    })
}

fn name(node: &NodeStatus) -> String {
    node.member.as_ref().map(|member| member.name.clone()).unwrap_or_default()
}

fn client_url(node: &NodeStatus) -> String {
    let urls = node.member.as_ref().map(|member| &member.client_urls);
    urls.and_then(|urls| urls.first()).cloned().unwrap_or_default()
}

fn role(node: &NodeStatus) -> String {
    if !node.error.is_empty() {
        return format!("did not answer: {}", node.error);
    }
    match node.role() {
        NodeRole::Unspecified => "unknown",
        NodeRole::Follower => "follower",
        NodeRole::PreCandidate | NodeRole::Candidate => "candidate",
        NodeRole::Leader => "leader",
        NodeRole::Learner => "learner",
    }
    .to_owned()
}
