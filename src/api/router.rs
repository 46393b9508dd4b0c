//! Answers questions for the leader, on any node.
//!
//! The leader answers from its own replica; any other node asks the leader. One hop: a forwarded question is
//! answered here or refused. What was certainly refused is tried again for a while ([`Patience`]); a change
//! that may have been made never is.
//!
//! Generic only over the clock, so that the simulator can drive this code.

use crate::api::call::Call;
use crate::api::clock::{Clock, SystemClock, until};
use crate::api::fault::{Fault, LeaderHint};
use crate::api::patience::Patience;
use crate::api::remote::{Answer, NoAnswer, OtherNodes, Question};
use crate::member::Member;
use crate::raft::RoleName;
use crate::reason::{Outcome, Reason};
use crate::replica::{Applied, Handle, ReadError};
use crate::settings::Timing;
use crate::types::{Index, NodeId};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone)]
pub struct Router<C = SystemClock> {
    pub handle: Handle,
    pub others: Arc<dyn OtherNodes>,
    pub own: NodeId,
    /// How fast the cluster reacts: decides how long to wait for a leader.
    pub timing: Timing,
    pub clock: C,
}

/// The leader's answer, and which node it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FromLeader {
    pub leader: NodeId,
    pub answer: Answer,
}

impl<C: Clock> Router<C> {
    /// Has the leader replicate a command, and waits until it is applied there.
    pub async fn propose(&self, call: &Call, command: Bytes) -> Result<(NodeId, Applied), Fault> {
        match self.ask_leader(call, Question::Propose(command)).await? {
            FromLeader { leader, answer: Answer::Applied(applied) } => Ok((leader, applied)),
            _ => Err(mismatched().unknown()),
        }
    }

    /// The index that a state must include to be fresh enough, and the node that gave it.
    pub async fn read_index(&self, call: &Call) -> Result<(NodeId, Index), Fault> {
        match self.ask_leader(call, Question::ReadIndex).await? {
            FromLeader { leader, answer: Answer::ReadIndex(index) } => Ok((leader, index)),
            _ => Err(mismatched()),
        }
    }

    /// Has the leader hand over leadership; returns the new leader.
    pub async fn transfer(&self, call: &Call, to: Option<NodeId>) -> Result<NodeId, Fault> {
        match self.ask_leader(call, Question::Transfer(to)).await?.answer {
            Answer::Leads(leader) => Ok(leader),
            _ => Err(mismatched().unknown()),
        }
    }

    /// Has the leader answer a question.
    pub async fn ask_leader(&self, call: &Call, question: Question) -> Result<FromLeader, Fault> {
        let patience = Patience::of(call, &self.handle, &self.clock, &self.timing);
        loop {
            let leader = patience.leader().await.map_err(|fault| with_outcome(fault, &question))?;
            let answer = if leader == self.own {
                self.answer(call, &question).await
            } else if call.forwarded {
                return Err(self.not_the_leader(leader));
            } else {
                self.ask(call, leader, &question).await
            };
            let fault = match answer {
                Ok(answer) => return Ok(FromLeader { leader, answer }),
                Err(fault) => fault,
            };
            if !may_be_tried_again(&question, &fault) || !patience.pause(leader).await {
                return Err(fault);
            }
        }
    }

    /// Where clients can reach a node, for faults that send them there.
    pub fn hint(&self, node: NodeId) -> LeaderHint {
        let status = self.handle.status();
        let member = status.members.get(node);
        LeaderHint {
            id: node.get(),
            name: member.map(|member| member.name.clone()),
            url: member.and_then(Member::client_url).map(str::to_owned),
        }
    }

    // On this node.

    async fn answer(&self, call: &Call, question: &Question) -> Result<Answer, Fault> {
        let answer = match question {
            Question::Propose(command) => self.propose_here(call, command.clone()).await.map(Answer::Applied),
            Question::ReadIndex => self.confirm_here(call).await.map(Answer::ReadIndex),
            Question::Transfer(to) => self.hand_over_here(call, *to).await.map(Answer::Leads),
            Question::Advertise(member) => self.advertise_here(call, member).await,
        };
        answer.map_err(|fault| self.with_leader(fault))
    }

    async fn propose_here(&self, call: &Call, command: Bytes) -> Result<Applied, Fault> {
        // The write goes on when this wait ends, so its outcome is then unknown.
        let write = self.handle.write(command, call.deadline.at());
        match until(&self.clock, call.deadline.loosely(), write).await {
            Some(outcome) => Ok(outcome?),
            None => Err(Fault::deadline("the write waited to be replicated and applied").unknown()),
        }
    }

    async fn confirm_here(&self, call: &Call) -> Result<Index, Fault> {
        match until(&self.clock, call.deadline.at(), self.handle.read_index()).await {
            Some(Ok(index)) => Ok(index),
            Some(Err(ReadError::NotLeader { .. })) => {
                Err(Fault::new(Reason::NoLeader, "leadership was lost before the read was confirmed"))
            }
            Some(Err(error)) => Err(error.into()),
            None => Err(late(&Question::ReadIndex)),
        }
    }

    async fn hand_over_here(&self, call: &Call, to: Option<NodeId>) -> Result<NodeId, Fault> {
        if to == Some(self.own) && self.handle.status().role == RoleName::Leader {
            return Ok(self.own); // It leads already, as asked.
        }
        let transfer = self.handle.transfer_leadership(to);
        match until(&self.clock, call.deadline.loosely(), transfer).await {
            Some(outcome) => outcome.map_err(|error| self.with_leader_of_now(error.into())),
            None => {
                Err(Fault::deadline("leadership was handed over; `kontiki status` shows who leads").unknown())
            }
        }
    }

