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
        let next_elsewhere = self.next_elsewhere();
        let deleted = || {
            self.deletes.iter().find_map(|(range, place)| self.put_elsewhere(range, *place, &next_elsewhere))
        };
        match put_twice.or_else(deleted) {
            Some(key) => Err(Refusal::DuplicateKey { key: key.clone() }),
            None => Ok(()),
        }
    }

    /// For each put, the index of the next one that belongs to another operation.
    fn next_elsewhere(&self) -> Vec<usize> {
        let mut next = vec![self.puts.len(); self.puts.len()];
        for at in (1..self.puts.len()).rev() {
            let same_place = self.puts[at - 1].1 == self.puts[at].1;
            next[at - 1] = if same_place { next[at] } else { at };
        }
        next
    }

    /// The first key of the range that an operation other than `place` puts. Looks at two puts at most, however
    /// many are in the range.
    fn put_elsewhere(&self, range: &KeyRange, place: usize, next_elsewhere: &[usize]) -> Option<&Bytes> {
        let first = self.puts.partition_point(|(key, _)| **key < range.start);
        let elsewhere = match self.puts.get(first) {
            Some((_, other)) if *other == place => next_elsewhere[first],
            _ => first,
        };
        let (key, _) = self.puts.get(elsewhere)?;
        range.contains(key).then_some(*key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::model::{Delete, Put};

    fn put(key: u32) -> Op {
        let key = Bytes::copy_from_slice(&key.to_be_bytes());
        Op::Put(Put { key, value: Bytes::new(), return_previous: false })
    }

    fn delete_all() -> Op {
        Op::Delete(Delete { range: KeyRange::all(), return_previous: false })
    }

    /// Either all is deleted, often, or many keys are put.
    fn nested(puts: u32) -> Op {
        let success = (0..1000).map(|_| delete_all()).collect();
        let failure = (0..puts).map(put).collect();
        Op::Txn(Txn { compares: Vec::new(), success, failure })
    }

    fn checked(success: Vec<Op>) -> Result<(), Refusal> {
        check(&Txn { compares: Vec::new(), success, failure: Vec::new() })
    }

    #[test]
    fn a_put_of_another_operation_is_found_among_many_of_its_own() {
        assert_eq!(checked(vec![nested(1000)]), Ok(()));
        assert!(checked(vec![nested(1000), put(2000)]).is_err());
        assert!(checked(vec![put(2000), nested(1000)]).is_err());
        assert!(checked(vec![nested(0), put(7)]).is_err());
        assert_eq!(checked(vec![nested(0), nested(0)]), Ok(()));
    }
}
