//! The calls of the cluster service.

use crate::address::NodeUrl;
use crate::client::action::Action;
use crate::client::call::{CallSpec, Client};
use crate::client::error::Error;
use crate::client::model::{Answer, ClusterStatus, Leader, Member, Role};
use crate::client::wire;
use crate::proto::v1 as pb;
use crate::proto::v1::cluster_service_client::ClusterServiceClient;

impl Client {
    /// The status of all nodes, asked from one of them. Also learns who leads.
    pub async fn status(&self) -> Result<Answer<ClusterStatus>, Error> {
        let status = self.status_of(false).await?;
        let leader = status.value.nodes.iter().find(|node| node.role == Role::Leader);
        // Only a node that the caller named is known to be reachable.
        let urls = leader.map(|node| &node.member.client_urls).into_iter().flatten();
        let mut named = urls.filter_map(|url| NodeUrl::parse(url).ok());
        if let Some(url) = named.find(|url| self.nodes.endpoints().contains(url)) {
            self.nodes.prefer(&url);
        }
        Ok(status)
    }

    /// The status of the asked node alone, answered without the others.
    pub async fn local_status(&self) -> Result<Answer<ClusterStatus>, Error> {
        self.status_of(true).await
    }

    async fn status_of(&self, local_only: bool) -> Result<Answer<ClusterStatus>, Error> {
        let send = |channel, request| async move { ClusterServiceClient::new(channel).status(request).await };
        let call = CallSpec::read(Action::Status);
        let called = self.call(call, pb::StatusRequest { local_only }, send).await?;
        self.answer(call, called, |mut answer: pb::StatusResponse| {
            (answer.header.take(), Ok(wire::cluster_status(answer)))
        })
    }

    /// The nodes that the cluster consists of.
    pub async fn members(&self) -> Result<Answer<Vec<Member>>, Error> {
        let send =
            |channel, request| async move { ClusterServiceClient::new(channel).members(request).await };
        let call = CallSpec::read(Action::Members);
        let called = self.call(call, pb::MembersRequest {}, send).await?;
        self.answer(call, called, |answer: pb::MembersResponse| {
            (answer.header, Ok(answer.members.into_iter().map(wire::member).collect()))
        })
    }

    /// Hands leadership to the voter with this name or id, or to the most up-to-date one. Returns when the
    /// new leader is known.
    pub async fn transfer_leadership(&self, to: Option<String>) -> Result<Answer<Leader>, Error> {
        let send = |channel, request| async move {
            ClusterServiceClient::new(channel).transfer_leadership(request).await
        };
        let request = pb::TransferLeadershipRequest { to: to.unwrap_or_default() };
        // Not safe to repeat: without a target, a second one would move it on.
        let call = CallSpec::write(Action::TransferLeadership);
        let called = self.call(call, request, send).await?;
        self.answer(call, called, |answer: pb::TransferLeadershipResponse| {
            (answer.header, Ok(Leader { id: answer.leader_id, name: answer.leader_name }))
        })
    }
}
