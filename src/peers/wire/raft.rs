//! The encoding of the cores' messages.

use crate::address::NodeUrl;
use crate::member::Member;
use crate::peers::wire::malformed::{Malformed, malformed};
use crate::proto::raft as pb;
use crate::raft::{
    Append, Entry, Heartbeat, MEMBERS_MAX, Members, Message, Payload, RequestVote, Round, SnapshotMeta, Vote,
};
use crate::types::{EntryId, Index, NodeId, Term};
use bytes::{Bytes, BytesMut};
use std::collections::BTreeSet;

/// The most entries in one message. The core batches by bytes; this bounds the
/// memory that a message of empty entries could take once it is decoded.
pub const ENTRIES_MAX: usize = 1 << 16;

/// Terms and indexes stay below this, so that incrementing can never overflow.
const NUMBER_MAX: u64 = i64::MAX as u64;

// To the wire.

/// An append or a heartbeat as a message of the stream; `None` for any other.
pub fn append_request(message: Message) -> Option<pb::AppendEntriesRequest> {
    use pb::append_entries_request::Message as Wire;
    let wire = match message {
        Message::Append(append) => Wire::Append(append_to_wire(append)),
        Message::Heartbeat(Heartbeat { term, commit, round }) => {
            Wire::Heartbeat(pb::Heartbeat { term: term.get(), commit_index: commit.get(), round: round.0 })
        }
        _ => return None,
    };
    Some(pb::AppendEntriesRequest { message: Some(wire) })
}

/// An answer to an append or a heartbeat as a message of the reply stream; `None` for any other.
pub fn append_response(message: Message) -> Option<pb::AppendEntriesResponse> {
    use pb::append_entries_response::Message as Wire;
    let wire = match message {
        Message::Accepted { term, matched } => {
            Wire::Accepted(pb::AppendAccepted { term: term.get(), match_index: matched.get() })
        }
        Message::Rejected { term, prev, hint } => Wire::Rejected(pb::AppendRejected {
            term: term.get(),
            prev_index: prev.get(),
            hint: Some(entry_id_to_wire(hint)),
        }),
        Message::HeartbeatAck { term, round, received, full } => {
            let ack = pb::HeartbeatAck { term: term.get(), round: round.0, received_index: received.0, full };
            Wire::Heartbeat(ack)
        }
        _ => return None,
    };
    Some(pb::AppendEntriesResponse { message: Some(wire) })
}

pub fn vote_request(request: RequestVote, sender: pb::Sender) -> pb::RequestVoteRequest {
    pb::RequestVoteRequest {
        sender: Some(sender),
        term: request.term.get(),
        last: Some(entry_id_to_wire(request.last)),
        pre_vote: request.pre,
        leadership_transfer: request.transfer,
    }
}

pub fn vote_response(vote: Vote) -> pb::RequestVoteResponse {
    pb::RequestVoteResponse { term: vote.term.get(), granted: vote.granted, pre_vote: vote.pre }
}

/// The opening of a snapshot stream.
pub fn snapshot_header(term: Term, meta: &SnapshotMeta, sender: pb::Sender) -> pb::SnapshotHeader {
    pb::SnapshotHeader {
        sender: Some(sender),
        term: term.get(),
        last: Some(entry_id_to_wire(meta.last)),
        members: Some(members_to_wire(&meta.members)),
    }
}

fn append_to_wire(append: Append) -> pb::Append {
    pb::Append {
        term: append.term.get(),
        prev: Some(entry_id_to_wire(append.prev)),
        entries: append.entries.into_iter().map(entry_to_wire).collect(),
        commit_index: append.commit.get(),
    }
}

fn entry_to_wire(entry: Entry) -> pb::Entry {
    use pb::entry::Payload as Wire;
    let payload = match entry.payload {
        Payload::Noop => Wire::Noop(pb::NoOp {}),
        Payload::Command(bytes) => Wire::Command(bytes),
        Payload::Members(members) => Wire::Members(members_to_wire(&members)),
    };
    pb::Entry { term: entry.id.term.get(), payload: Some(payload) }
}

pub fn entry_id_to_wire(id: EntryId) -> pb::EntryId {
    pb::EntryId { term: id.term.get(), index: id.index.get() }
}

fn members_to_wire(members: &Members) -> pb::Members {
    let numbers = |nodes: &BTreeSet<NodeId>| nodes.iter().map(|node| node.get()).collect();
    pb::Members {
        voters: numbers(members.voters()),
        outgoing_voters: numbers(members.outgoing()),
        nodes: members.iter().cloned().map(member_to_wire).collect(),
    }
}

pub fn member_to_wire(member: Member) -> pb::Member {
    let Member { id, name, peer_urls, client_urls, learner } = member;
    pb::Member { id: id.get(), name, peer_urls, client_urls, learner }
}

