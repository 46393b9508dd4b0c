//! What this node answers other nodes' questions, if it leads.

use crate::api::call::Call;
use crate::api::context::Api;
use crate::api::deadline::Deadline;
use crate::api::fault::Fault;
use crate::api::node_status::NodeStatus;
use crate::api::remote::{Answer, Later, Question, Responder};
use std::sync::Arc;
use std::time::Duration;

impl Responder for Api {
    fn answer(self: Arc<Self>, question: Question, time: Duration) -> Later<Result<Answer, Fault>> {
        let call = Call::forwarded(Deadline::after(time));
        Box::pin(async move { Ok(self.router.ask_leader(&call, question).await?.answer) })
    }

    fn status(&self) -> NodeStatus {
        self.own_status()
    }
}
