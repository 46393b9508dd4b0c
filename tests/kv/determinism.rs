//! The same log makes the same state, however it is applied.

use crate::kv::generate::{Step, steps};
use crate::kv::model::perform;
use crate::kv::support::{Store, at, everything, pairs};
use kontiki::machine::{Reply, View};
use proptest::prelude::*;

/// Applies the steps that are entries, commits after every `commit_every`th of
/// them, and collects `budget` in between. Returns the replies, and the rolling hash at each commit.
fn work_off(
    steps: &[Step],
    commit_every: usize,
    budget: usize,
) -> (Store, Vec<Option<Reply>>, Vec<(u64, u128)>) {
    work_off_in(Store::new(), steps, commit_every, budget)
}

fn work_off_in(
    mut store: Store,
    steps: &[Step],
    commit_every: usize,
    budget: usize,
) -> (Store, Vec<Option<Reply>>, Vec<(u64, u128)>) {
    let entries = steps.iter().filter(|step| matches!(step, Step::Apply(_) | Step::Noop | Step::Members(_)));
    let (mut replies, mut hashes) = (vec![], vec![]);
    for (n, entry) in (1..).zip(entries) {
        replies.push(perform(&mut store, entry));
        store.collect_some(budget);
        if n % commit_every == 0 {
            hashes.push((n as u64, store.commit().state_hash()));
        }
    }
    store.commit();
    (store, replies, hashes)
}

fn all_reads(view: &View) -> Vec<Result<kontiki::kv::RangeResult, kontiki::kv::ReadError>> {
    (0..=view.revision().get() + 1).map(|revision| view.range(&at(revision, everything()))).collect()
}

proptest! {
    #[test]
    fn commits_and_garbage_are_nobodys_business(steps in steps(), every in 1..8usize, budget in 0..4usize) {
        let (left, left_replies, left_hashes) = work_off(&steps, 1, 0);
        let (right, right_replies, right_hashes) = work_off(&steps, every, budget);
        prop_assert_eq!(left_replies, right_replies);
        for hash in right_hashes {
            prop_assert!(left_hashes.contains(&hash), "the rolling hash differs at entry {}", hash.0);
        }
        let (left, right) = (left.machine.view(), right.machine.view());
        prop_assert_eq!(left.state_hash(), right.state_hash());
        prop_assert_eq!(left.hash(None), right.hash(None));
        prop_assert_eq!(left.members(), right.members());
        prop_assert_eq!(all_reads(&left), all_reads(&right));
    }

    /// What counts is what a command sees, not what a node has not collected yet. Limits at which about half of
    /// the commands are refused.
    #[test]
    fn a_work_limit_stops_the_same_commands_everywhere(
        steps in steps(), limit in 10..200u64, every in 1..8usize, budget in 1..40usize
    ) {
        let (left, left_replies, _) = work_off_in(Store::with_work_limit(limit), &steps, 1, 0);
        let (right, right_replies, _) = work_off_in(Store::with_work_limit(limit), &steps, every, budget);
        prop_assert_eq!(left_replies, right_replies);
        let (left, right) = (left.machine.view(), right.machine.view());
        prop_assert_eq!(left.state_hash(), right.state_hash());
        prop_assert_eq!(left.hash(None), right.hash(None));
    }

    #[test]
    fn the_same_log_makes_the_same_bytes(steps in steps(), every in 1..8usize) {
        let (left, right) = (work_off(&steps, 1, 0).0, work_off(&steps, every, 0).0);
        prop_assert_eq!(pairs(&*left.table), pairs(&*right.table));
    }
}

/// Nodes of different versions must agree: these numbers must never change.
#[test]
fn the_hashes_are_fixed() {
    let mut store = Store::new();
    store.put("k", "v");
    store.machine.apply_members(store.next_id(), "n1".into());
    store.put("k", "w");
    store.done(crate::kv::support::compact(3));
    let view = store.commit();
    assert_eq!(format!("{:032x}", view.state_hash()), "1764fca0d27cd615c6c3d6e17e6ff439");
    assert_eq!(format!("{:032x}", view.hash(None).unwrap().hash), "544f523b588a59574b4976cc86404356");
}
