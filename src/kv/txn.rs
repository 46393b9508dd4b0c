//! Transactions: first everything is decided, then everything is done.

use crate::kv::conflict;
use crate::kv::horizon::{Horizon, Values};
use crate::kv::model::{Op, OpResult, Refusal, Txn, TxnResult};
use crate::kv::read;
use crate::kv::read_error::ReadError;
use crate::kv::work::{self, Meter};
use crate::types::Revision;

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
    pub(crate) fn new(
        horizon: Horizon<'_>,
        values: &impl Values,
        txn: &'a Txn,
        meter: &mut Meter<'_>,
    ) -> Result<Self, ReadError> {
        let mut succeeded = true;
        for compare in &txn.compares {
            if !read::holds(horizon, values, compare, meter)? {
                succeeded = false;
                break;
            }
        }
        let branch = if succeeded { &txn.success } else { &txn.failure };
        let steps = branch.iter().map(|op| match op {
            Op::Txn(txn) => Self::new(horizon, values, txn, meter).map(Step::Txn),
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

    /// What can be known without the state: refuses what every state would refuse.
    ///
    /// Whoever proposes it asks this first, so that nothing hopeless enters the log; whoever applies it asks
    /// again, and decides.
    pub fn check(&self, limit: u64) -> Result<(), Refusal> {
        let least = self.size() * work::OP;
        if least > limit {
            return Err(Refusal::TooMuchWork { limit, actual: Some(least) });
        }
        conflict::check(self)
    }

    /// The same for a transaction that goes through the log.
    pub fn check_command(&self, limit: u64) -> Result<(), Refusal> {
        self.check(limit)?;
        match self.past_range() {
            Some(revision) => Err(Refusal::PastRange { revision }),
            None => Ok(()),
        }
    }

    /// How many operations and compares it has, in all branches.
    pub fn size(&self) -> u64 {
        let nested = self.ops().map(|op| match op {
            Op::Txn(txn) => txn.size(),
            _ => 0,
        });
        (self.compares.len() + self.success.len() + self.failure.len()) as u64 + nested.sum::<u64>()
    }

    /// Whether neither branch can change anything.
    pub fn is_read_only(&self) -> bool {
        self.ops().all(|op| match op {
            Op::Range(_) => true,
            Op::Put(_) | Op::Delete(_) => false,
            Op::Txn(txn) => txn.is_read_only(),
        })
    }

    /// The operations of both branches, not those of nested transactions.
    pub fn ops(&self) -> impl Iterator<Item = &Op> {
        self.success.iter().chain(&self.failure)
    }

    /// An earlier revision at which some branch reads more than one key.
    pub(crate) fn past_range(&self) -> Option<Revision> {
        self.ops().find_map(|op| match op {
            Op::Range(range) => range.revision.filter(|_| !range.range.is_single_key()),
            Op::Txn(txn) => txn.past_range(),
            Op::Put(_) | Op::Delete(_) => None,
        })
    }

    /// Whether either branch puts something.
    pub fn puts(&self) -> bool {
        self.success.iter().chain(&self.failure).any(|op| match op {
            Op::Put(_) => true,
            Op::Range(_) | Op::Delete(_) => false,
            Op::Txn(txn) => txn.puts(),
        })
    }

    /// How deep it is nested: 1 if no operation is a transaction.
    pub fn depth(&self) -> usize {
        let nested = self.ops().filter_map(|op| match op {
            Op::Txn(txn) => Some(txn.depth()),
            _ => None,
        });
        1 + nested.max().unwrap_or(0)
    }
}
