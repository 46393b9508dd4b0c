//! Histories made wrong on purpose, each next to its correct twin, and the messages about them.

use super::{Story, words};
use kontiki::verify::{Kind, Limits, Verdict, check};

#[test]
fn a_lost_update_is_seen() {
    // Both swaps say that they replaced 1.
    let story = Story::new().write(1, 1, (0, 10)).cas(2, 1, 2, true, (20, 30)).cas(3, 1, 3, true, (25, 35));
    let violation = story.is_wrong();
    assert_eq!(words(&violation), ["cas 1 → 2", "cas 1 → 3"]);
    assert_eq!(violation.culprit, 1);
    assert_eq!(violation.context[0].words(), "write 1", "the only one");
    Story::new().write(1, 1, (0, 10)).cas(2, 1, 2, true, (20, 30)).cas(3, 2, 3, true, (25, 35)).is_right();
}

#[test]
fn a_stale_read_is_seen() {
    let story = Story::new().write(1, 1, (0, 10)).write(1, 2, (20, 30)).read(2, 1, (40, 50));
    let violation = story.is_wrong();
    assert_eq!(words(&violation), ["write 1", "write 2", "read: 1"]);
    assert_eq!(
        violation.to_string(),
        "key \"x\" is not linearizable: process 2, read: 1 (40 ns to 50 ns): the key cannot have held 1 at any \
         moment of that time, given process 1, write 1 (0 ns to 10 ns) and process 1, write 2 (20 ns to 30 ns)"
    );
    Story::new().write(1, 1, (0, 10)).write(1, 2, (20, 45)).read(2, 1, (40, 50)).is_right();
}

#[test]
fn an_absent_key_that_was_written_is_seen() {
    let violation = Story::new().write(1, 1, (0, 10)).read(2, None, (20, 30)).is_wrong();
    assert_eq!(words(&violation), ["write 1", "read: absent"]);
}

#[test]
fn a_read_that_goes_back_is_seen() {
    // New, then old, while the write is still open.
    let story =
        Story::new().write(1, 1, (0, 10)).write(2, 2, (20, 90)).read(3, 2, (30, 40)).read(4, 1, (50, 60));
    assert_eq!(words(&story.is_wrong()), ["write 1", "read: 2", "read: 1"]);
    Story::new()
        .write(1, 1, (0, 10))
        .write(2, 2, (20, 90))
        .read(3, 1, (30, 40))
        .read(4, 2, (50, 60))
        .is_right();
}

#[test]
fn a_read_of_a_failed_write_is_seen() {
    let violation = Story::new().failed(1, 1, 0).read(2, 1, (20, 30)).is_wrong();
    assert_eq!(words(&violation), ["read: 1"]);
    assert!(violation.to_string().contains("never written; only a failed operation had it: process 1"));
    Story::new().lost(1, 1, 0).read(2, 1, (20, 30)).is_right();
}

#[test]
fn a_failed_swap_that_swapped_is_seen() {
    let story = Story::new().write(1, 1, (0, 10)).cas(2, 1, 2, false, (20, 30));
    assert_eq!(words(&story.is_wrong()), ["write 1", "cas 1 → 2: refused"]);
    Story::new().write(1, 1, (0, 10)).cas(2, 3, 2, false, (20, 30)).is_right();
    // Refused, and still its value is there.
    let story = Story::new().write(1, 1, (0, 10)).cas(2, 7, 2, false, (20, 30)).read(1, 2, (40, 50));
    assert_eq!(words(&story.is_wrong()), ["read: 2"]);
}

#[test]
fn an_unknown_write_that_was_seen_is_not_unseen() {
    let story = Story::new().write(1, 1, (0, 10)).lost(2, 2, 20).read(3, 2, (30, 40)).read(3, 1, (50, 60));
    assert_eq!(words(&story.is_wrong()), ["write 1", "read: 2", "read: 1"]);
    Story::new().write(1, 1, (0, 10)).lost(2, 2, 20).read(3, 1, (30, 40)).read(3, 2, (50, 60)).is_right();
}

#[test]
fn an_unknown_write_takes_effect_once() {
    let story = Story::new().lost(1, 1, 0).read(3, 1, (30, 40)).write(2, 2, (50, 60)).read(3, 1, (70, 80));
    assert_eq!(words(&story.is_wrong()), ["read: 1", "write 2", "read: 1"]);
}

