//! `ClusterService`: shows and steers the cluster.

use crate::grpc::context::{Call, Context};
use crate::grpc::error::Fault;
use crate::grpc::forward::{Done, on_leader};
use crate::grpc::wire::header;
use crate::grpc::{members, node_status};
use crate::proto::v1;
use crate::proto::v1::cluster_service_server::ClusterService;
use crate::raft::RoleName;
use crate::reason::Reason;
use crate::types::NodeId;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The service. Cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    context: Arc<Context>,
}

impl Cluster {
    /// Serves from this context.
    pub fn new(context: Arc<Context>) -> Self {
        Self { context }
    }

    async fn hand_over(&self, call: &Call, to: Option<NodeId>) -> Result<NodeId, Fault> {
        let status = self.context.handle.status();
        if to == Some(self.context.node()) && status.role == RoleName::Leader {
            return Ok(self.context.node()); // It leads already: that is what was asked for.
        }
        let transfer = self.context.handle.transfer_leadership(to);
        match call.deadline.bound_loosely(transfer).await {
            Some(outcome) => Ok(outcome?),
            None => {
                Err(Fault::deadline("leadership was handed over; `kontiki status` shows who leads").unknown())
            }
        }
    }
}

#[tonic::async_trait]
impl ClusterService for Cluster {
    async fn status(
        &self,
        request: Request<v1::StatusRequest>,
    ) -> Result<Response<v1::StatusResponse>, Status> {
        let nodes = if request.get_ref().local_only {
            vec![node_status::own(&self.context)]
        } else {
            node_status::of_all(&self.context).await
        };
        let header = Some(self.context.header());
        let limits = Some(header::limits(&self.context.limits));
        Ok(Response::new(v1::StatusResponse { header, nodes, limits }))
    }

    async fn members(
        &self,
        _request: Request<v1::MembersRequest>,
    ) -> Result<Response<v1::MembersResponse>, Status> {
        let members = members::all(&self.context);
        Ok(Response::new(v1::MembersResponse { header: Some(self.context.header()), members }))
    }

    async fn transfer_leadership(
        &self,
        request: Request<v1::TransferLeadershipRequest>,
    ) -> Result<Response<v1::TransferLeadershipResponse>, Status> {
        let call = self.context.call(request.metadata());
        let to = target(&request.get_ref().to, &members::all(&self.context))?;
        let done = on_leader(&self.context, &call, request.get_ref(), || self.hand_over(&call, to)).await?;
        let leader = match done {
            Done::Here(leader) => leader,
            Done::There(answer) => return Ok(Response::new(answer)),
        };
        let leader_name = self.context.peers.member(leader).map(|member| member.name).unwrap_or_default();
        Ok(Response::new(v1::TransferLeadershipResponse {
            header: Some(self.context.header()),
            leader_id: leader.get(),
            leader_name,
        }))
    }
}

/// The node that a name or an id means; `None` leaves the choice to the leader.
fn target(to: &str, members: &[v1::Member]) -> Result<Option<NodeId>, Fault> {
    if to.is_empty() {
        return Ok(None);
    }
    let by_name = members.iter().find(|member| member.name == to);
    let by_id = || members.iter().find(|member| to.parse() == Ok(member.node_id));
    match by_name.or_else(by_id) {
        Some(member) => Ok(Some(NodeId(member.node_id))),
        None => {
            let names: Vec<_> = members.iter().map(|member| member.name.as_str()).collect();
            let message = format!("{to:?} is no member's name or id; the members are {}", names.join(", "));
            Err(Fault::field(Reason::BadTransferTarget, "to", message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members() -> Vec<v1::Member> {
        let member = |node_id, name: &str| v1::Member { node_id, name: name.into(), ..Default::default() };
        vec![member(11, "n1"), member(12, "n2"), member(13, "11")]
    }

    #[test]
    fn a_target_is_named_or_numbered_and_a_name_wins() {
        assert_eq!(target("", &members()), Ok(None));
        assert_eq!(target("n2", &members()), Ok(Some(NodeId(12))));
        assert_eq!(target("12", &members()), Ok(Some(NodeId(12))));
        assert_eq!(target("11", &members()), Ok(Some(NodeId(13))));
        let fault = target("n9", &members()).unwrap_err();
        assert_eq!(fault.reason(), Reason::BadTransferTarget);
        assert!(fault.message().contains("n1, n2"));
    }
}
