//! How nodes, messages and entries are printed in scripts.

use kontiki::raft::{
    Append, Entry, Heartbeat, LogSlice, Members, Message, Node, Payload, Persist, RequestVote, RoleName, Vote,
};
use kontiki::types::NodeId;

pub fn node(id: NodeId) -> String {
    format!("n{id}")
}

fn nodes(ids: impl IntoIterator<Item = NodeId>) -> String {
    ids.into_iter().map(node).collect::<Vec<_>>().join(",")
}

pub fn members(members: &Members) -> String {
    let mut text = nodes(members.voters().iter().copied());
    if !members.outgoing().is_empty() {
        text += &format!(" leaving {}", nodes(members.outgoing().iter().copied()));
    }
    if members.learners().next().is_some() {
        text += &format!(" learners {}", nodes(members.learners()));
    }
    text
}

pub fn entry(entry: &Entry) -> String {
    let payload = match &entry.payload {
        Payload::Noop => "-".to_owned(),
        Payload::Command(bytes) if bytes.len() > 20 => format!("({} bytes)", bytes.len()),
        Payload::Command(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Payload::Members(of) => format!("members {}", members(of)),
    };
    format!("{} {payload}", entry.id)
}

pub fn entries(entries: &[Entry]) -> String {
    // Long lists by their ends.
    match entries {
        [first, .., last] if entries.len() > 6 => {
            format!("[{} … {}: {} entries]", entry(first), entry(last), entries.len())
        }
        _ => format!("[{}]", entries.iter().map(entry).collect::<Vec<_>>().join(", ")),
    }
}

pub fn message(message: &Message) -> String {
    match message {
        Message::RequestVote(RequestVote { term, last, pre, transfer }) => {
            let kind = if *pre { "RequestPreVote" } else { "RequestVote" };
            let why = if *transfer { ", asked by the leader" } else { "" };
            format!("{kind} t{term} with {last}{why}")
        }
        Message::Vote(Vote { term, granted, pre }) => {
            let kind = if *pre { "PreVote" } else { "Vote" };
            format!("{kind} t{term} {}", if *granted { "yes" } else { "no" })
        }
        Message::Append(Append { term, prev, entries: new, commit }) => {
            format!("Append t{term} behind {prev} {} commit {commit}", entries(new))
        }
        Message::Accepted { term, matched } => format!("Accepted t{term} up to {matched}"),
        Message::Rejected { term, prev, hint } => format!("Rejected t{term} behind {prev}, try {hint}"),
        Message::Heartbeat(Heartbeat { term, commit, round }) => {
            format!("Heartbeat t{term} commit {commit} round {}", round.0)
        }
        Message::HeartbeatAck { term, round, received, full } => {
            let room = if *full { ", full" } else { "" };
            format!("HeartbeatAck t{term} round {} has {received}{room}", round.0)
        }
        Message::InstallSnapshot { term, meta } => {
            format!("InstallSnapshot t{term} of {} ({})", meta.last, members(&meta.members))
        }
        Message::TimeoutNow { term } => format!("TimeoutNow t{term}"),
    }
}

/// The message's kind, as scripts select it.
pub fn kind(message: &Message) -> &'static str {
    match message {
        Message::RequestVote(request) if request.pre => "RequestPreVote",
        Message::RequestVote(_) => "RequestVote",
        Message::Vote(vote) if vote.pre => "PreVote",
        Message::Vote(_) => "Vote",
        Message::Append(_) => "Append",
        Message::Accepted { .. } => "Accepted",
        Message::Rejected { .. } => "Rejected",
        Message::Heartbeat(_) => "Heartbeat",
        Message::HeartbeatAck { .. } => "HeartbeatAck",
        Message::InstallSnapshot { .. } => "InstallSnapshot",
        Message::TimeoutNow { .. } => "TimeoutNow",
    }
}

pub fn persist(persist: &Persist) -> String {
    let mut parts = Vec::new();
    if let Some(hard_state) = persist.hard_state {
        let vote = hard_state.vote.map_or(String::new(), |id| format!(" vote {}", node(id)));
        parts.push(format!("t{}{vote}", hard_state.term));
    }
    if let Some(base) = persist.reset {
        parts.push(format!("empty log behind {base}"));
    }
    if !persist.entries.is_empty() {
        parts.push(entries(&persist.entries));
    }
    parts.join(", ")
}

/// What was read back of the log.
pub fn slice(slice: Option<&LogSlice>) -> String {
    slice.map_or("nothing".to_owned(), |LogSlice { prev, entries: read }| {
        format!("behind {prev} {}", entries(read))
    })
}

/// Role, term and leader: what a change is reported of.
pub fn role(of: &Node) -> String {
    let term = of.hard_state().term;
    match (of.role(), of.leader()) {
        (RoleName::Leader, _) => format!("leads t{term}"),
        (RoleName::PreCandidate, _) => format!("asks whether it could win, in t{term}"),
        (RoleName::Candidate, _) => format!("stands for t{term}"),
        (RoleName::Learner, Some(leader)) => format!("learns from {} in t{term}", node(leader)),
        (_, Some(leader)) => format!("follows {} in t{term}", node(leader)),
        (_, None) => format!("follows nobody in t{term}"),
    }
}

/// One line with everything of a node.
pub fn status(of: &Node) -> String {
    let mut line = format!(
        "{} {}, log {} to {}, durable {}, commit {}, applied {}",
        node(of.id()),
        role(of),
        of.base(),
        of.last(),
        of.durable(),
        of.commit(),
        of.handed_out()
    );
    for follower in of.followers() {
        let id = node(follower.node);
        let state = format!("{:?}", follower.state).to_lowercase();
        line += &format!("; {id} {state} {}/{}", follower.matched, follower.next);
    }
    if let Some(to) = of.transferring() {
        line += &format!("; hands over to {}", node(to));
    }
    if of.is_disk_stalled() {
        line += "; its disk is silent";
    }
    line
}
