//! What the client-facing services need from the connections to peers.

use crate::types::{Index, NodeId};

/// The other nodes, as the client-facing services see them.
#[tonic::async_trait]
pub trait PeerCalls: Send + Sync + 'static {
    /// A channel to the node's peer listener, connected when first used; `None` for an unknown node.
    fn channel(&self, node: NodeId) -> Option<tonic::transport::Channel>;

    /// What is known of a member.
    fn member(&self, node: NodeId) -> Option<MemberInfo>;

    /// All members, this node among them, in order of id.
    fn members(&self) -> Vec<MemberInfo>;

    /// Asks the leader for a read index. Calls that wait at the same time share one.
    async fn read_index(
        &self,
        leader: NodeId,
        deadline: tokio::time::Instant,
    ) -> Result<Index, tonic::Status>;
}

/// A member of the cluster and where it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberInfo {
    /// Its id.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// Where peers reach it.
    pub peer_url: String,
    /// Where clients reach it, once it was heard from.
    pub client_url: Option<String>,
}