// From the wire.

/// A message of an append stream after its `hello`.
pub fn checked_append_request(request: pb::AppendEntriesRequest) -> Result<Message, Malformed> {
    use pb::append_entries_request::Message as Wire;
    match request.message {
        Some(Wire::Append(append)) => checked_append(append).map(Message::Append),
        Some(Wire::Heartbeat(heartbeat)) => Ok(Message::Heartbeat(Heartbeat {
            term: leader_term(heartbeat.term)?,
            commit: index(heartbeat.commit_index)?,
            round: Round(heartbeat.round),
        })),
        Some(Wire::Hello(_)) => malformed("a second hello in an append stream"),
        None => malformed("an append stream's message is empty or of an unknown kind"),
    }
}

/// A message of the reply stream after its `hello`.
pub fn checked_append_response(response: pb::AppendEntriesResponse) -> Result<Message, Malformed> {
    use pb::append_entries_response::Message as Wire;
    match response.message {
        Some(Wire::Accepted(accepted)) => {
            Ok(Message::Accepted { term: leader_term(accepted.term)?, matched: index(accepted.match_index)? })
        }
        Some(Wire::Rejected(rejected)) => Ok(Message::Rejected {
            term: leader_term(rejected.term)?,
            prev: index(rejected.prev_index)?,
            hint: entry_id(rejected.hint, "the hint of a rejection")?,
        }),
        Some(Wire::Heartbeat(ack)) => Ok(Message::HeartbeatAck {
            term: leader_term(ack.term)?,
            round: Round(ack.round),
            received: index(ack.received_index)?,
            full: ack.full,
        }),
        Some(Wire::Hello(_)) => malformed("a second hello in an append stream's answers"),
        None => malformed("an append stream's answer is empty or of an unknown kind"),
    }
}

/// A candidate's request. Its sender is checked separately.
pub fn checked_vote_request(request: &pb::RequestVoteRequest) -> Result<RequestVote, Malformed> {
    let term = leader_term(request.term)?;
    let last = entry_id(request.last, "the end of a candidate's log")?;
    if last.term >= term {
        // A candidate stands in a term above all that it has seen (Raft §5.2).
        return malformed(format!("a candidate of term {term} whose log ends in term {}", last.term));
    }
    Ok(RequestVote { term, last, pre: request.pre_vote, transfer: request.leadership_transfer })
}

/// A voter's answer to the question `asked`.
pub fn checked_vote_response(
    response: pb::RequestVoteResponse,
    asked: &RequestVote,
) -> Result<Vote, Malformed> {
    if response.pre_vote != asked.pre {
        return malformed("a vote answers a pre-vote, or the reverse");
    }
    // A voter that never saw an election refuses in term 0.
    let term = term(response.term)?;
    if response.granted && term != asked.term {
        return malformed(format!("a vote for term {term} answers a question about term {}", asked.term));
    }
    Ok(Vote { term, granted: response.granted, pre: response.pre_vote })
}

/// The header of a snapshot stream. Its sender is checked separately.
pub fn checked_snapshot_header(header: pb::SnapshotHeader) -> Result<(Term, SnapshotMeta), Malformed> {
    let term = leader_term(header.term)?;
    let last = entry_id(header.last, "the last entry of a snapshot")?;
    if last == EntryId::ZERO || last.term > term {
        return malformed(format!("a snapshot up to {last} from a leader of term {term}"));
    }
    let Some(members) = header.members else {
        return malformed("a snapshot without members");
    };
    Ok((term, SnapshotMeta { last, members: checked_members(members)? }))
}

/// The term of a `TimeoutNow`.
pub fn checked_timeout_now(request: &pb::TimeoutNowRequest) -> Result<Term, Malformed> {
    leader_term(request.term)
}

pub fn checked_index(number: u64) -> Result<Index, Malformed> {
    index(number)
}

pub fn checked_term(number: u64) -> Result<Term, Malformed> {
    term(number)
}

pub fn checked_entry_id(wire: Option<pb::EntryId>, what: &str) -> Result<EntryId, Malformed> {
    entry_id(wire, what)
}

fn checked_append(mut append: pb::Append) -> Result<Append, Malformed> {
    let term = leader_term(append.term)?;
    let prev = entry_id(append.prev, "the entry before an append")?;
    if prev.term > term {
        return malformed(format!("an append of term {term} behind {prev}"));
    }
    if append.entries.len() > ENTRIES_MAX {
        return malformed(format!("{} entries in one message, limit {ENTRIES_MAX}", append.entries.len()));
    }
    index(prev.index.get() + append.entries.len() as u64)?;
    own_commands(&mut append.entries);
    let mut before = prev;
    let mut entries = Vec::with_capacity(append.entries.len());
    for wire in append.entries {
        let entry = checked_entry(wire, before, term)?;
        before = entry.id;
        entries.push(entry);
    }
    Ok(Append { term, prev, entries, commit: index(append.commit_index)? })
}

