//! The client's types as protobuf and back. Keys and values are always sent as bytes; the server then answers
//! with bytes.

use crate::client::action::Action;
use crate::client::call::{CallSpec, Called};
use crate::client::error::{Error, Failure};
use crate::client::model::{
    ClusterStatus, Delete, Deleted, Durability, Follower, Get, KeyValue, Keys, Member, Meta, NodeStatus,
    Order, Page, Put, Range, ReadLevel, RequestLimits, Role, ScanOptions,
};
use crate::client::txn::{Compare, Relation, Target, Txn, TxnAnswer, TxnOp, TxnResult};
use crate::proto::v1 as pb;
use crate::reason::Outcome;
use crate::types::{FollowerState, Revision};
use bytes::Bytes;
use std::time::Duration;

/// Each message that selects keys has its own oneof type; all have the same variants.
macro_rules! selector {
    ($name:ident, $module:ident) => {
        fn $name(keys: Keys) -> Option<pb::$module::Selector> {
            use pb::$module::Selector;
            Some(match keys {
                Keys::One(key) => Selector::KeyBytes(key),
                Keys::Prefix(prefix) => Selector::PrefixBytes(prefix),
                Keys::Span { start, end } => Selector::Span(span(start, end)),
                Keys::All => Selector::All(true),
            })
        }
    };
}

selector!(delete_selector, delete_request);
selector!(range_selector, range_request);
selector!(scan_selector, scan_request);
selector!(compare_selector, compare);

fn span(start: Option<Bytes>, end: Option<Bytes>) -> pb::KeySpan {
    pb::KeySpan {
        start_form: start.map(pb::key_span::StartForm::StartBytes),
        end_form: end.map(pb::key_span::EndForm::EndBytes),
    }
}

/// Revisions and counts are signed on the wire. What does not fit is sent as
/// the largest number, which the server refuses as a future revision.
fn signed(number: u64) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// A server that answers with a negative number is broken; 0 is as wrong as anything.
fn unsigned(number: i64) -> u64 {
    number.try_into().unwrap_or_default()
}

fn revision(number: i64) -> Revision {
    Revision(unsigned(number))
}

fn at(revision: Option<Revision>) -> i64 {
    signed(revision.map_or(0, Revision::get))
}

fn level(level: ReadLevel) -> (i32, i64) {
    match level {
        ReadLevel::Linearizable => (pb::ReadLevel::Linearizable.into(), 0),
        ReadLevel::Local => (pb::ReadLevel::Local.into(), 0),
        ReadLevel::AtLeast(revision) => (pb::ReadLevel::AtLeast.into(), signed(revision.get())),
    }
}

fn order(order: Order) -> i32 {
    match order {
        Order::Ascending => pb::KeyOrder::Ascending.into(),
        Order::Descending => pb::KeyOrder::Descending.into(),
    }
}

/// The bytes of a key or value, in whichever form it came.
macro_rules! bytes_of {
    ($form:expr, $module:ident :: $kind:ident, $text:ident, $bytes:ident) => {
        match $form {
            Some(pb::$module::$kind::$text(text)) => Bytes::from(text),
            Some(pb::$module::$kind::$bytes(bytes)) => bytes,
            None => Bytes::new(),
        }
    };
}

pub(super) fn key_value(kv: pb::KeyValue) -> KeyValue {
    KeyValue {
        key: bytes_of!(kv.key_form, key_value::KeyForm, Key, KeyBytes),
        value: bytes_of!(kv.value_form, key_value::ValueForm, Value, ValueBytes),
        create_revision: revision(kv.create_revision),
        mod_revision: revision(kv.mod_revision),
        version: unsigned(kv.version),
    }
}

pub(super) fn key_values(kvs: Vec<pb::KeyValue>) -> Vec<KeyValue> {
    kvs.into_iter().map(key_value).collect()
}

pub(super) fn put(put: Put) -> pb::PutRequest {
    pb::PutRequest {
        key_form: Some(pb::put_request::KeyForm::KeyBytes(put.key)),
        value_form: Some(pb::put_request::ValueForm::ValueBytes(put.value)),
        return_previous: put.return_previous,
    }
}

pub(super) fn get(get: Get) -> pb::GetRequest {
    let (read_level, min_revision) = level(get.level);
    pb::GetRequest {
        key_form: Some(pb::get_request::KeyForm::KeyBytes(get.key)),
        revision: at(get.revision),
        read_level,
        min_revision,
    }
}

