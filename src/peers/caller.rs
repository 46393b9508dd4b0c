//! The connection by which a call came.

use crate::connections::guarded::ConnectInfo;
use crate::connections::places::Standing;
use crate::peers::identity::Acquaintance;
use crate::peers::links::Links;
use crate::peers::refusal::PeerRefusal;
use crate::proto::raft as pb;
use std::sync::Arc;
use tonic::Request;

/// Who calls, as far as the connection knows. Until a member has introduced itself, little is read from it, and
/// it may be closed for another.
pub struct Caller {
    /// None where a test serves on a socket of its own.
    standing: Option<Arc<Standing>>,
}

impl Caller {
    /// The sender of this request.
    pub fn of<T>(request: &Request<T>) -> Self {
        let info = request.extensions().get::<ConnectInfo>();
        Self { standing: info.map(|info| Arc::clone(&info.standing)) }
    }

    /// Checks who it says that it is. From then on its connection is a member's.
    pub async fn admit(
        &self,
        links: &Links,
        sender: Option<pb::Sender>,
    ) -> Result<Acquaintance, PeerRefusal> {
        let peer = links.admission().admit(sender).await?;
        if let Some(standing) = &self.standing {
            standing.introduce();
        }
        Ok(peer)
    }
}
