//! Transactions: first everything is decided, then everything is done.

use crate::kv::horizon::{Horizon, Values};
use crate::kv::model::{Op, OpResult, Txn, TxnResult};
use crate::kv::read;
use crate::kv::read_error::ReadError;

/// Which branches a transaction takes. As in etcd, all comparisons, those of
/// nested transactions too, look at the state before the whole transaction;
/// so the path is known before anything is changed.
pub(crate) struct Plan<'a> {
    succeeded: bool,
    steps: Vec<Step<'a>>,
}

enum Step<'a> {
    Op(&'a Op),
    Txn(Plan<'a>),
}

impl<'a> Plan<'a> {
    /// Evaluates the comparisons, and checks that every revision read on the path can be read.
    pub(crate) fn new(horizon: Horizon<'_>, values: &impl Values, txn: &'a Txn) -> Result<Self, ReadError> {
        let mut succeeded = true;
        for compare in &txn.compares {
            if !read::holds(horizon, values, compare)? {
                succeeded = false;
                break;
            }
        }
        let branch = if succeeded { &txn.success } else { &txn.failure };
        let steps = branch.iter().map(|op| match op {
            Op::Txn(txn) => Self::new(horizon, values, txn).map(Step::Txn),
            Op::Range(range) => {
                horizon.readable(range.revision)?;
                Ok(Step::Op(op))
            }
            Op::Put(_) | Op::Delete(_) => Ok(Step::Op(op)),
        });
        Ok(Self { succeeded, steps: steps.collect::<Result<_, _>>()? })
    }

    /// Does the operations on the path in order. `act` is never called with a transaction.
    pub(crate) fn run(
        &self,
        act: &mut dyn FnMut(&Op) -> Result<OpResult, ReadError>,
    ) -> Result<TxnResult, ReadError> {
        let results = self.steps.iter().map(|step| match step {
            Step::Op(op) => act(op),
            Step::Txn(plan) => plan.run(act).map(OpResult::Txn),
        });
        Ok(TxnResult { succeeded: self.succeeded, results: results.collect::<Result<_, _>>()? })
    }
}

impl Txn {
    /// How deep transactions may be nested; one without others inside has depth 1.
    pub const MAX_DEPTH: usize = 16;

    /// Whether neither branch can change anything.
    pub fn is_read_only(&self) -> bool {
        self.success.iter().chain(&self.failure).all(|op| match op {
            Op::Range(_) => true,
            Op::Put(_) | Op::Delete(_) => false,
            Op::Txn(txn) => txn.is_read_only(),
        })
    }

    /// How deep it is nested: 1 if no operation is a transaction.
    pub fn depth(&self) -> usize {
        let nested = self.success.iter().chain(&self.failure).filter_map(|op| match op {
            Op::Txn(txn) => Some(txn.depth()),
            _ => None,
        });
        1 + nested.max().unwrap_or(0)
    }
}
