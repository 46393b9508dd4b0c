//! The encoding of questions and answers.

use crate::address::NodeUrl;
use crate::api::fault::Fault;
use crate::api::node_status::NodeStatus;
use crate::api::remote::{Answer, Question};
use crate::machine::{Command, Reply};
use crate::member::Member;
use crate::peers::wire::fault::{fault, micros, read_fault};
use crate::peers::wire::malformed::{Malformed, malformed};
use crate::peers::wire::raft::{
    checked_entry_id, checked_index, checked_member, entry_id_to_wire, member_to_wire,
};
use crate::peers::wire::status::{checked_status, status};
use crate::proto::raft as pb;
use crate::replica::Applied;
use crate::types::{EntryId, NodeId};
use bytes::Bytes;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerQuestion {
    /// Something that only the leader can answer.
    Leader(Question),
    Status,
}

impl PeerQuestion {
    /// Whether it is no command of a client's: such questions are few and answered soon.
    pub fn is_quick(&self) -> bool {
        !matches!(self, Self::Leader(Question::Propose(_)))
    }

    /// How many bytes it holds for the log.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Leader(Question::Propose(command)) => command.len(),
            Self::Leader(Question::Advertise(member)) => member.size(),
            _ => 0,
        }
    }

    /// Whether it changes something, so that its outcome matters.
    pub fn changes_something(&self) -> bool {
        matches!(self, Self::Leader(question) if question.changes_something())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerAnswer {
    Leader(Answer),
    Status(Box<NodeStatus>),
}

/// Encodes a question with its number and the time left for it.
pub fn question(id: u64, left: Duration, asked: PeerQuestion) -> pb::ForwardRequest {
    use pb::question::Body;
    let body = match asked {
        PeerQuestion::Leader(Question::Propose(command)) => Body::Propose(command),
        PeerQuestion::Leader(Question::ReadIndex) => Body::ReadIndex(pb::ReadIndexQuestion {}),
        PeerQuestion::Leader(Question::Transfer(to)) => {
            Body::Transfer(pb::TransferQuestion { to: to.map_or(0, NodeId::get) })
        }
        PeerQuestion::Leader(Question::Advertise(member)) => Body::Advertise(member_to_wire(member)),
        PeerQuestion::Status => Body::Status(pb::StatusQuestion {}),
    };
    let question = pb::Question { id, timeout_micros: micros(left), body: Some(body) };
    pb::ForwardRequest { message: Some(pb::forward_request::Message::Question(question)) }
}

/// Decodes what a question asks. A command must be valid: what cannot be decoded must never get into the log.
pub fn checked_question(body: Option<pb::question::Body>) -> Result<PeerQuestion, Malformed> {
    use pb::question::Body;
    Ok(match body {
        Some(Body::Propose(command)) => match Command::decode(&command) {
            // Only a leader raises the version, of its own accord. One that no program knows would end every node.
            Ok(Command::Raise(_)) => {
                return malformed("a version is to be raised by another node than the leader");
            }
            // A copy, so that in the log it does not pin the buffer in which it came.
            Ok(_) => PeerQuestion::Leader(Question::Propose(Bytes::copy_from_slice(&command))),
            Err(error) => return malformed(format!("what is to be proposed is not a command: {error}")),
        },
        Some(Body::ReadIndex(pb::ReadIndexQuestion {})) => PeerQuestion::Leader(Question::ReadIndex),
        Some(Body::Transfer(pb::TransferQuestion { to })) => {
            PeerQuestion::Leader(Question::Transfer((to != 0).then_some(NodeId(to))))
        }
        Some(Body::Advertise(member)) => {
            PeerQuestion::Leader(Question::Advertise(checked_advertised(member)?))
        }
        Some(Body::Status(pb::StatusQuestion {})) => PeerQuestion::Status,
        None => return malformed("a question is empty or of an unknown kind"),
    })
}

/// A member with its URLs. What is not a URL must never get into the log: others would dial it.
fn checked_advertised(wire: pb::Member) -> Result<Member, Malformed> {
    let member = checked_member(wire)?;
    for url in member.peer_urls.iter().chain(&member.client_urls) {
        NodeUrl::parse(url).or_else(malformed)?;
    }
    Ok(member)
}

/// Encodes an answer with its question's number.
pub fn answer(id: u64, answer: Result<PeerAnswer, Fault>) -> pb::ForwardResponse {
    use pb::answer::Body;
    let body = match answer {
        Ok(PeerAnswer::Leader(Answer::Applied(Applied { id, reply }))) => {
            Body::Applied(pb::Applied { entry: Some(entry_id_to_wire(id)), reply: reply.encode() })
        }
        Ok(PeerAnswer::Leader(Answer::ReadIndex(index))) => Body::ReadIndex(index.get()),
        Ok(PeerAnswer::Leader(Answer::Leads(leader))) => Body::Leads(leader.get()),
        Ok(PeerAnswer::Leader(Answer::Advertised)) => Body::Advertised(pb::Advertised {}),
        Ok(PeerAnswer::Status(answer)) => Body::Status(status(*answer)),
        Err(why) => Body::Fault(fault(why)),
    };
    let answer = pb::Answer { id, body: Some(body) };
    pb::ForwardResponse { message: Some(pb::forward_response::Message::Answer(answer)) }
}

pub fn checked_answer(wire: pb::Answer) -> Result<(u64, Result<PeerAnswer, Fault>), Malformed> {
    use pb::answer::Body;
    let answer = match wire.body {
        Some(Body::Applied(applied)) => Ok(PeerAnswer::Leader(Answer::Applied(checked_applied(applied)?))),
        Some(Body::ReadIndex(index)) => Ok(PeerAnswer::Leader(Answer::ReadIndex(checked_index(index)?))),
        Some(Body::Leads(0)) => return malformed("node 0 leads"),
        Some(Body::Leads(leader)) => Ok(PeerAnswer::Leader(Answer::Leads(NodeId(leader)))),
        Some(Body::Advertised(pb::Advertised {})) => Ok(PeerAnswer::Leader(Answer::Advertised)),
        Some(Body::Status(status)) => Ok(PeerAnswer::Status(Box::new(checked_status(status)?))),
        Some(Body::Fault(fault)) => Err(read_fault(fault)),
        None => return malformed("an answer is empty or of an unknown kind"),
    };
    Ok((wire.id, answer))
}

fn checked_applied(wire: pb::Applied) -> Result<Applied, Malformed> {
    let id = checked_entry_id(wire.entry, "the entry of a command")?;
    if id == EntryId::ZERO {
        return malformed("a command was applied before the first entry");
    }
    match Reply::decode(&wire.reply) {
        Ok(reply) => Ok(Applied { id, reply }),
        Err(error) => malformed(format!("the reply to a command cannot be read: {error}")),
    }
}
