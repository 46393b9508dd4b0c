//! The arithmetic of majorities against brute force over all sets of voters.

use kontiki::raft::{Members, Tally, majority};
use kontiki::types::{Index, NodeId};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn nodes() -> impl Strategy<Value = BTreeSet<NodeId>> {
    prop::collection::btree_set((1..=7_u64).prop_map(NodeId), 1..=7)
}

fn members() -> impl Strategy<Value = Members> {
    let outgoing = prop_oneof![Just(BTreeSet::new()), nodes()];
    (nodes(), outgoing, nodes()).prop_map(|(voters, outgoing, all)| {
        let learners = &(&all - &voters) - &outgoing;
        Members::of(voters, outgoing, learners)
    })
}

/// A majority, in the most naive way: more are in than out, in each set of voters.
fn decides(members: &Members, chosen: &BTreeSet<NodeId>) -> bool {
    [members.voters(), members.outgoing()]
        .into_iter()
        .filter(|set| !set.is_empty())
        .all(|set| set.intersection(chosen).count() > set.difference(chosen).count())
}

fn subsets(of: &BTreeSet<NodeId>) -> impl Iterator<Item = BTreeSet<NodeId>> {
    let of: Vec<NodeId> = of.iter().copied().collect();
    (0..1_u32 << of.len())
        .map(move |mask| (0..of.len()).filter(|bit| mask >> bit & 1 == 1).map(|bit| of[bit]).collect())
}

proptest! {
    /// Won if those who said yes decide; lost if even all who may still say yes would not.
    #[test]
    fn tally_is_what_brute_force_says(
        members in members(),
        answers in prop::collection::btree_map((1..=8_u64).prop_map(NodeId), any::<bool>(), 0..=8),
    ) {
        let yes: BTreeSet<NodeId> = answers.iter().filter(|(_, yes)| **yes).map(|(id, _)| *id).collect();
        let open = members.all().filter(|id| !answers.contains_key(id));
        let hoped: BTreeSet<NodeId> = yes.iter().copied().chain(open).collect();
        let expected = if decides(&members, &yes) {
            Tally::Won
        } else if decides(&members, &hoped) {
            Tally::Open
        } else {
            Tally::Lost
        };
        prop_assert_eq!(members.tally(|id| answers.get(&id).copied()), expected);
    }

    /// The quorum index is the highest that some deciding set has reached as a whole.
    #[test]
    fn quorum_index_is_what_brute_force_says(
        members in members(),
        matched in prop::collection::btree_map((1..=7_u64).prop_map(NodeId), (0..20_u64).prop_map(Index), 0..=7),
    ) {
        let reached = |id: &NodeId| matched.get(id).copied().unwrap_or_default();
        let all: BTreeSet<NodeId> = members.all().collect();
        let expected = subsets(&all)
            .filter(|chosen| decides(&members, chosen))
            .map(|chosen| {
                let voters = chosen.iter().filter(|id| members.is_voter(**id));
                voters.map(reached).min().expect("someone decides")
            })
            .max()
            .expect("all together decide");
        prop_assert_eq!(members.quorum_index(|id| reached(&id)), expected);
    }

    /// Two sets that decide have a node in common, also across the step into and
    /// out of a joint configuration: the reason why majorities are safe at all.
    #[test]
    fn deciding_sets_overlap(old in nodes(), new in nodes()) {
        let joint = Members::of(new.clone(), old.clone(), []);
        let all: BTreeSet<NodeId> = joint.all().collect();
        let quorums = |members: &Members| -> Vec<BTreeSet<NodeId>> {
            subsets(&all).filter(|chosen| members.is_quorum(|id| chosen.contains(&id))).collect()
        };
        let of_joint = quorums(&joint);
        for one in [Members::of(old, [], []), Members::of(new, [], [])] {
            for chosen in quorums(&one) {
                prop_assert!(of_joint.iter().all(|other| !chosen.is_disjoint(other)));
            }
        }
    }

    /// Learners decide nothing.
    #[test]
    fn learners_do_not_count(members in members(), answers in prop::collection::vec(any::<bool>(), 8)) {
        let with: BTreeMap<NodeId, bool> = members.all().zip(answers).collect();
        let answer = |id: NodeId| with.get(&id).copied();
        let without = Members::of(members.voters().clone(), members.outgoing().clone(), []);
        prop_assert_eq!(members.tally(answer), without.tally(answer));
    }
}

#[test]
fn no_voters_decide_nothing() {
    let nobody = Members::default();
    assert_eq!(nobody.tally(|_| Some(true)), Tally::Lost);
    assert_eq!(nobody.quorum_index(|_| Index(7)), Index(0));
}

#[test]
fn majorities_of_small_clusters() {
    let expected = [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (7, 4)];
    assert!(expected.into_iter().all(|(n, needed)| majority(n) == needed));
}
