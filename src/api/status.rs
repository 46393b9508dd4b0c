//! The status of all nodes, asked from any of them; and the transfer of leadership.

use crate::api::call::Call;
use crate::api::context::Api;
use crate::api::fault::Fault;
use crate::api::members::named;
use crate::api::node_status::NodeStatus;
use crate::api::remote::{Later, NoAnswer};
use crate::member::Member;
use crate::types::NodeId;
use std::time::Duration;
use tokio::time::Instant;

/// A node that has not answered after this time is shown as such. Short, since the whole table waits for the
/// slowest node.
const PATIENCE: Duration = Duration::from_secs(1);

/// A row of the table of all nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// A node that answered.
    Answered(Member, Box<NodeStatus>),
    /// A node that did not answer, and why.
    Silent(Member, String),
}

impl Api {
    /// This node, as it sees itself.
    pub fn own_status(&self) -> NodeStatus {
        let (handle, view) = (&self.router.handle, self.router.handle.view());
        let status = handle.status();
        NodeStatus {
            node: self.node(),
            role: status.role,
            term: status.term,
            leader: status.leader,
            commit: status.commit,
            applied: view.applied().index,
            last: status.last.index,
            durable: status.durable,
            compacted: status.compacted,
            revision: view.revision(),
            compact_revision: view.compact_revision(),
            keys: view.keys(),
            disk_bytes: handle.disk_bytes(),
            uptime_seconds: self.started.elapsed().as_secs(),
            version: self.version.to_owned(),
            durability: self.durability.clone(),
            state_hash: view.state_hash(),
            not_ready: self.readiness().err(),
            followers: status.followers.clone(),
            longest_apply: handle.longest_apply(),
        }
    }

    pub fn own_row(&self) -> Row {
        let member = self.router.handle.status().members.get(self.node()).cloned();
        let member = member.unwrap_or_else(|| Member::named(self.node(), &self.name));
        Row::Answered(member, Box::new(self.own_status()))
    }

    /// Every member, in order of name; the others are asked at the same time.
    pub async fn all_statuses(&self) -> Vec<Row> {
        let deadline = Instant::now() + PATIENCE;
        // All are asked before any answer is awaited.
        let asked: Vec<_> = self
            .members()
            .into_iter()
            .map(|member| {
                let is_own = member.id == self.node();
                let answer = (!is_own).then(|| tokio::spawn(self.ask_status(member.id, deadline)));
                (member, answer)
            })
            .collect();
        let mut rows = Vec::with_capacity(asked.len());
        for (member, answer) in asked {
            rows.push(match answer {
                None => Row::Answered(member, Box::new(self.own_status())),
                Some(answer) => match answer.await {
                    Ok(Ok(status)) => Row::Answered(member, Box::new(status)),
                    Ok(Err(why)) => Row::Silent(member, why),
                    Err(_) => Row::Silent(member, "the question was not answered".into()),
                },
            });
        }
        rows
    }

    /// Hands leadership to the node with the name or id `to`, or to the most up-to-date voter if that is
    /// empty. Returns the new leader and its name.
    pub async fn transfer_leadership(&self, call: &Call, to: &str) -> Result<(NodeId, String), Fault> {
        let to = named(to, &self.members())?;
        let leader = self.router.transfer(call, to).await?;
        Ok((leader, self.router.name_of(leader)))
    }

    fn ask_status(&self, node: NodeId, deadline: Instant) -> Later<Result<NodeStatus, String>> {
        let answer = self.router.others.status(node, deadline);
        Box::pin(async move {
            match tokio::time::timeout_at(deadline, answer).await {
                Ok(Ok(status)) => Ok(status),
                Ok(Err(NoAnswer::Refused(fault))) => Err(fault.message().to_owned()),
                Ok(Err(NoAnswer::NotSent(why) | NoAnswer::Lost(why))) => Err(why),
                Ok(Err(NoAnswer::Overloaded)) => Err("too many requests are on their way to it".into()),
                Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
            }
        })
    }
}
