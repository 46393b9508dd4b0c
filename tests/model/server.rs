//! One server: the real node, its simulated disk and its state machine. An
//! input turns it into another one ([`turn`](crate::model::turn)), whatever the rest of the world is: a pure
//! function, so that [`memory`](crate::model::memory) can answer a repeated question.

use crate::model::network::{Content, Packet};
use crate::model::turn::Turn;
use crate::raft::disk::{Disk, State};
use kontiki::raft::{
    HardState, LogRead, Members, Message, Node, Options, ReadOutcome, ReadToken, RequestVote, RoleName,
    SnapshotMeta, Vote,
};
use kontiki::types::{EntryId, Index, NodeId, Term};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The smallest numbers that the core takes: with them a handful of ticks
/// reaches every threshold. A stalled disk is out of the model.
pub fn options(rules: Rules) -> Options {
    Options {
        // What was handed out leaves memory as soon as it is stored.
        tail_entries: if rules.short_tails { 0 } else { Options::default().tail_entries },
        heartbeat_ticks: 1,
        election_ticks_min: 2,
        election_ticks_max: 3,
        disk_stall_ticks: u32::MAX,
        ..Options::default()
    }
}

#[derive(Clone, Debug)]
pub struct Server {
    pub node: Node,
    pub disk: Disk,
    /// The state in memory. It may be ahead of the one on disk.
    pub state: State,
    /// A snapshot that the node wants to be installed.
    pub install: Option<Install>,
    /// What is being read from the log's store.
    pub reading: Vec<LogRead>,
    /// Snapshots under way to others: term and end of each.
    pub sending: BTreeMap<NodeId, (Term, Index)>,
    /// The votes that ever left, in all lives.
    voted: BTreeMap<Term, NodeId>,
}

/// A received snapshot, and how far its installation is.
#[derive(Clone, Debug, Hash)]
pub struct Install {
    pub meta: SnapshotMeta,
    pub state: State,
    pub from: NodeId,
    pub term: Term,
    /// Whether the state is replaced, durably, and only the node does not know.
    pub replaced: bool,
}

/// What can happen to one server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// A packet arrives.
    Packet(std::sync::Arc<Packet>),
    /// The election timer fires.
    Timeout,
    /// It fires, and the pre-vote is won at once. A promised vote may be old and is not binding, so this may
    /// happen at any time: it allows more than pre-votes do, in far fewer states.
    Campaign,
    /// A leader's tick: heartbeats, and what it counts in ticks.
    Tick,
    /// The disk finishes its oldest job.
    Finish,
    /// Power is cut, and comes back.
    Crash,
    /// A client proposes a command, named by a number.
    Propose(u8),
    /// A client reads.
    Read(ReadToken),
    /// What was to be read for a peer comes back.
    ReadLog(NodeId),
    /// The state becomes durable, and the log forgets what it covers.
    Compact,
    /// Somebody asks for a transfer of leadership.
    Transfer(NodeId),
    /// The state is replaced by the snapshot that waits, durably.
    Replace,
    /// The node learns of it.
    Installed,
    /// The stream of a snapshot to a peer breaks.
    StreamBreaks(NodeId),
    /// The connection to a peer breaks.
    Unreachable(NodeId),
}

/// What of a [`Scope`](crate::model::scope::Scope) concerns a server.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    /// Whether writes wait until the disk finishes them, one by one, and are
    /// lost in a crash. Otherwise a write is durable as soon as it is made.
    pub slow_disks: bool,
    /// Whether pre-votes are asked for and answered. Otherwise they are all
    /// lost, and whoever likes has won: see `Input::Campaign`.
    pub pre_votes: bool,
    /// Whether heartbeats and their answers arrive. Otherwise they are all lost.
    pub heartbeats: bool,
    /// Whether entries leave memory early, and whoever lags gets them from the log's store, at any later time.
    pub short_tails: bool,
}

impl Rules {
    pub fn loses(self, packet: &Packet) -> bool {
        let Content::Message(message) = &packet.content else { return false };
        match message {
            Message::RequestVote(RequestVote { pre: true, .. }) | Message::Vote(Vote { pre: true, .. }) => {
                !self.pre_votes
            }
            Message::Heartbeat(_) | Message::HeartbeatAck { .. } => !self.heartbeats,
            _ => false,
        }
    }
}

/// What an input leads to.
#[derive(Clone, Debug)]
pub struct Reaction {
    pub server: Server,
    pub fingerprint: u64,
    pub sent: Vec<Packet>,
    /// The state's hash after each entry that was applied.
    pub applied: Vec<(Index, u64)>,
    pub reads: Vec<ReadOutcome>,
}

impl Server {
    pub fn new(id: NodeId, members: &Members, rules: Rules) -> Self {
        let state = State { members: members.clone(), ..State::default() };
        let mut disk = Disk::new(HardState::default(), Vec::new(), state.clone());
        disk.loads_little = rules.short_tails;
        let node = Node::new(id, options(rules), 0, disk.restored());
        let (sending, voted) = (BTreeMap::new(), BTreeMap::new());
        Self { node, disk, state, install: None, reading: Vec::new(), sending, voted }
    }

    /// Servers that hash equal are taken for the same.
    pub fn fingerprint(&self) -> u64 {
        let Self { node, disk, state, install, reading, sending, voted } = self;
        let mut hasher = DefaultHasher::new();
        node.fingerprint(&mut hasher);
        (disk, state, install, reading, sending, voted).hash(&mut hasher);
        hasher.finish()
    }

    pub fn leads(&self) -> bool {
        self.node.role() == RoleName::Leader
    }

    /// What this server becomes and does. `None` if the input makes no sense here.
    /// Panics if something is wrong.
    pub fn react(&self, input: &Input, rules: Rules) -> Option<Reaction> {
        let mut reaction = Turn::of(self, rules).react(input)?;
        reaction.fingerprint = reaction.server.fingerprint();
        Some(reaction)
    }
}

impl Server {
    /// Checks a message that leaves: what it states must be on disk already.
    pub fn check_statement(&mut self, to: NodeId, message: &Message) {
        let (id, durable, term) = (self.node.id(), self.disk.hard_state, message.term());
        let vote = match message {
            Message::RequestVote(RequestVote { pre: true, .. })
            | Message::Vote(Vote { pre: true, granted: true, .. }) => return,
            Message::RequestVote(_) => Some(id),
            Message::Vote(Vote { pre: false, granted: true, .. }) => Some(to),
            _ => None,
        };
        assert!(durable.term >= term, "n{id} speaks of t{term} before it is durable");
        if let Message::Accepted { matched, .. } = message {
            assert!(self.disk.reaches(*matched), "n{id} acknowledges {matched} before it is durable");
        }
        let Some(vote) = vote else { return };
        let is_durable = durable.term > term || durable.vote == Some(vote);
        assert!(is_durable, "n{id} votes in t{term} before the vote is durable");
        let known = *self.voted.entry(term).or_insert(vote);
        assert_eq!(known, vote, "n{id} voted twice in t{term}");
    }

    /// The term of an entry, in memory or on disk.
    pub fn term_at(&self, index: Index) -> Option<Term> {
        let on_disk = || self.disk.log.entries.iter().find(|entry| entry.id.index == index);
        self.node.term_at(index).or_else(|| on_disk().map(|entry| entry.id.term))
    }

    /// Whether an entry that was in the log of `before` was cut off.
    pub fn truncated(&self, before: &Self) -> bool {
        let EntryId { term, index } = before.node.last();
        index > self.node.base().index && self.node.term_at(index) != Some(term)
    }
}
