//! From a read level to the view that satisfies it.

use crate::api::call::Call;
use crate::api::clock::{Clock, until};
use crate::api::fault::Fault;
use crate::api::read_level::ReadLevel;
use crate::api::router::Router;
use crate::machine::View;
use crate::types::{Index, NodeId};
use std::sync::Arc;

impl<C: Clock> Router<C> {
    /// A view that is fresh enough.
    pub async fn view(&self, call: &Call, level: ReadLevel) -> Result<Arc<View>, Fault> {
        match level {
            ReadLevel::Local => Ok(self.handle.view()),
            ReadLevel::Linearizable => self.linearizable_view(call).await.map(|(view, ..)| view),
            ReadLevel::AtLeast(revision) => {
                let view = until(&self.clock, call.deadline.at(), self.handle.wait_revision(revision)).await;
                let doing = "waiting for the revision that the read asks for";
                let late = || self.behind(doing).fact("requested_revision", revision);
                Ok(view.ok_or_else(late)??)
            }
        }
    }

    /// A view that includes everything acknowledged before the call, with the leader's index that says so.
    pub async fn linearizable_view(&self, call: &Call) -> Result<(Arc<View>, NodeId, Index), Fault> {
        let (leader, index) = self.read_index(call).await?;
        Ok((self.applied(call, index).await?, leader, index))
    }

    /// A view that includes an index.
    async fn applied(&self, call: &Call, index: Index) -> Result<Arc<View>, Fault> {
        let view = until(&self.clock, call.deadline.at(), self.handle.wait_applied(index)).await;
        Ok(view.ok_or_else(|| self.behind("waiting for this node's state to catch up"))??)
    }

    fn behind(&self, doing: &str) -> Fault {
        Fault::deadline(doing).fact("current_revision", self.handle.view().revision())
    }
}
