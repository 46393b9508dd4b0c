//! From a read level to the view that satisfies it.

use crate::api::call::Call;
use crate::api::clock::{Clock, until};
use crate::api::fault::Fault;
use crate::api::read_level::ReadLevel;
use crate::api::router::Router;
use crate::machine::View;
use crate::types::Index;
use std::sync::Arc;

impl<C: Clock> Router<C> {
    /// A view that is fresh enough.
    pub async fn view(&self, call: &Call, level: ReadLevel) -> Result<Arc<View>, Fault> {
        match level {
            ReadLevel::Local => Ok(self.handle.view()),
            ReadLevel::Linearizable => {
                let (_, index) = self.read_index(call).await?;
                self.applied(call, index).await
            }
            ReadLevel::AtLeast(revision) => {
                let view = until(&self.clock, call.deadline.at(), self.handle.wait_revision(revision)).await;
                let doing = "waiting for the revision that the read asks for";
                let late = || self.behind(doing).fact("requested_revision", revision);
                Ok(view.ok_or_else(late)??)
            }
        }
    }

    /// A view that includes an index.
    pub async fn applied(&self, call: &Call, index: Index) -> Result<Arc<View>, Fault> {
        let view = until(&self.clock, call.deadline.at(), self.handle.wait_applied(index)).await;
        Ok(view.ok_or_else(|| self.behind("waiting for this node's state to catch up"))??)
    }

    fn behind(&self, doing: &str) -> Fault {
        Fault::deadline(doing).fact("current_revision", self.handle.view().revision())
    }
}
