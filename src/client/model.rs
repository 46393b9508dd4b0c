//! Requests and answers, as plain types.

use crate::address::NodeUrl;
use crate::types::{FollowerState, Revision};
use bytes::Bytes;
use std::fmt;
use std::time::Duration;

/// An answer and who gave it.
#[derive(Clone, Debug)]
pub struct Answer<T> {
    pub value: T,
    /// Who answered, and from which state.
    pub meta: Meta,
}

/// Who answered, and from which state.
#[derive(Clone, Debug)]
pub struct Meta {
    pub cluster_id: u64,
    /// The id of the node that served the request.
    pub node_id: u64,
    /// That node's name; of a forwarded write, the leader's.
    pub served_by: String,
    /// The store's revision; for a write its own, for a read that of the state read.
    pub revision: Revision,
    pub term: u64,
    /// The last log entry that it had applied.
    pub applied_index: u64,
    /// The node that was asked.
    pub endpoint: NodeUrl,
    /// How many attempts it took.
    pub attempts: u32,
    /// How long it took, including all attempts.
    pub latency: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    One(Bytes),
    /// Every key with this prefix, which must not be empty.
    Prefix(Bytes),
    /// From `start` to before `end`; `None` means no bound.
    Span {
        start: Option<Bytes>,
        /// The first key after the span.
        end: Option<Bytes>,
    },
    All,
}

impl Keys {
    /// The same keys as a start and an end, so that a scan can go on from the middle.
    pub(super) fn bounds(&self) -> (Option<Bytes>, Option<Bytes>) {
        match self {
            Self::One(key) => (Some(key.clone()), Some(after(key))),
            Self::Prefix(prefix) => (Some(prefix.clone()), prefix_end(prefix)),
            Self::Span { start, end } => (start.clone(), end.clone()),
            Self::All => (None, None),
        }
    }
}

/// The first key after `key`.
pub(super) fn after(key: &[u8]) -> Bytes {
    let mut next = key.to_vec();
    next.push(0);
    next.into()
}

/// The first key that is greater than all with this prefix; none if it is all 0xff.
fn prefix_end(prefix: &[u8]) -> Option<Bytes> {
    let last = prefix.iter().rposition(|&byte| byte != 0xff)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end.into())
}

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadLevel {
    /// Sees every write acknowledged before the read began.
    #[default]
    Linearizable,
    /// Sees what the asked node has applied: possibly stale, served without a leader.
    Local,
    /// Like local, but waits until the asked node has applied this revision.
    AtLeast(Revision),
}

/// The order of keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Smallest first.
    #[default]
    Ascending,
    /// Largest first.
    Descending,
}

/// One version of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    pub key: Bytes,
    /// The value; empty where only keys were asked for.
    pub value: Bytes,
    /// The revision of its creation.
    pub create_revision: Revision,
    /// The revision of this version.
    pub mod_revision: Revision,
    /// The number of puts since its creation.
    pub version: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    pub key: Bytes,
    pub value: Bytes,
    /// Whether to return the version that is replaced.
    pub return_previous: bool,
}

impl Put {
    /// Sets `key` to `value`.
    pub fn new(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        Self { key: key.into(), value: value.into(), return_previous: false }
    }

    /// Asks for the version that is replaced.
    #[must_use]
    pub fn return_previous(mut self) -> Self {
        self.return_previous = true;
        self
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Get {
    pub key: Bytes,
    /// At which revision; `None` means the newest.
    pub revision: Option<Revision>,
    pub level: ReadLevel,
}

impl Get {
    /// Reads the newest version of `key`, linearizably.
    pub fn new(key: impl Into<Bytes>) -> Self {
        Self { key: key.into(), revision: None, level: ReadLevel::Linearizable }
    }

    /// Reads the state at a revision of the past.
    #[must_use]
    pub fn at(mut self, revision: Revision) -> Self {
        self.revision = Some(revision);
        self
    }

    /// Reads what the asked node has.
    #[must_use]
    pub fn local(mut self) -> Self {
        self.level = ReadLevel::Local;
        self
    }

    /// Waits until the asked node has applied `revision`.
    #[must_use]
    pub fn at_least(mut self, revision: Revision) -> Self {
        self.level = ReadLevel::AtLeast(revision);
        self
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete {
    pub keys: Keys,
    /// Whether to return the removed versions.
    pub return_previous: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deleted {
    pub deleted: u64,
    /// The removed versions, if asked for.
    pub previous: Vec<KeyValue>,
}

/// Reads one page of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    pub keys: Keys,
    /// At which revision; `None` means the newest.
    pub revision: Option<Revision>,
    /// The most keys; 0 means the server's limit.
    pub limit: u64,
    /// Where the previous page ended; empty for the first page.
    pub page_token: String,
    pub order: Order,
    /// Whether to leave the values out.
    pub keys_only: bool,
    /// Whether to return only the count.
    pub count_only: bool,
    /// Whether to count the whole range too.
    pub with_count: bool,
    pub level: ReadLevel,
}

impl Range {
    /// The first page of `keys`.
    pub fn new(keys: Keys) -> Self {
        Self {
            keys,
            revision: None,
            limit: 0,
            page_token: String::new(),
            order: Order::Ascending,
            keys_only: false,
            count_only: false,
            with_count: false,
            level: ReadLevel::Linearizable,
        }
    }
}

/// A page of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The keys, in the order asked for.
    pub kvs: Vec<KeyValue>,
    /// Whether there are more keys.
    pub more: bool,
    /// The token of the next page.
    pub next_page_token: String,
    /// The number of keys in the whole range, if asked for.
    pub count: Option<u64>,
}

/// Reads a whole range as a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanOptions {
    pub keys: Keys,
    /// At which revision; `None` means the newest.
    pub revision: Option<Revision>,
    /// Stop after this many keys; 0 means no limit.
    pub limit: u64,
    pub order: Order,
    /// Whether to leave the values out.
    pub keys_only: bool,
    pub level: ReadLevel,
}

impl ScanOptions {
    /// All of `keys`, ascending, with values, linearizably.
    pub fn new(keys: Keys) -> Self {
        Self {
            keys,
            revision: None,
            limit: 0,
            order: Order::Ascending,
            keys_only: false,
            level: ReadLevel::Linearizable,
        }
    }
}

/// A node's role in the cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    #[default]
    Unknown,
    /// Follows a leader, or waits for one.
    Follower,
    /// Asks whether it could win an election.
    PreCandidate,
    /// Stands for election.
    Candidate,
    /// Orders all writes.
    Leader,
    /// Receives the log, without a vote.
    Learner,
}

impl Role {
    /// Its name, in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Follower => "follower",
            Self::PreCandidate => "pre-candidate",
            Self::Candidate => "candidate",
            Self::Leader => "leader",
            Self::Learner => "learner",
        }
    }
}

