//! The words of the state machine: what is asked of it and what it answers.
//! Independent of the RPC messages, so that the log outlives any API.

use crate::types::Revision;
use bytes::Bytes;

/// A set of neighbouring keys in its one canonical form: `[start, end)`.
///
/// Every way a client can name keys (one key, prefix, span, all) becomes this
/// before anything is checked or executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// The first key that may be part.
    pub start: Bytes,
    /// The first key that is no longer part; `None` means there is no end.
    pub end: Option<Bytes>,
}

/// One version of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    /// The key.
    pub key: Bytes,
    /// The value; empty where only keys were asked for.
    pub value: Bytes,
    /// The revision at which the key was created since it was last absent.
    pub create_revision: Revision,
    /// The revision of this version.
    pub mod_revision: Revision,
    /// How many puts made it; the first is 1.
    pub version: u64,
}

/// Sets one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// The key.
    pub key: Bytes,
    /// The value.
    pub value: Bytes,
    /// Whether to answer with the version that is replaced.
    pub return_previous: bool,
}

/// Removes the keys of a range at one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete {
    /// Which keys.
    pub range: KeyRange,
    /// Whether to answer with the removed versions.
    pub return_previous: bool,
}

/// Forgets history: afterwards no read below `revision` succeeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compact {
    /// The oldest revision that stays readable.
    pub revision: Revision,
}

/// If all `compares` hold do `success`, else `failure`; in order, at one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Txn {
    /// The conditions.
    pub compares: Vec<Compare>,
    /// What to do if all hold.
    pub success: Vec<Op>,
    /// What to do if one does not.
    pub failure: Vec<Op>,
}

/// One operation of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Read a range (a get is a range of one key).
    Range(Range),
    /// Set a key.
    Put(Put),
    /// Remove keys.
    Delete(Delete),
    /// A transaction inside this one.
    Txn(Txn),
}

/// One condition. It must hold for every key of the range that exists. If none
/// does, numbers compare as 0, and a comparison of values is false, whatever
/// the relation (as in etcd).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compare {
    /// Which keys.
    pub range: KeyRange,
    /// What to look at, and the other side.
    pub target: Target,
    /// How the two must relate.
    pub relation: Relation,
}

/// What a comparison looks at, with the operand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The number of puts since creation.
    Version(u64),
    /// The revision of creation.
    CreateRevision(Revision),
    /// The revision of the last change.
    ModRevision(Revision),
    /// The value.
    Value(Bytes),
}

/// How the two sides of a comparison must relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// `=`
    Equal,
    /// `≠`
    NotEqual,
    /// `>`
    Greater,
    /// `<`
    Less,
}

/// The order in which keys are answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Smallest first.
    #[default]
    Ascending,
    /// Largest first.
    Descending,
}

/// Reads the keys of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// Which keys.
    pub range: KeyRange,
    /// At which revision; `None` means the newest.
    pub revision: Option<Revision>,
    /// The most keys to answer; `None` means no limit.
    pub limit: Option<u64>,
    /// Stop before the answer exceeds so many bytes of keys and values, 32 more
    /// counted for each key (at least one key is answered); `None` means no limit.
    pub max_bytes: Option<u64>,
    /// The order of the keys.
    pub order: Order,
    /// Leave the values out.
    pub keys_only: bool,
    /// Count the whole range, whatever the limits.
    pub with_count: bool,
    /// Only count.
    pub count_only: bool,
}

/// What a range read found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeResult {
    /// The keys, in the order asked for.
    pub kvs: Vec<KeyValue>,
    /// Whether a limit cut the answer short.
    pub more: bool,
    /// The number of keys in the whole range, if asked for.
    pub count: Option<u64>,
}

/// A put's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutResult {
    /// The replaced version, if asked for and if there was one.
    pub previous: Option<KeyValue>,
}

/// A delete's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteResult {
    /// How many keys were removed.
    pub deleted: u64,
    /// The removed versions in key order, if asked for.
    pub previous: Vec<KeyValue>,
}

/// A transaction's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnResult {
    /// Whether all compares held.
    pub succeeded: bool,
    /// One result for each operation of the branch taken.
    pub results: Vec<OpResult>,
}

/// One operation's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpResult {
    /// Of a range read.
    Range(RangeResult),
    /// Of a put.
    Put(PutResult),
    /// Of a delete.
    Delete(DeleteResult),
    /// Of a nested transaction.
    Txn(TxnResult),
}

/// Why a read or command was refused. Depends on the replicated state alone,
/// so that every node refuses alike.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The revision was compacted.
    #[error("revision {requested} is compacted; the oldest that can be read is {oldest}")]
    Compacted {
        /// What was asked for.
        requested: Revision,
        /// The oldest that can be read.
        oldest: Revision,
    },
    /// The revision has not happened yet.
    #[error("revision {requested} is in the future; the store is at {current}")]
    FutureRevision {
        /// What was asked for.
        requested: Revision,
        /// The store's revision.
        current: Revision,
    },
    /// A transaction puts a key twice, or puts and deletes it, in one branch.
    #[error("a transaction may change a key only once, but {key:?} is changed twice")]
    DuplicateKey {
        /// The key.
        key: Bytes,
    },
    /// A command would remove too many keys at once. All nodes apply it in one
    /// piece, and everything else waits meanwhile.
    #[error("the request would change more than {limit} keys at once; do it in parts, by smaller ranges")]
    TooManyChanges {
        /// The limit in keys.
        limit: u64,
    },
    /// What a command that removes keys would write has too many bytes, all keys together.
    #[error(
        "the request would write more than {limit} bytes at once, most of them keys to be removed; do it in parts, by smaller ranges"
    )]
    ChangesTooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The command's answer would be larger than a message may be.
    #[error("the answer would exceed {limit} bytes; ask for less, without previous values or in pages")]
    ReplyTooLarge {
        /// The limit in bytes.
        limit: u64,
    },
}
