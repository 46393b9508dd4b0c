//! Transactions.

use crate::client::model::{Delete, Deleted, Get, KeyValue, Keys, Page, Put, Range};
use crate::types::Revision;
use bytes::Bytes;

/// If all `compares` hold do `success`, else `failure`; in order, at one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Txn {
    pub compares: Vec<Compare>,
    /// What to do if all hold.
    pub success: Vec<TxnOp>,
    /// What to do if one does not.
    pub failure: Vec<TxnOp>,
}

impl Txn {
    /// Whether it only reads, so that doing it twice does no harm. Decides what the client retries after an unknown
    /// outcome; whether the transaction goes through the log is decided by the server alone.
    pub fn is_repeatable(&self) -> bool {
        self.success.iter().chain(&self.failure).all(|op| match op {
            TxnOp::Get(_) | TxnOp::Range(_) => true,
            TxnOp::Put(_) | TxnOp::Delete(_) => false,
            TxnOp::Txn(inner) => inner.is_repeatable(),
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TxnOp {
    Put(Put),
    Get(Get),
    Delete(Delete),
    Range(Range),
    /// A transaction inside this one.
    Txn(Txn),
}

/// One condition; over several keys it must hold for each that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compare {
    pub keys: Keys,
    /// What to look at, and the value to compare it with.
    pub target: Target,
    /// How the two must relate.
    pub relation: Relation,
}

/// What a condition looks at, with the operand. An absent key has the numbers 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The number of puts since creation.
    Version(u64),
    /// The revision of creation.
    CreateRevision(Revision),
    /// The revision of the last change.
    ModRevision(Revision),
    /// The value; never true of an absent key.
    Value(Bytes),
}

/// How the two sides must relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `>`
    Greater,
    /// `<`
    Less,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TxnAnswer {
    /// Whether all conditions held.
    pub succeeded: bool,
    /// One result for each operation of the branch taken.
    pub results: Vec<TxnResult>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TxnResult {
    /// Of a put: the replaced version, if asked for.
    Put(Option<KeyValue>),
    Get(Option<KeyValue>),
    Delete(Deleted),
    Range(Page),
    /// Of a transaction inside.
    Txn(TxnAnswer),
}
