//! From a read level to the view that satisfies it.

use crate::grpc::context::{Call, Context};
use crate::grpc::error::{Fault, reason_of};
use crate::grpc::leader::Patience;
use crate::grpc::wire::read::Level;
use crate::kv::View;
use crate::reason::Reason;
use crate::replica::ReadError;
use crate::types::Index;
use std::sync::Arc;
use tonic::{Code, Status};

/// A view that is fresh enough.
pub async fn view(context: &Context, call: &Call, level: Level) -> Result<Arc<View>, Status> {
    match level {
        Level::Local => Ok(context.handle.view()),
        Level::Linearizable => {
            let index = read_index(context, call).await?;
            let view = call.deadline.bound(context.handle.wait_applied(index)).await;
            Ok(view
                .ok_or_else(|| behind(context, "waiting for this node's state to catch up"))?
                .map_err(Fault::from)?)
        }
        Level::AtLeast(revision) => {
            let view = call.deadline.bound(context.handle.wait_revision(revision)).await;
            let late = || behind(context, "waiting for `min_revision`").fact("requested_revision", revision);
            Ok(view.ok_or_else(late)?.map_err(Fault::from)?)
        }
    }
}

fn behind(context: &Context, doing: &str) -> Fault {
    Fault::deadline(doing).fact("current_revision", context.handle.view().revision())
}

/// An index that a state must include to be fresh enough (thesis §6.4), by the
/// leader, or on another node by asking it. To ask again does no harm.
async fn read_index(context: &Context, call: &Call) -> Result<Index, Status> {
    let patience = Patience::of(context, call);
    loop {
        let leader = patience.leader(context).await?;
        let refusal: Status = if leader == context.node() {
            match call.deadline.bound(context.handle.read_index()).await {
                None => return Err(deadline().into()),
                Some(Ok(index)) => return Ok(index),
                Some(Err(ReadError::NotLeader { .. })) => lost(context).into(),
                Some(Err(error)) => return Err(Fault::from(error).into()),
            }
        } else {
            match call.deadline.bound(context.peers.read_index(leader, call.deadline.at())).await {
                None => return Err(deadline().into()),
                Some(Ok(index)) => return Ok(index),
                Some(Err(status)) if is_final(&status) => return Err(status),
                Some(Err(status)) => unreachable_leader(context, leader, &status).into(),
            }
        };
        if call.deadline.has_passed() {
            return Err(deadline().into());
        }
        if !patience.pause(context, leader).await {
            return Err(refusal);
        }
    }
}

/// What the leader said on purpose, other than that it does not lead.
fn is_final(status: &Status) -> bool {
    status.code() == Code::ResourceExhausted || reason_of(status).is_some_and(|reason| !reason.is_passing())
}

fn deadline() -> Fault {
    Fault::deadline("a majority was asked to confirm the leader; READ_LEVEL_LOCAL reads without")
}

fn lost(context: &Context) -> Fault {
    Fault::new(Reason::NoLeader, "leadership was lost before the read was confirmed")
        .retry_after(context.timing.election_max)
}

fn unreachable_leader(context: &Context, leader: crate::types::NodeId, status: &Status) -> Fault {
    let hint = context.hint(leader);
    let name = hint.name.clone().unwrap_or_else(|| format!("node {leader}"));
    let message = format!(
        "the leader, {name}, did not confirm the read: {}; READ_LEVEL_LOCAL reads without it",
        status.message()
    );
    Fault::new(Reason::LeaderUnreachable, message).leader(hint).retry_after(context.timing.election_max)
}
