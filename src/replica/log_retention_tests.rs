//! What the log may forget, and when.

use crate::raft::{Entry, FollowerProgress, Mark, Payload, Persist};
use crate::replica::log_retention::LogRetention;
use crate::replica::options::Retention;
use crate::types::{EntryId, FollowerState, Index, NodeId};
use bytes::Bytes;

/// Entries of about 100 bytes each.
fn entries(term: u64, indexes: std::ops::RangeInclusive<u64>) -> Vec<Entry> {
    let payload = Payload::Command(Bytes::from(vec![0; 68]));
    indexes.map(|index| Entry { id: EntryId::new(term, index), payload: payload.clone() }).collect()
}

fn write(entries: Vec<Entry>) -> Persist {
    Persist { mark: Mark(1), hard_state: None, reset: None, entries }
}

fn retention(entries: u64, bytes: usize) -> LogRetention {
    LogRetention::new(Retention { entries, bytes }, EntryId::ZERO, &[])
}

fn follower(state: FollowerState, matched: u64) -> FollowerProgress {
    FollowerProgress {
        node: NodeId(2),
        alive: true,
        state,
        matched: Index(matched),
        next: Index(matched + 1),
    }
}

#[test]
fn the_number_of_entries_that_was_asked_for_stays() {
    let mut log = retention(10, 1 << 20);
    log.wrote(&write(entries(1, 1..=100)));
    assert_eq!(log.forget(Index(9), &[]), None, "fewer are covered than are kept");
    assert_eq!(log.forget(Index(50), &[]), Some(EntryId::new(1, 40)));
    assert_eq!(log.forget(Index(50), &[]), None, "that is not news");
    assert_eq!(log.forget(Index(100), &[]), Some(EntryId::new(1, 90)));
}

#[test]
fn fewer_stay_if_they_are_large() {
    let mut log = retention(1000, 2000);
    log.wrote(&write(entries(1, 1..=100)));
    assert_eq!(log.forget(Index(100), &[]), Some(EntryId::new(1, 80)), "20 entries are 2,000 bytes");
}

#[test]
fn only_what_the_durable_state_covers_may_go() {
    let mut log = retention(0, 0);
    log.wrote(&write(entries(1, 1..=100)));
    assert_eq!(log.forget(Index(0), &[]), None);
    assert_eq!(log.forget(Index(30), &[]), Some(EntryId::new(1, 30)));
}

#[test]
fn a_cut_is_never_at_an_entry_that_was_overwritten() {
    let mut log = retention(0, 0);
    log.wrote(&write(entries(1, 1..=100)));
    log.wrote(&write(entries(2, 50..=60)));
    assert_eq!(log.forget(Index(49), &[]), Some(EntryId::new(1, 49)));
    assert_eq!(log.forget(Index(60), &[]), Some(EntryId::new(2, 60)));
}

#[test]
fn a_snapshot_that_was_installed_is_where_the_log_begins() {
    let mut log = retention(0, 0);
    log.wrote(&write(entries(1, 1..=10)));
    let reset = Persist { reset: Some(EntryId::new(3, 90)), ..write(entries(3, 91..=95)) };
    log.wrote(&reset);
    assert_eq!(log.forget(Index(90), &[]), None, "it begins there already");
    assert_eq!(log.forget(Index(95), &[]), Some(EntryId::new(3, 95)));
}

#[test]
fn what_follows_a_snapshot_stays_until_its_receiver_has_caught_up() {
    let mut log = retention(0, 10_000);
    log.wrote(&write(entries(1, 1..=200)));
    log.snapshot_begins(NodeId(2), Index(20));
    let waiting = [follower(FollowerState::Snapshot, 5)];
    assert_eq!(log.forget(Index(200), &waiting), Some(EntryId::new(1, 20)));
    let caught_up = [follower(FollowerState::Replicate, 20)];
    assert_eq!(log.forget(Index(200), &caught_up), Some(EntryId::new(1, 200)));
}

#[test]
fn a_snapshot_that_failed_holds_nothing_back() {
    let mut log = retention(0, 10_000);
    log.wrote(&write(entries(1, 1..=200)));
    log.snapshot_begins(NodeId(2), Index(20));
    log.snapshot_failed(NodeId(2));
    let waiting = [follower(FollowerState::Snapshot, 5)];
    assert_eq!(log.forget(Index(200), &waiting), Some(EntryId::new(1, 200)));
}

#[test]
fn a_receiver_that_never_ends_is_not_waited_for_without_bound() {
    let mut log = retention(0, 1000);
    log.wrote(&write(entries(1, 1..=200)));
    log.snapshot_begins(NodeId(2), Index(20));
    let waiting = [follower(FollowerState::Snapshot, 5)];
    assert_eq!(log.forget(Index(200), &waiting), Some(EntryId::new(1, 200)), "20,000 bytes are too many");
}

#[test]
fn more_stays_for_a_follower_that_lags_but_not_forever() {
    let mut log = retention(10, 1 << 20);
    log.wrote(&write(entries(1, 1..=100)));
    let behind = [follower(FollowerState::Replicate, 75), follower(FollowerState::Replicate, 100)];
    assert_eq!(log.forget(Index(100), &behind), Some(EntryId::new(1, 75)), "it goes on with 76");
    log.wrote(&write(entries(1, 101..=104)));
    assert_eq!(log.forget(Index(104), &behind), None, "three times as much as without it");
    log.wrote(&write(entries(1, 105..=110)));
    assert_eq!(log.forget(Index(110), &behind), Some(EntryId::new(1, 80)), "but no more than that");
    assert_eq!(log.forget(Index(110), &behind), Some(EntryId::new(1, 100)), "it will get a snapshot");
}

/// A follower that lagged under the last leader is caught up from the log by the next one, too.
#[test]
fn a_new_leader_keeps_what_a_follower_may_need_that_has_not_answered_yet() {
    let mut log = retention(10, 1 << 20);
    log.wrote(&write(entries(1, 1..=30)));
    assert_eq!(log.forget(Index(30), &[]), Some(EntryId::new(1, 20)), "nobody is followed");
    log.wrote(&write(entries(2, 31..=45)));
    let unknown = [follower(FollowerState::Probe, 0), follower(FollowerState::Replicate, 45)];
    assert_eq!(log.forget(Index(45), &unknown), None, "it may have 20");
    let behind = [follower(FollowerState::Replicate, 24), follower(FollowerState::Replicate, 45)];
    assert_eq!(log.forget(Index(45), &behind), Some(EntryId::new(1, 24)), "it has 24");
}

#[test]
fn a_follower_that_never_answers_is_not_waited_for_without_bound() {
    let mut log = retention(10, 1 << 20);
    log.wrote(&write(entries(1, 1..=25)));
    let unknown = [follower(FollowerState::Probe, 0)];
    assert_eq!(log.forget(Index(25), &unknown), None);
    log.wrote(&write(entries(1, 26..=100)));
    assert_eq!(log.forget(Index(100), &unknown), Some(EntryId::new(1, 70)), "three times as much");
    assert_eq!(log.forget(Index(100), &unknown), Some(EntryId::new(1, 90)), "and then no more than usual");
}
