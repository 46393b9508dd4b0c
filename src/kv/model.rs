//! The requests and results of the state machine. Independent of the RPC messages, so that the log outlives any API.

use crate::types::Revision;
use bytes::Bytes;

/// A contiguous set of keys in its one canonical form: `[start, end)`.
///
/// Every way a client can name keys (one key, prefix, span, all) becomes this
/// before anything is checked or executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// The first key that may be in the range.
    pub start: Bytes,
    /// The first key after the range; `None` means there is no end.
    pub end: Option<Bytes>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    pub key: Bytes,
    /// The value; empty where only keys were asked for.
    pub value: Bytes,
    /// The revision at which the key was created after it was last absent.
    pub create_revision: Revision,
    /// The revision of this version.
    pub mod_revision: Revision,
    /// The number of puts since creation; 1 for the first.
    pub version: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    pub key: Bytes,
    pub value: Bytes,
    /// Whether to answer with the version that is replaced.
    pub return_previous: bool,
}

/// Removes the keys of a range at one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete {
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
    Put(Put),
    Delete(Delete),
    /// A transaction inside this one.
    Txn(Txn),
}

/// One condition. It must hold for every key of the range that exists. If none
/// does, numbers compare as 0, and a comparison of values is false, whatever
/// the relation (as in etcd).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compare {
    pub range: KeyRange,
    /// What to look at, and the value to compare it with.
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
    pub range: KeyRange,
    /// At which revision; `None` means the newest.
    pub revision: Option<Revision>,
    /// The most keys to answer; `None` means no limit.
    pub limit: Option<u64>,
    /// Stop before the answer exceeds this many bytes of keys and values, counting 32 more for each key (at
    /// least one key is answered); `None` means no limit.
    pub max_bytes: Option<u64>,
    pub order: Order,
    /// Leave out the values.
    pub keys_only: bool,
    /// Count the whole range, whatever the limits.
    pub with_count: bool,
    /// Answer only with the count.
    pub count_only: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeResult {
    /// The keys, in the order asked for.
    pub kvs: Vec<KeyValue>,
    /// Whether a limit cut the answer short.
    pub more: bool,
    /// The number of keys in the whole range, if asked for.
    pub count: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutResult {
    /// The replaced version, if asked for and if there was one.
    pub previous: Option<KeyValue>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteResult {
    pub deleted: u64,
    /// The removed versions in key order, if asked for.
    pub previous: Vec<KeyValue>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnResult {
    pub succeeded: bool,
    /// One result for each operation of the branch taken.
    pub results: Vec<OpResult>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpResult {
    Range(RangeResult),
    Put(PutResult),
    Delete(DeleteResult),
    Txn(TxnResult),
}

impl KeyValue {
    /// About how many bytes it takes.
    pub(crate) fn size(&self) -> usize {
        size_of::<Self>() + self.key.len() + self.value.len()
    }
}

impl PutResult {
    pub(crate) fn size(&self) -> usize {
        self.previous.as_ref().map_or(0, KeyValue::size)
    }
}

impl DeleteResult {
    pub(crate) fn size(&self) -> usize {
        self.previous.iter().map(KeyValue::size).sum()
    }
}

impl TxnResult {
    pub(crate) fn size(&self) -> usize {
        let size = |result: &OpResult| match result {
            OpResult::Range(range) => range.kvs.iter().map(KeyValue::size).sum(),
            OpResult::Put(put) => put.size(),
            OpResult::Delete(delete) => delete.size(),
            OpResult::Txn(txn) => txn.size(),
        };
        self.results.iter().map(size).sum()
    }
}

/// Why a read or command was refused. Depends on the replicated state alone,
/// so that every node decides the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The revision was compacted.
    #[error("revision {requested} is compacted; the oldest that can be read is {oldest}")]
    Compacted {
        requested: Revision,
        /// The oldest that can be read.
        oldest: Revision,
    },
    /// The revision has not happened yet.
    #[error("revision {requested} is in the future; the store is at {current}")]
    FutureRevision { requested: Revision, current: Revision },
    /// A transaction puts a key twice, or puts and deletes it, in one branch.
    #[error(
        "a transaction may change a key only once, but {:?} is changed twice",
        String::from_utf8_lossy(key)
    )]
    DuplicateKey { key: Bytes },
    /// A command would remove too many keys at once. All nodes apply it in one
    /// piece, and everything else waits meanwhile.
    #[error("the request would change more than {limit} keys at once; do it in parts, by smaller ranges")]
    TooManyChanges {
        /// The limit in keys.
        limit: u64,
    },
    /// A command that removes keys would write too many bytes for all of them together.
    #[error(
        "the request would write more than {limit} bytes at once, most of them keys to be removed; do it in parts, by smaller ranges"
    )]
    ChangesTooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// A command would take too long. All nodes apply it in one piece, and everything else waits meanwhile.
    #[error(
        "the request would take {} units of work, of {limit} at most: one for each key that it looks at, 5 more for \
         each that it removes, 64 and one for each 128 bytes for each value that it reads, 16 for each put, operation and \
         compare; use smaller ranges, or do it in parts",
        actual.map_or("too many".to_owned(), |actual| actual.to_string())
    )]
    TooMuchWork {
        limit: u64,
        /// What it would take at least, if that follows from the request alone.
        actual: Option<u64>,
    },
    /// A transaction that writes reads a range of several keys in the past. How long that takes depends on
    /// what was deleted since, and on how much of it each node has collected.
    #[error(
        "a transaction that writes cannot read a range of keys at an earlier revision ({revision}): read it as it is now, \
         key by key, or in a transaction that only reads"
    )]
    PastRange { revision: Revision },
    /// The command's answer would be larger than a message may be.
    #[error("the answer would exceed {limit} bytes; ask for less, without previous values or in pages")]
    ReplyTooLarge {
        /// The limit in bytes.
        limit: u64,
    },
}