    async fn advertise_here(&self, call: &Call, member: &Member) -> Result<Answer, Fault> {
        let advertise = self.handle.advertise(member.clone());
        match until(&self.clock, call.deadline.at(), advertise).await {
            Some(outcome) => Ok(outcome.map(|()| Answer::Advertised)?),
            None => Err(late(&Question::Advertise(member.clone()))),
        }
    }

    /// Adds to the refusal of a transfer who leads now.
    fn with_leader_of_now(&self, fault: Fault) -> Fault {
        match self.handle.status().leader {
            Some(leader) => fault.leader(self.hint(leader)),
            None => fault,
        }
    }

    /// Adds to a temporary refusal where the leader is by now, and when to try again.
    fn with_leader(&self, fault: Fault) -> Fault {
        if !fault.reason().is_passing() || fault.outcome() == Some(Outcome::Unknown) {
            return fault;
        }
        match self.handle.status().leader {
            Some(leader) => fault.leader(self.hint(leader)).retry_after(self.timing.heartbeat),
            None => fault.retry_after(self.timing.election_max),
        }
    }

    fn not_the_leader(&self, leader: NodeId) -> Fault {
        let message = "this node does not lead, and a request is forwarded only once; ask the leader";
        Fault::new(Reason::NotLeader, message)
            .not_applied()
            .leader(self.hint(leader))
            .retry_after(Duration::ZERO)
    }

    // On another node.

    async fn ask(&self, call: &Call, leader: NodeId, question: &Question) -> Result<Answer, Fault> {
        let answer = self.others.ask(leader, question.clone(), call.deadline.at());
        match until(&self.clock, call.deadline.loosely(), answer).await {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(no_answer)) => Err(self.explained(call, leader, question, no_answer)),
            None => Err(late(question)),
        }
    }

    /// The leader's own faults pass unchanged. A fault of the connection gets an outcome: not applied only if
    /// the question was never sent.
    fn explained(&self, call: &Call, leader: NodeId, question: &Question, no_answer: NoAnswer) -> Fault {
        let hint = self.hint(leader);
        let name = hint.name.clone().unwrap_or_else(|| format!("node {leader}"));
        let without =
            if *question == Question::ReadIndex { "; READ_LEVEL_LOCAL reads without it" } else { "" };
        match no_answer {
            NoAnswer::Refused(fault) => fault,
            NoAnswer::Overloaded => {
                with_outcome(Fault::overloaded("too many requests are on their way to the leader"), question)
            }
            NoAnswer::NotSent(why) => {
                let message = format!("the leader, {name}, cannot be reached: {why}{without}");
                let fault = Fault::new(Reason::LeaderUnreachable, message).leader(hint);
                with_outcome(fault.retry_after(self.timing.election_max), question)
            }
            NoAnswer::Lost(_) if call.deadline.at() <= self.clock.now() => late(question),
            NoAnswer::Lost(why) => {
                let message = format!(
                    "the connection to the leader, {name}, broke while it had the request: {why}{without}"
                );
                let fault = Fault::new(Reason::LeaderUnreachable, message).leader(hint);
                if question.changes_something() { fault.unknown() } else { fault }
            }
        }
    }
}

/// Only if the reason is temporary; a change only if it was certainly not made.
fn may_be_tried_again(question: &Question, fault: &Fault) -> bool {
    let harmless = !question.changes_something() || fault.outcome() == Some(Outcome::NotApplied);
    harmless && fault.reason().is_passing()
}

/// Marks the fault as not applied, if there was something to apply.
fn with_outcome(fault: Fault, question: &Question) -> Fault {
    if question.changes_something() { fault.not_applied() } else { fault }
}

/// The deadline passed while the leader had the question.
fn late(question: &Question) -> Fault {
    match question {
        Question::ReadIndex => {
            Fault::deadline("a majority was asked to confirm the leader; READ_LEVEL_LOCAL reads without")
        }
        Question::Advertise(_) => Fault::deadline("the leader was asked to do it"),
        _ => Fault::deadline("the leader was asked to do it").unknown(),
    }
}

pub(in crate::api) fn mismatched() -> Fault {
    Fault::new(
        Reason::Internal,
        "the leader answered another question; do the members run different versions?",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_certain_and_passing_refusals_are_tried_again() {
        let write = Question::Propose(Bytes::new());
        let again = |fault: Fault| may_be_tried_again(&write, &fault);
        assert!(again(Fault::new(Reason::NotLeader, "").not_applied()));
        assert!(again(Fault::new(Reason::Superseded, "").not_applied()));
        assert!(!again(Fault::new(Reason::LeaderUnreachable, "").unknown()));
        assert!(!again(Fault::new(Reason::LeadershipLost, "").unknown()));
        assert!(!again(Fault::new(Reason::Overloaded, "").not_applied()));
        assert!(!again(Fault::new(Reason::NotLeader, "")), "without a word on it, it may have been applied");
    }

    #[test]
    fn a_read_may_be_asked_for_again() {
        let again = |fault: Fault| may_be_tried_again(&Question::ReadIndex, &fault);
        assert!(again(Fault::new(Reason::LeaderUnreachable, "")));
        assert!(again(Fault::new(Reason::NotLeader, "").not_applied()));
        assert!(!again(Fault::new(Reason::Overloaded, "")));
    }
}