pub(super) fn delete(delete: Delete) -> pb::DeleteRequest {
    pb::DeleteRequest { selector: delete_selector(delete.keys), return_previous: delete.return_previous }
}

pub(super) fn range(range: Range) -> pb::RangeRequest {
    let (read_level, min_revision) = level(range.level);
    pb::RangeRequest {
        selector: range_selector(range.keys),
        revision: at(range.revision),
        limit: signed(range.limit),
        page_token: range.page_token,
        order: order(range.order),
        keys_only: range.keys_only,
        count_only: range.count_only,
        with_count: range.with_count,
        read_level,
        min_revision,
    }
}

pub(super) fn scan(scan: ScanOptions) -> pb::ScanRequest {
    let (read_level, min_revision) = level(scan.level);
    pb::ScanRequest {
        selector: scan_selector(scan.keys),
        revision: at(scan.revision),
        limit: signed(scan.limit),
        order: order(scan.order),
        keys_only: scan.keys_only,
        read_level,
        min_revision,
    }
}

pub(super) fn compact(revision: Revision) -> pb::CompactRequest {
    pb::CompactRequest { revision: signed(revision.get()) }
}

pub(super) fn hash(revision: Option<Revision>) -> pb::HashRequest {
    pb::HashRequest { revision: at(revision) }
}

pub(super) fn txn(txn: Txn) -> pb::TxnRequest {
    let ops = |ops: Vec<TxnOp>| ops.into_iter().map(txn_op).collect();
    pb::TxnRequest {
        compares: txn.compares.into_iter().map(compare).collect(),
        success: ops(txn.success),
        failure: ops(txn.failure),
    }
}

fn txn_op(op: TxnOp) -> pb::TxnOp {
    use pb::txn_op::Op;
    let op = match op {
        TxnOp::Put(op) => Op::Put(put(op)),
        // Inside a transaction the read level is the transaction's own: it must be unset.
        TxnOp::Get(op) => Op::Get(pb::GetRequest { read_level: 0, min_revision: 0, ..get(op) }),
        TxnOp::Delete(op) => Op::Delete(delete(op)),
        TxnOp::Range(op) => Op::Range(pb::RangeRequest { read_level: 0, min_revision: 0, ..range(op) }),
        TxnOp::Txn(op) => Op::Txn(txn(op)),
    };
    pb::TxnOp { op: Some(op) }
}

fn compare(compare: Compare) -> pb::Compare {
    use pb::compare::Operand;
    let (target, operand) = match compare.target {
        Target::Version(n) => (pb::CompareTarget::Version, Operand::Number(signed(n))),
        Target::CreateRevision(n) => (pb::CompareTarget::CreateRevision, Operand::Number(signed(n.get()))),
        Target::ModRevision(n) => (pb::CompareTarget::ModRevision, Operand::Number(signed(n.get()))),
        Target::Value(value) => (pb::CompareTarget::Value, Operand::ValueBytes(value)),
    };
    let relation = match compare.relation {
        Relation::Equal => pb::CompareRelation::Equal,
        Relation::NotEqual => pb::CompareRelation::NotEqual,
        Relation::Greater => pb::CompareRelation::Greater,
        Relation::Less => pb::CompareRelation::Less,
    };
    pb::Compare {
        selector: compare_selector(compare.keys),
        target: target.into(),
        relation: relation.into(),
        operand: Some(operand),
    }
}

pub(super) fn deleted(answer: pb::DeleteResponse) -> Deleted {
    Deleted { deleted: unsigned(answer.deleted), previous: key_values(answer.previous) }
}

pub(super) fn page(answer: pb::RangeResponse) -> Page {
    Page {
        kvs: key_values(answer.kvs),
        more: answer.more,
        next_page_token: answer.next_page_token,
        count: answer.count.map(unsigned),
    }
}

/// An error says what is missing.
pub(super) fn txn_answer(answer: pb::TxnResponse) -> Result<TxnAnswer, &'static str> {
    let results = answer.results.into_iter().map(txn_result).collect::<Result<_, _>>()?;
    Ok(TxnAnswer { succeeded: answer.succeeded, results })
}