#[test]
fn a_read_of_the_future_is_seen() {
    let violation = Story::new().read(2, 1, (0, 10)).write(1, 1, (20, 30)).is_wrong();
    assert_eq!(words(&violation), ["read: 1"]);
    assert_eq!(violation.context.len(), 1);
    assert!(violation.to_string().contains("not written yet; that came later: process 1, write 1"));
    // Not even an unknown write has an effect before its call.
    Story::new().read(2, 1, (0, 10)).lost(1, 1, 20).is_wrong();
}

#[test]
fn a_value_out_of_nowhere_is_seen() {
    let violation = Story::new().write(1, 1, (0, 10)).read(2, 9, (20, 30)).is_wrong();
    assert_eq!(words(&violation), ["read: 9"]);
    assert!(violation.to_string().ends_with("which nobody ever wrote"));
}

#[test]
fn a_write_done_twice_is_seen() {
    // A retry that was applied again, over the write of another.
    let story = Story::new()
        .write(1, 1, (0, 10))
        .read(3, 1, (12, 18))
        .write(2, 2, (20, 30))
        .read(3, 2, (32, 38))
        .read(3, 1, (40, 50));
    assert_eq!(story.is_wrong().culprit().invoked_ns, 40);
}

#[test]
fn two_processes_that_disagree_on_the_order_are_seen() {
    let story = Story::new()
        .write(1, 1, (0, 100))
        .write(2, 2, (0, 100))
        .read(3, 1, (10, 20))
        .read(3, 2, (30, 40))
        .read(4, 2, (10, 20))
        .read(4, 1, (30, 40));
    let violation = story.is_wrong();
    assert_eq!((violation.kind, violation.from_ns(), violation.until_ns()), (Kind::Order, 10, 40));
}

#[test]
fn equal_times_are_concurrent() {
    Story::new().write(1, 1, (0, 10)).read(2, None, (10, 20)).is_right();
    Story::new().write(1, 1, (0, 10)).read(2, None, (11, 20)).is_wrong();
}

#[test]
fn keys_know_nothing_of_each_other() {
    Story::new().write(1, 1, (0, 10)).read(2, None, (20, 30)).on("y").is_right();
    let violation = Story::new().read(2, 5, (20, 30)).on("y").write(1, 1, (0, 10)).is_wrong();
    assert_eq!(&*violation.key, "y");
}

#[test]
fn chains_of_unknown_swaps_are_followed() {
    let story = |last| {
        Story::new()
            .write(1, 1, (0, 10))
            .lost_cas(2, 1, 2, 20)
            .lost_cas(3, 2, 3, 20)
            .lost_cas(4, 3, 4, 20)
            .read(5, last, (30, 40))
    };
    story(4).is_right();
    story(1).is_right();
    story(5).is_wrong();
    // An unknown write that nobody reads may still be why a swap was refused.
    Story::new().write(1, 1, (0, 10)).lost(2, 7, 20).cas(3, 1, 2, false, (30, 40)).is_right();
}

#[test]
fn the_window_is_the_shortest_in_a_long_history() {
    let mut story = Story::new();
    for value in 1..200 {
        let from = value * 100;
        story = story.write(value % 3, value, (from, from + 10)).read(5, value, (from + 20, from + 30));
    }
    story = story.read(6, 150, (15_250, 15_260));
    let violation = story.is_wrong();
    assert_eq!(violation.culprit().process, 6);
    assert_eq!(violation.until_ns(), 15_260);
    assert!(violation.from_ns() >= 15_000, "{violation:?}");
    assert_eq!(violation.operations.len(), 3, "{violation:?}");
}

#[test]
fn a_search_that_costs_too_much_is_undecided() {
    // Many writes at once and a read that nothing explains: every order must be tried.
    let mut story = Story::new();
    for process in 0..24 {
        story = story.write(process, process % 2, (0, 1000));
    }
    for (turn, value) in [0, 1].repeat(13).into_iter().enumerate() {
        let from = 10 + turn as u64 * 20;
        story = story.read(100, value, (from, from + 10));
    }
    let verdict = check(&story.0, &Limits { configurations: 3 });
    assert!(matches!(&verdict, Verdict::Undecided(why) if why.contains("\"x\"")), "{verdict:?}");
}
