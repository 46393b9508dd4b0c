//! Whether a transaction changes a key twice.
//!
//! All changes of a transaction belong to one revision, at which a key can have one state only. The check
//! looks only at the transaction, not at the state: the result never depends on the branch that is taken.

use crate::kv::model::{KeyRange, Op, Refusal, Txn};
use bytes::Bytes;

/// Refuses a transaction with a branch that puts a key twice, or puts and deletes it, directly or through
/// nested transactions. The two branches of one transaction may overlap, since only one is taken; so may
/// deletes, where the later one finds nothing.
pub(crate) fn check(txn: &Txn) -> Result<(), Refusal> {
    changes(txn).map(drop)
}

/// The keys put and the ranges deleted, each with the index of its operation in the branch. Changes of the
/// same operation do not conflict here: they have been checked already.
#[derive(Default)]
struct Changes<'a> {
    puts: Vec<(&'a Bytes, usize)>,
    deletes: Vec<(&'a KeyRange, usize)>,
}

fn changes(txn: &Txn) -> Result<Changes<'_>, Refusal> {
    let mut both = of_branch(&txn.success)?;
    let failure = of_branch(&txn.failure)?;
    both.puts.extend(failure.puts);
    both.deletes.extend(failure.deletes);
    Ok(both)
}

fn of_branch(ops: &[Op]) -> Result<Changes<'_>, Refusal> {
    let mut all = Changes::default();
    for (place, op) in ops.iter().enumerate() {
        match op {
            Op::Range(_) => {}
            Op::Put(put) => all.puts.push((&put.key, place)),
            Op::Delete(delete) => all.deletes.push((&delete.range, place)),
            Op::Txn(txn) => {
                let nested = changes(txn)?;
                all.puts.extend(nested.puts.into_iter().map(|(key, _)| (key, place)));
                all.deletes.extend(nested.deletes.into_iter().map(|(range, _)| (range, place)));
            }
        }
    }
    all.check()?;
    Ok(all)
}

impl Changes<'_> {
    fn check(&mut self) -> Result<(), Refusal> {
        self.puts.sort_unstable();
        self.puts.dedup();
        let put_twice = self.puts.windows(2).find(|pair| pair[0].0 == pair[1].0).map(|pair| pair[0].0);
        let deleted = || self.deletes.iter().find_map(|(range, place)| self.put_elsewhere(range, *place));
        match put_twice.or_else(deleted) {
            Some(key) => Err(Refusal::DuplicateKey { key: key.clone() }),
            None => Ok(()),
        }
    }

    /// A key of the range that an operation other than `place` puts.
    fn put_elsewhere(&self, range: &KeyRange, place: usize) -> Option<&Bytes> {
        let first = self.puts.partition_point(|(key, _)| **key < range.start);
        let within = self.puts[first..].iter().take_while(|(key, _)| range.contains(key));
        within.filter(|(_, other)| *other != place).map(|(key, _)| *key).next()
    }
}