fn txn_result(result: pb::TxnOpResult) -> Result<TxnResult, &'static str> {
    use pb::txn_op_result::Result as R;
    Ok(
        match result
            .result
            .ok_or("a result of the transaction is of a kind that this client does not know")?
        {
            R::Put(put) => TxnResult::Put(put.previous.map(key_value)),
            R::Get(get) => TxnResult::Get(get.kv.map(key_value)),
            R::Delete(delete) => TxnResult::Delete(deleted(delete)),
            R::Range(range) => TxnResult::Range(page(range)),
            R::Txn(txn) => TxnResult::Txn(txn_answer(txn)?),
        },
    )
}

/// Who answered. A server that leaves out the header is broken, and that is reported.
pub(super) fn meta<A>(
    action: Action,
    header: Option<pb::ResponseHeader>,
    called: &Called<A>,
) -> Result<Meta, Error> {
    let header = header.ok_or_else(|| broken(action, called, "the answer has no header"))?;
    Ok(Meta {
        cluster_id: header.cluster_id,
        node_id: header.node_id,
        served_by: header.served_by,
        revision: revision(header.revision),
        term: header.raft_term,
        applied_index: header.applied_index,
        endpoint: called.endpoint.clone(),
        attempts: called.attempts,
        latency: called.latency,
    })
}

/// The error for an answer that violates the protocol.
pub(super) fn broken<A>(action: Action, called: &Called<A>, what: &str) -> Error {
    let message = format!("{what}; is the server a newer kontiki?");
    // It was answered, so it was done: the outcome is not unknown.
    called.error(CallSpec::read(action), Failure::Grpc { message, outcome: Outcome::Unknown })
}

pub(super) fn member(member: pb::Member) -> Member {
    Member {
        id: member.node_id,
        name: member.name,
        peer_urls: member.peer_urls,
        client_urls: member.client_urls,
        learner: member.learner,
    }
}

pub(super) fn cluster_status(answer: pb::StatusResponse) -> ClusterStatus {
    let limits = answer.limits.unwrap_or_default();
    ClusterStatus {
        nodes: answer.nodes.into_iter().map(node_status).collect(),
        limits: RequestLimits {
            key_bytes: limits.key_bytes,
            request_bytes: limits.request_bytes,
            txn_ops: limits.txn_ops,
            page_keys: limits.page_keys,
            page_bytes: limits.page_bytes,
        },
    }
}

fn node_status(node: pb::NodeStatus) -> NodeStatus {
    NodeStatus {
        role: role(node.role()),
        member: node.member.map(member).unwrap_or_default(),
        error: (!node.error.is_empty()).then_some(node.error),
        term: node.raft_term,
        leader_id: (node.leader_id != 0).then_some(node.leader_id),
        commit_index: node.commit_index,
        applied_index: node.applied_index,
        last_index: node.last_index,
        durable_index: node.durable_index,
        compacted_index: node.compacted_index,
        revision: revision(node.revision),
        compact_revision: revision(node.compact_revision),
        keys: node.keys,
        disk_bytes: node.disk_bytes,
        longest_apply: Duration::from_micros(node.longest_apply_micros),
        uptime: Duration::from_secs(node.uptime_seconds),
        version: node.version,
        durability: Durability::new(node.durability),
        state_hash: node.state_hash,
        ready: node.ready,
        not_ready_reason: node.not_ready_reason,
        followers: node.followers.into_iter().map(follower).collect(),
    }
}

fn follower(follower: pb::FollowerProgress) -> Follower {
    Follower {
        id: follower.node_id,
        state: follower_state(follower.state()),
        match_index: follower.match_index,
        next_index: follower.next_index,
    }
}

fn follower_state(state: pb::FollowerState) -> Option<FollowerState> {
    match state {
        pb::FollowerState::Unspecified => None,
        pb::FollowerState::Probe => Some(FollowerState::Probe),
        pb::FollowerState::Replicate => Some(FollowerState::Replicate),
        pb::FollowerState::Snapshot => Some(FollowerState::Snapshot),
    }
}

fn role(role: pb::NodeRole) -> Role {
    match role {
        pb::NodeRole::Unspecified => Role::Unknown,
        pb::NodeRole::Follower => Role::Follower,
        pb::NodeRole::PreCandidate => Role::PreCandidate,
        pb::NodeRole::Candidate => Role::Candidate,
        pb::NodeRole::Leader => Role::Leader,
        pb::NodeRole::Learner => Role::Learner,
    }
}
