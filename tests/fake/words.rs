//! Refusals, headers and keys as a node words them.

use kontiki::proto::v1 as pb;
use std::collections::HashMap;
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// A refusal as a node words it.
pub(crate) fn refusal(code: Code, reason: &str, outcome: &str, leader: Option<&str>) -> Status {
    let mut facts = vec![("outcome", outcome)];
    facts.extend(leader.map(|leader| ("leader_url", leader)));
    refusal_with(code, reason, &facts, Duration::from_millis(1))
}

/// A refusal with these facts, and a wish for when to come back.
pub(crate) fn refusal_with(
    code: Code,
    reason: &str,
    facts: &[(&str, &str)],
    retry_after: Duration,
) -> Status {
    let metadata: HashMap<String, String> =
        facts.iter().map(|(name, fact)| ((*name).to_owned(), (*fact).to_owned())).collect();
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, "kontiki", metadata);
    details.set_retry_info(Some(retry_after));
    Status::with_error_details(code, format!("{reason} in words"), details)
}

/// The header of answers at revision 2.
pub(crate) fn header() -> Option<pb::ResponseHeader> {
    Some(header_at(2))
}

pub(super) fn header_at(revision: i64) -> pb::ResponseHeader {
    pb::ResponseHeader {
        cluster_id: 5,
        node_id: 1,
        served_by: "n2".to_owned(),
        revision,
        ..Default::default()
    }
}

/// A key of revision 2.
pub(crate) fn kv(key: &'static str, value: &'static str) -> pb::KeyValue {
    pb::KeyValue {
        key_form: Some(pb::key_value::KeyForm::KeyBytes(key.into())),
        value_form: Some(pb::key_value::ValueForm::ValueBytes(value.into())),
        create_revision: 2,
        mod_revision: 2,
        version: 1,
    }
}

/// The status of a cluster whose one node is at this address.
pub(super) fn leader_of_one(url: &str) -> pb::StatusResponse {
    let node = pb::NodeStatus {
        member: Some(pb::Member {
            node_id: 1,
            name: "n1".to_owned(),
            client_urls: vec![url.to_owned()],
            ..Default::default()
        }),
        role: pb::NodeRole::Leader.into(),
        raft_term: 7,
        version: "0.0.0-fake".to_owned(),
        durability: "memory".to_owned(),
        ready: true,
        ..Default::default()
    };
    let limits =
        pb::Limits { key_bytes: 8 << 10, request_bytes: 1 << 20, txn_ops: 128, ..Default::default() };
    pb::StatusResponse { nodes: vec![node], limits: Some(limits), ..Default::default() }
}

/// A port that is known to be closed.
pub(crate) async fn closed_port() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}