/// A node of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    pub id: u64,
    pub name: String,
    /// Where the other nodes reach it, best first; empty until it has advertised them.
    pub peer_urls: Vec<String>,
    /// Where clients reach it, likewise.
    pub client_urls: Vec<String>,
    /// Whether it has no vote.
    pub learner: bool,
}

/// The cluster as one of its nodes sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterStatus {
    /// Every member, by name.
    pub nodes: Vec<NodeStatus>,
    /// The limits of the node that was asked.
    pub limits: RequestLimits,
}

/// The limits on requests, as a node reports them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestLimits {
    /// The longest key in bytes.
    pub key_bytes: u64,
    /// The largest request in bytes.
    pub request_bytes: u64,
    /// The most operations in a transaction.
    pub txn_ops: u64,
    /// The most keys in a page.
    pub page_keys: u64,
    /// About the most bytes in a page.
    pub page_bytes: u64,
}

/// The status of one node, as it reports it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeStatus {
    /// Its name and addresses.
    pub member: Member,
    /// Why it could not be asked; then all numbers are 0.
    pub error: Option<String>,
    pub role: Role,
    pub term: u64,
    /// The leader that it follows.
    pub leader_id: Option<u64>,
    /// The last entry that it knows to be committed.
    pub commit_index: u64,
    /// The last entry that its state includes.
    pub applied_index: u64,
    /// The last entry of its log.
    pub last_index: u64,
    /// The last entry of its log on stable storage.
    pub durable_index: u64,
    /// Entries up to this one were compacted from its log.
    pub compacted_index: u64,
    pub revision: Revision,
    /// Reads below this revision fail.
    pub compact_revision: Revision,
    pub keys: u64,
    pub disk_bytes: u64,
    /// The longest that its state machine was busy with one entry since the process started.
    pub longest_apply: Duration,
    /// How long the process has been running.
    pub uptime: Duration,
    pub version: String,
    pub durability: Durability,
    /// A hash over everything that was ever applied.
    pub state_hash: String,
    /// Whether it can serve linearizable requests.
    pub ready: bool,
    /// If not, why not.
    pub not_ready_reason: String,
    /// On the leader: the progress of the others.
    pub followers: Vec<Follower>,
}

/// What a node promises of an acknowledged write, in its own words: "fdatasync".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Durability(String);

impl Durability {
    pub fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it does not wait for its disk. The server's words for that begin so.
    pub fn is_unsafe(&self) -> bool {
        self.0.starts_with("UNSAFE")
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The progress of a follower, as its leader sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Follower {
    pub id: u64,
    /// How it gets entries; `None` if the server is newer and does it in a way of which this library knows nothing.
    pub state: Option<FollowerState>,
    /// The last entry known to be durable there.
    pub match_index: u64,
    /// The next entry to send.
    pub next_index: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leader {
    pub id: u64,
    pub name: String,
}

#[cfg(test)]
mod tests {
    use super::{Keys, after};
    use bytes::Bytes;

    #[test]
    fn every_way_to_name_keys_has_bounds() {
        let bytes = Bytes::from_static;
        assert_eq!(Keys::One(bytes(b"a")).bounds(), (Some(bytes(b"a")), Some(bytes(b"a\0"))));
        assert_eq!(Keys::Prefix(bytes(b"a/")).bounds(), (Some(bytes(b"a/")), Some(bytes(b"a0"))));
        assert_eq!(
            Keys::Prefix(bytes(b"a\xff\xff")).bounds(),
            (Some(bytes(b"a\xff\xff")), Some(bytes(b"b")))
        );
        assert_eq!(Keys::Prefix(bytes(b"\xff")).bounds(), (Some(bytes(b"\xff")), None));
        assert_eq!(Keys::All.bounds(), (None, None));
        assert_eq!(after(b""), bytes(b"\0"));
    }
}
