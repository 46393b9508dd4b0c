//! Histories whose answers carry revisions.

use super::generate::{Shape, right, tampered};
use super::{Story, words};
use fastrand::Rng;
use kontiki::verify::{Completion, History, Kind, Limits, Verdict, check};

fn without_revisions(history: &History) -> History {
    let mut operations = history.operations().to_vec();
    for operation in &mut operations {
        if let Completion::Ok { revision, .. } = &mut operation.outcome {
            *revision = None;
        }
    }
    operations.into_iter().collect()
}

#[test]
fn right_revisions_are_accepted() {
    Story::new()
        .read(1, None, (0, 10))
        .at(1)
        .write(1, 1, (20, 30))
        .at(2)
        .read(2, 1, (20, 40))
        .at(2)
        .cas(3, 1, 2, true, (50, 60))
        .at(5)
        .cas(3, 1, 2, false, (70, 80))
        .at(7)
        .is_right();
}

#[test]
fn an_unknown_write_between_two_revisions_is_found() {
    let story = |revision| {
        Story::new()
            .write(1, 1, (0, 10))
            .at(2)
            .lost(2, 2, 5)
            .read(3, 2, (20, 30))
            .at(revision)
            .write(1, 3, (40, 50))
            .at(4)
            .read(3, 3, (60, 70))
            .at(4)
    };
    story(3).is_right();
    // At revision 2 the key had the value of the write that made it.
    assert_eq!(story(2).is_wrong().kind, Kind::Revisions);
}

#[test]
fn two_changes_do_not_share_a_revision() {
    let story = Story::new().write(1, 1, (0, 10)).at(2).write(2, 2, (20, 30)).at(2).on("y");
    let violation = story.is_wrong();
    assert_eq!((violation.kind, words(&violation).len()), (Kind::Revisions, 2));
    assert!(violation.to_string().ends_with("two changes have the same revision"), "{violation}");
}

#[test]
fn a_revision_does_not_go_back_in_time_even_over_keys() {
    let story = Story::new().write(1, 1, (0, 10)).at(7).read(2, None, (20, 30)).on("y").at(6);
    let violation = story.is_wrong();
    assert!(violation.to_string().ends_with("the revision went back in time"), "{violation}");
    assert_eq!(&*violation.key, "y");
    Story::new().write(1, 1, (0, 10)).at(7).read(2, None, (5, 30)).on("y").at(6).is_right();
}

#[test]
fn a_revision_is_not_seen_before_it_is_made() {
    let story = Story::new().read(2, None, (0, 10)).on("y").at(2).write(1, 1, (20, 30)).at(2);
    assert!(story.is_wrong().to_string().ends_with("the revision was seen before it was made"));
}

#[test]
fn a_read_does_not_lie_about_its_revision() {
    // Read 1 at a time when it was right, with the revision of a later write.
    let story =
        Story::new().write(1, 1, (0, 10)).at(2).write(1, 2, (20, 90)).at(3).read(2, 1, (30, 40)).at(4);
    let violation = story.is_wrong();
    assert_eq!(violation.kind, Kind::Revisions);
    assert_eq!(words(&violation), ["write 1", "write 2", "read: 1"]);
}

#[test]
fn two_reads_at_one_revision_agree() {
    let story = Story::new().lost(1, 1, 0).read(2, None, (10, 20)).at(3).read(2, 1, (30, 40)).at(3);
    assert!(story.is_wrong().to_string().ends_with("two values at one revision"));
}

/// Revisions in a perfect order prove nothing against the clock.
#[test]
fn revisions_do_not_excuse_a_stale_read() {
    let violation = Story::new()
        .write(1, 1, (0, 10))
        .at(2)
        .write(1, 2, (20, 30))
        .at(3)
        .read(2, 1, (40, 50))
        .at(2)
        .is_wrong();
    assert_eq!(violation.kind, Kind::Order);
    assert_eq!(words(&violation), ["write 1", "write 2", "read: 1"]);
}

/// A key of which some answers lack a revision is searched; the others still promise.
#[test]
fn a_mixture_is_judged_by_both() {
    let story = || Story::new().write(1, 1, (0, 10)).at(9).read(2, 1, (20, 30));
    story().is_right();
    story().read(2, 1, (40, 50)).at(9).is_right();
    assert_eq!(story().read(2, 1, (40, 50)).at(8).is_wrong().kind, Kind::Revisions);
    assert_eq!(story().read(2, 7, (40, 50)).at(9).is_wrong().kind, Kind::Order);
}

/// Whatever the revisions say: what has no order by the clock is never accepted,
/// and what is blamed on the revisions alone has an order without them.
#[test]
fn revisions_never_turn_no_into_yes() {
    let (mut right_ones, mut orders, mut lies) = (0, 0, 0);
    for seed in 0..6_000 {
        let mut rng = Rng::with_seed(seed);
        let shape = Shape {
            processes: rng.u64(2..=5),
            operations: rng.usize(3..=14),
            keys: rng.u64(1..=2),
            values: rng.u64(2..=4),
            unknown: [0, 3][rng.usize(0..2)],
            lasts: 12,
            revisions: true,
        };
        let mut history = right(&mut rng, shape);
        let turns = rng.usize(0..4);
        for _ in 0..turns {
            history = tampered(&mut rng, &history, shape.values);
        }
        let plain = check(&without_revisions(&history), &Limits::default());
        match check(&history, &Limits::default()) {
            Verdict::Linearizable => {
                right_ones += 1;
                assert_eq!(plain, Verdict::Linearizable, "seed {seed}: {history:#?}");
            }
            Verdict::NotLinearizable(violation) if violation.kind == Kind::Order => {
                orders += 1;
                assert!(matches!(plain, Verdict::NotLinearizable(_)), "seed {seed}: {history:#?}");
            }
            Verdict::NotLinearizable(_) => {
                lies += 1;
                assert!(turns > 0, "seed {seed}: nobody lied");
                assert_eq!(plain, Verdict::Linearizable, "seed {seed}: {history:#?}");
            }
            Verdict::Undecided(why) => panic!("{why}"),
        }
    }
    assert!(
        right_ones > 1_000 && orders > 500 && lies > 500,
        "{right_ones} right, {orders} wrong, {lies} lies"
    );
}
