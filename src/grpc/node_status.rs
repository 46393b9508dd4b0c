//! How each node of the cluster is, asked from any of them.

use crate::grpc::context::Context;
use crate::grpc::forward::send;
use crate::grpc::wire::header::role;
use crate::grpc::wire::read::signed;
use crate::grpc::{health, members};
use crate::peers::connection::describe_status;
use crate::proto::v1;
use crate::raft::ProgressState;
use crate::types::NodeId;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// A node that has not answered by then is shown with the reason. Short: the
/// whole table waits for the slowest node.
const PATIENCE: Duration = Duration::from_secs(1);

/// This node, as it sees itself.
pub fn own(context: &Context) -> v1::NodeStatus {
    let status = context.handle.status();
    let view = context.handle.view();
    let not_ready = health::readiness(context).err();
    v1::NodeStatus {
        member: Some(own_member(context)),
        error: String::new(),
        role: role(status.role).into(),
        raft_term: status.term.get(),
        leader_id: status.leader.map_or(0, NodeId::get),
        commit_index: status.commit.get(),
        applied_index: view.applied().index.get(),
        last_index: status.last.index.get(),
        durable_index: status.durable.get(),
        compacted_index: status.compacted.index.get(),
        revision: signed(view.revision().get()),
        compact_revision: signed(view.compact_revision().get()),
        keys: view.keys(),
        disk_bytes: context.handle.disk_bytes(),
        uptime_seconds: context.started.elapsed().as_secs(),
        version: context.version.to_owned(),
        durability: context.durability.clone(),
        state_hash: format!("{:032x}", view.state_hash()),
        ready: not_ready.is_none(),
        not_ready_reason: not_ready.unwrap_or_default(),
        followers: status
            .followers
            .iter()
            .map(|follower| v1::FollowerProgress {
                node_id: follower.node.get(),
                state: state_name(follower.state).to_owned(),
                match_index: follower.matched.get(),
                next_index: follower.next.get(),
            })
            .collect(),
    }
}

fn state_name(state: ProgressState) -> &'static str {
    match state {
        ProgressState::Probe => "probe",
        ProgressState::Replicate => "replicate",
        ProgressState::Snapshot => "snapshot",
    }
}

fn own_member(context: &Context) -> v1::Member {
    let id = context.node().get();
    let listed = members::all(context).into_iter().find(|member| member.node_id == id);
    v1::Member {
        node_id: id,
        name: context.answerer.name.clone(),
        client_url: context.client_url.clone(),
        ..listed.unwrap_or_default()
    }
}

/// Every member, in order of name; the others are asked at the same time.
pub async fn of_all(context: &Arc<Context>) -> Vec<v1::NodeStatus> {
    let members = members::all(context);
    let mut asked = JoinSet::new();
    for (place, member) in members.iter().enumerate() {
        if member.node_id != context.node().get() {
            let (context, member) = (Arc::clone(context), member.clone());
            asked.spawn(async move { (place, of_peer(&context, member).await) });
        }
    }
    let mut statuses: Vec<v1::NodeStatus> = members
        .into_iter()
        .map(|member| match member.node_id == context.node().get() {
            true => own(context),
            false => failed(member, "the question was not answered"),
        })
        .collect();
    while let Some(answer) = asked.join_next().await {
        if let Ok((place, status)) = answer {
            statuses[place] = status;
        }
    }
    statuses
}

async fn of_peer(context: &Context, member: v1::Member) -> v1::NodeStatus {
    let Some(channel) = context.peers.channel(NodeId(member.node_id)) else {
        return failed(member, "this node knows no address of it");
    };
    let mut request = context.forwarded(v1::StatusRequest { local_only: true });
    request.set_timeout(PATIENCE);
    match tokio::time::timeout(PATIENCE, send(channel, request)).await {
        Ok(Ok(answer)) => match answer.nodes.into_iter().next() {
            Some(status) => status,
            None => failed(member, "it answered without a status"),
        },
        Ok(Err(status)) => failed(member, &describe_status(&status)),
        Err(_) => failed(member, &format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

fn failed(member: v1::Member, why: &str) -> v1::NodeStatus {
    v1::NodeStatus { member: Some(member), error: why.to_owned(), ..Default::default() }
}