/// Copies all commands into one piece of memory of their size. They stay in the log's tail for long; as slices of
/// what was received they would pin its buffers, which may be far larger.
fn own_commands(entries: &mut [pb::Entry]) {
    let size = entries.iter_mut().filter_map(command).map(|command| command.len()).sum();
    let mut all = BytesMut::with_capacity(size);
    entries.iter_mut().filter_map(command).for_each(|command| all.extend_from_slice(command));
    let mut all = all.freeze();
    entries.iter_mut().filter_map(command).for_each(|command| *command = all.split_to(command.len()));
}

fn command(entry: &mut pb::Entry) -> Option<&mut Bytes> {
    match &mut entry.payload {
        Some(pb::entry::Payload::Command(bytes)) => Some(bytes),
        _ => None,
    }
}

/// An entry that follows `before` in the log of a leader of `leader_term`.
fn checked_entry(wire: pb::Entry, before: EntryId, leader_term: Term) -> Result<Entry, Malformed> {
    use pb::entry::Payload as Wire;
    let id = EntryId { term: Term(wire.term), index: before.index.next() };
    if id.term == Term(0) || id.term < before.term || id.term > leader_term {
        // Terms never fall along a log, and none is above its leader's (Raft §5.3).
        return malformed(format!("entry {id} behind {before} from a leader of term {leader_term}"));
    }
    let payload = match wire.payload {
        Some(Wire::Noop(pb::NoOp {})) => Payload::Noop,
        Some(Wire::Command(bytes)) => Payload::Command(bytes),
        Some(Wire::Members(members)) => Payload::Members(checked_members(members)?),
        None => return malformed(format!("entry {id} is empty or of an unknown kind")),
    };
    Ok(Entry { id, payload })
}

fn checked_members(wire: pb::Members) -> Result<Members, Malformed> {
    let voters = nodes(wire.voters, "voters")?;
    if voters.is_empty() {
        return malformed("members without a voter");
    }
    let outgoing = nodes(wire.outgoing_voters, "outgoing voters")?;
    let nodes = wire.nodes.into_iter().map(member_of_wire);
    Members::new(voters, outgoing, nodes).or_else(|invalid| malformed(invalid.to_string()))
}

/// Refuses what [`Member::check`] refuses.
pub fn checked_member(wire: pb::Member) -> Result<Member, Malformed> {
    let member = member_of_wire(wire);
    match member.check() {
        Ok(()) => Ok(member),
        Err(invalid) => malformed(invalid.to_string()),
    }
}

/// Where a peer finds other members. What cannot be used is left out: it is only a hint.
pub fn checked_whereabouts(wire: Vec<pb::Member>) -> Vec<Member> {
    let members = wire.into_iter().take(MEMBERS_MAX).filter_map(|member| checked_member(member).ok());
    members.filter(|member| member.peer_urls.iter().all(|url| NodeUrl::parse(url).is_ok())).collect()
}

fn member_of_wire(wire: pb::Member) -> Member {
    let pb::Member { id, name, peer_urls, client_urls, learner } = wire;
    Member { id: NodeId(id), name, peer_urls, client_urls, learner }
}

fn nodes(numbers: Vec<u64>, what: &str) -> Result<BTreeSet<NodeId>, Malformed> {
    if numbers.len() > MEMBERS_MAX {
        return malformed(format!("{} {what}, limit {MEMBERS_MAX}", numbers.len()));
    }
    let count = numbers.len();
    let nodes: BTreeSet<NodeId> = numbers.into_iter().map(NodeId).collect();
    if nodes.len() != count {
        return malformed(format!("{what} with a node twice"));
    }
    Ok(nodes)
}

fn entry_id(wire: Option<pb::EntryId>, what: &str) -> Result<EntryId, Malformed> {
    let Some(wire) = wire else {
        return malformed(format!("{what} is missing"));
    };
    let id = EntryId { term: term(wire.term)?, index: index(wire.index)? };
    if (id.term == Term(0)) != (id.index == Index(0)) {
        return malformed(format!("{what} is {id}: only the place before the first entry has term 0"));
    }
    Ok(id)
}

/// A term with a leader or candidate: not 0.
fn leader_term(number: u64) -> Result<Term, Malformed> {
    match term(number)? {
        Term(0) => malformed("term 0 is before the first election"),
        term => Ok(term),
    }
}

fn term(number: u64) -> Result<Term, Malformed> {
    if number > NUMBER_MAX { malformed(format!("term {number} is out of range")) } else { Ok(Term(number)) }
}

fn index(number: u64) -> Result<Index, Malformed> {
    if number > NUMBER_MAX { malformed(format!("index {number} is out of range")) } else { Ok(Index(number)) }
}
