//! Revisions, versions and the past.

use crate::kv::support::{Store, at, bytes, delete, everything, put, read, show};
use kontiki::kv::{KeyRange, Put, ReadError, Refusal};
use kontiki::machine::{Command, CommandResult};
use kontiki::types::Revision;

#[test]
fn the_empty_store_is_at_revision_one_and_the_first_write_makes_two() {
    let mut store = Store::new();
    assert_eq!(store.commit().revision(), Revision(1));
    assert_eq!(store.apply(&Command::Put(put("k", "v"))).revision, Revision(2));
    let nothing = store.apply(&Command::Delete(delete(KeyRange::key("absent"))));
    assert_eq!(nothing.revision, Revision(2), "deleting nothing is not a change");
}

#[test]
fn a_delete_ends_the_count_of_versions() {
    let mut store = Store::new();
    store.put("k", "1");
    store.put("k", "2");
    store.delete(KeyRange::key("k"));
    store.put("k", "3");
    let view = store.commit();
    let versions = (2..=5).map(|revision| {
        let kvs = view.range(&at(revision, everything())).unwrap().kvs;
        kvs.first().map(|kv| (kv.create_revision.get(), kv.mod_revision.get(), kv.version))
    });
    assert_eq!(versions.collect::<Vec<_>>(), [Some((2, 2, 1)), Some((2, 3, 2)), None, Some((5, 5, 1))]);
}

#[test]
fn a_delete_of_many_keys_is_one_revision() {
    let mut store = Store::new();
    for key in ["a1", "a2", "b"] {
        store.put(key, key);
    }
    let mut wipe = delete(KeyRange::prefix("a"));
    wipe.return_previous = true;
    let reply = store.apply(&Command::Delete(wipe));
    assert_eq!(reply.revision, Revision(5));
    let CommandResult::Delete(result) = reply.result else { panic!("{reply:?}") };
    assert_eq!((result.deleted, show(&result.previous)), (2, vec!["a1=a1".into(), "a2=a2".into()]));
    assert_eq!(show(&store.commit().range(&everything()).unwrap().kvs), ["b=b"]);
}

#[test]
fn a_view_does_not_change() {
    let mut store = Store::new();
    store.put("k", "old");
    let view = store.commit();
    store.put("k", "new");
    assert_eq!(show(&store.machine.view().range(&everything()).unwrap().kvs), ["k=old"], "not committed yet");
    store.commit();
    assert_eq!(show(&view.range(&everything()).unwrap().kvs), ["k=old"]);
    assert_eq!(show(&store.machine.view().range(&everything()).unwrap().kvs), ["k=new"]);
}

#[test]
fn the_future_cannot_be_read() {
    let mut store = Store::new();
    let future = Refusal::FutureRevision { requested: Revision(2), current: Revision(1) };
    assert_eq!(store.commit().range(&at(2, everything())), Err(ReadError::Refused(future)));
}

/// What was handed in as part of a large buffer is stored as a copy.
#[test]
fn a_small_value_pins_no_large_buffer() {
    let mut store = Store::new();
    let form = Command::Put(put("key", "value")).encode();
    let buffer = bytes([vec![0; 1 << 20], form.to_vec()].concat());
    let id = store.next_id();
    store.machine.apply(id, &buffer.slice(1 << 20..)).unwrap();
    store.machine.apply_members(store.next_id(), buffer.slice(..10));
    let memory = buffer.as_ptr_range();
    let view = store.commit();
    let kv = view.range(&everything()).unwrap().kvs.remove(0);
    for stored in [&kv.key, &kv.value, &view.members()] {
        assert!(!memory.contains(&stored.as_ptr()));
    }
    assert!(buffer.is_unique());
}

/// A hot key: neither a put nor a read of the past may walk its history. No
/// time is measured; were it quadratic, this test would take hours.
#[test]
fn a_key_of_a_hundred_thousand_versions() {
    const PUTS: u64 = 100_000;
    let mut store = Store::new();
    let command =
        |n: u64| Command::Put(Put { return_previous: n.is_multiple_of(1000), ..put("hot", &n.to_string()) });
    for n in 1..=PUTS {
        store.apply(&command(n));
        if n % 100 == 0 {
            store.commit();
        }
    }
    let view = store.machine.view();
    for n in (1..=PUTS).step_by(997) {
        let kvs = view.range(&at(n + 1, read(KeyRange::key("hot")))).unwrap().kvs;
        assert_eq!((show(&kvs), kvs[0].version), (vec![format!("hot={n}")], n));
    }
    store.done(crate::kv::support::compact(PUTS + 1));
    store.commit();
    let mut store = Store::open(store.table);
    store.collect(1000);
    assert_eq!(crate::kv::support::records(&*store.table).len(), 1, "the newest version");
    assert_eq!(store.machine.view().range(&everything()).unwrap().kvs[0].version, PUTS);
}

#[test]
#[should_panic(expected = "without gaps: 2@1 after 0@0")]
fn a_gap_in_the_log_is_a_bug() {
    let mut store = Store::new();
    store.machine.apply_noop(kontiki::types::EntryId::new(1, 2));
}
