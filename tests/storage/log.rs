//! The log store against a model: a plain vector that keeps everything.

use crate::storage::snapshot::members;
use crate::storage::{append, entries, entry, job, names, open, options, store_all};
use kontiki::raft::{Entry, HardState, Mark, Payload, Persist};
use kontiki::storage::journal::JournalSettings;
use kontiki::storage::{self, LogSettings, RestoredLog, Storage};
use kontiki::types::{EntryId, Index, NodeId, Term};
use proptest::collection::vec;
use proptest::prelude::*;
use std::path::Path;

#[test]
fn a_new_log_is_empty() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(open(dir.path()).restored, RestoredLog::default());
}

#[test]
fn what_was_written_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let written = vec![
        Entry { id: EntryId::new(1, 1), payload: Payload::Members(members()) },
        Entry { id: EntryId::new(2, 2), payload: Payload::Noop },
        entry(2, 3, ""),
        entry(5, 4, vec![0xff; 100]),
    ];
    let hard_state = HardState { term: Term(6), vote: Some(NodeId(3)) };
    open(dir.path()).log.write(&[job(Some(hard_state), written.clone())]).unwrap();
    let restored = open(dir.path()).restored;
    assert_eq!(
        restored,
        RestoredLog { hard_state, stored: Index(0), entries: written, ..RestoredLog::default() }
    );
    assert_eq!(restored.last(), EntryId::new(5, 4));
}

#[test]
fn large_entries_are_cut_up_and_make_no_blobs() {
    let dir = tempfile::tempdir().unwrap();
    let mut storage = open(dir.path());
    let large: Vec<Entry> = (1..=40).map(|index| entry(1, index, vec![index as u8; 1 << 19])).collect();
    let mut written = large[..20].to_vec();
    storage.log.write(&[append(1, []), job(None, written.clone())]).unwrap();
    for entry in &large[20..] {
        storage.log.write(&[job(None, vec![entry.clone()])]).unwrap();
        written.push(entry.clone());
    }
    storage.log.write(&[job(None, vec![entry(1, 30, vec![3; 3 << 20])])]).unwrap();
    written.truncate(29);
    written.push(entry(1, 30, vec![3; 3 << 20]));
    drop(storage);
    assert_eq!(names(&dir.path().join("raft/blobs")), Vec::<String>::new());
    assert!(open(dir.path()).restored.entries == written);
}

#[test]
fn compaction_frees_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let mut storage = open(dir.path());
    let mut index = 0;
    for _ in 0..300 {
        let batch: Vec<Entry> = (index + 1..=index + 64).map(|at| entry(1, at, vec![7; 8 << 10])).collect();
        index += 64;
        storage.log.write(&[append(1, []), job(None, batch)]).unwrap();
        storage.log.compact(EntryId::new(1, index - 20)).unwrap();
        store_all(&mut storage);
    }
    // 150 MiB went through it, more in sled's own form.
    let size = storage.storer.size_on_disk().unwrap();
    assert!(size < 24 << 20, "{size} bytes");
    drop(storage);
    let restored = open(dir.path()).restored;
    assert_eq!((restored.base, restored.entries.len()), (EntryId::new(1, index - 20), 20));
}

#[test]
fn what_is_compacted_in_time_never_gets_into_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path());
    options.log.backlog_bytes = 4 << 20;
    let mut storage = storage::open(&options).unwrap();
    let hard_state = HardState { term: Term(1), vote: Some(NodeId(3)) };
    storage.log.write(&[job(Some(hard_state), Vec::new())]).unwrap();
    let mut index = 0;
    for _ in 0..300 {
        let batch: Vec<Entry> = (index + 1..=index + 64).map(|at| entry(1, at, vec![7; 4 << 10])).collect();
        index += 64;
        storage.log.write(&[job(None, batch)]).unwrap();
        storage.log.compact(EntryId::new(1, index.saturating_sub(200).max(1))).unwrap();
        store_all(&mut storage);
    }
    // 75 MiB were written. The journal keeps the last 200 entries, and a segment more until the next one says so.
    let segments = names(&dir.path().join("journal")).len() - 1;
    assert!(segments <= 4, "{segments} segments");
    assert_eq!(storage.log.reader().read(Index(index), 1).unwrap(), None);
    drop(storage);
    let restored = storage::open(&options).unwrap().restored;
    assert_eq!((restored.hard_state, restored.last()), (hard_state, EntryId::new(1, index)));
    assert_eq!(restored.stored, restored.base.index, "nothing of it is in the store");
    assert!((200..1000).contains(&restored.entries.len()), "{} entries", restored.entries.len());
}

#[test]
fn a_journal_that_is_full_of_what_was_compacted_is_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path());
    let journal = JournalSettings { segment_bytes: 64 << 10, segments_min: 2, segments_max: 2 };
    options.log = LogSettings { journal, backlog_bytes: usize::MAX, ..options.log };
    let mut storage = storage::open(&options).unwrap();
    for index in 1..=300 {
        // The storer's thread is slow: the writer has to make room by itself.
        storage.log.write(&[append(1, []), job(None, vec![entry(1, index, vec![7; 2000])])]).unwrap();
        storage.log.compact(EntryId::new(1, index)).unwrap();
    }
    drop(storage);
    assert_eq!(storage::open(&options).unwrap().restored.last(), EntryId::new(1, 300));
}

#[test]
fn only_the_end_of_a_long_log_is_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let mut storage = open(dir.path());
    let written: Vec<Entry> = (1..=1000).map(|index| entry(1, index, vec![7; 1000])).collect();
    storage.log.write(&[append(1, []), job(None, written.clone())]).unwrap();
    store_all(&mut storage);
    drop(storage);

    let mut few = options(dir.path());
    few.log.tail_bytes = 100 << 10;
    let mut storage = storage::open(&few).unwrap();
    let (tail_base, loaded) = (storage.restored.tail_base, &storage.restored.entries);
    assert_eq!(storage.restored.base, EntryId::ZERO);
    assert!((90..=110).contains(&loaded.len()), "{} entries", loaded.len());
    assert_eq!((tail_base, &loaded[..]), (written[999 - loaded.len()].id, &written[1000 - loaded.len()..]));
    let rest = storage.log.reader().read(Index(1), usize::MAX).unwrap().unwrap();
    assert_eq!(rest.entries[0], written[0]);

    // A leader that replaces entries below them: what comes before is loaded then.
    storage.log.write(&[append(2, [500])]).unwrap();
    drop(storage);
    let restored = storage::open(&few).unwrap().restored;
    assert_eq!((restored.tail_base, restored.entries.len()), (EntryId::ZERO, 500));
    assert_eq!(restored.last(), EntryId::new(2, 500));
}

#[test]
#[should_panic(expected = "without gaps")]
fn a_gap_is_a_bug_of_the_caller() {
    let dir = tempfile::tempdir().unwrap();
    let _ = open(dir.path()).log.write(&[append(1, [2])]);
}

/// What may happen to a log. Numbers choose among what is possible then.
#[derive(Clone, Debug)]
enum Step {
    /// Jobs of one call: how many entries are replaced, how many written, how
    /// large, whether the term rises, and whether it is a reset instead.
    Write(Vec<(u8, u8, u16, bool, bool)>),
    /// How much to forget.
    Compact(u8),
    /// What waits goes into the store.
    Store,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![8 => 0..300_u16, 2 => 20_000..40_000_u16];
    let one = (0..30_u8, 0..20_u8, size, proptest::bool::weighted(0.3), proptest::bool::weighted(0.05));
    prop_oneof![
        10 => vec(one, 1..4).prop_map(Step::Write),
        3 => any::<u8>().prop_map(Step::Compact),
        2 => Just(Step::Store),
        2 => Just(Step::Reopen),
    ]
}

/// The log as it should be.
#[derive(Default)]
struct Model(RestoredLog);

impl Model {
    fn job(&mut self, (replaced, written, size, rises, reset): (u8, u8, u16, bool, bool)) -> Persist {
        let log = &mut self.0;
        let mut job = job(None, Vec::new());
        if rises || reset {
            log.hard_state =
                HardState { term: log.hard_state.term.next(), vote: Some(NodeId(u64::from(replaced))) };
            job.hard_state = Some(log.hard_state);
        }
        let term = log.hard_state.term.get();
        if reset {
            log.base = EntryId::new(term, log.last().index.get() + u64::from(replaced));
            log.tail_base = log.base;
            log.entries.clear();
            job.reset = Some(log.base);
        }
        // The core never shortens a log without writing something in its place.
        if rises && !reset && written > 0 {
            log.entries.truncate(log.entries.len().saturating_sub(usize::from(replaced)));
        }
        let first = log.last().index.get() + 1;
        job.entries = (first..first + u64::from(written))
            .map(|at| entry(term, at, vec![at as u8; size.into()]))
            .collect();
        log.entries.extend(job.entries.clone());
        log.stored = log.last().index;
        job
    }

    fn compact(&mut self, part: u8) -> Option<EntryId> {
        let count = self.0.entries.len() * usize::from(part) / 255;
        let through = self.0.entries.drain(..count).next_back()?.id;
        (self.0.base, self.0.tail_base) = (through, through);
        Some(through)
    }

    /// What was forgotten may come back, as long as nothing has moved that into the store.
    fn check(&self, restored: &RestoredLog) {
        assert_eq!((restored.hard_state, restored.last()), (self.0.hard_state, self.0.last()));
        assert!(restored.base.index <= self.0.base.index);
        assert!(restored.entries.ends_with(&self.0.entries), "{restored:?}\nshould end like\n{:?}", self.0);
    }
}

fn check(dir: &Path, steps: Vec<Step>, backlog_bytes: usize) {
    let mut model = Model::default();
    let open = |dir: &Path| {
        let mut options = options(dir);
        options.log.backlog_bytes = backlog_bytes;
        storage::open(&options).unwrap()
    };
    let mut storage: Storage = open(dir);
    for step in steps {
        match step {
            Step::Write(jobs) => {
                let jobs: Vec<Persist> = jobs.into_iter().map(|one| model.job(one)).collect();
                storage.log.write(&jobs).unwrap();
            }
            Step::Compact(part) => {
                if let Some(through) = model.compact(part) {
                    storage.log.compact(through).unwrap();
                }
            }
            Step::Store => store_all(&mut storage),
            Step::Reopen => {
                drop(storage);
                storage = open(dir);
                model.check(&storage.restored);
                model.0 = storage.restored.clone();
            }
        }
    }
    store_all(&mut storage);
    drop(storage);
    let restored = open(dir).restored;
    assert!(
        restored == RestoredLog { stored: restored.stored, ..model.0.clone() },
        "{restored:?}\nshould be\n{:?}",
        model.0
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn a_log_is_what_was_written_to_it(steps in vec(step(), 1..40)) {
        check(tempfile::tempdir().unwrap().path(), steps, 0);
    }

    #[test]
    fn a_log_is_what_was_written_to_it_though_most_is_never_stored(
        steps in vec(step(), 1..40),
        backlog_bytes in prop_oneof![Just(50_000_usize), Just(500_000)],
    ) {
        check(tempfile::tempdir().unwrap().path(), steps, backlog_bytes);
    }
}

#[test]
fn jobs_of_one_call_follow_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let mut storage = open(dir.path());
    let reset = Persist {
        mark: Mark(2),
        hard_state: None,
        reset: Some(EntryId::new(2, 10)),
        entries: entries(2, 11..=12),
    };
    storage.log.write(&[append(1, 1..=4), append(2, 3..=5), reset, append(3, 12..=13)]).unwrap();
    drop(storage);
    let restored = open(dir.path()).restored;
    assert_eq!(restored.base, EntryId::new(2, 10));
    assert_eq!(restored.entries, [entries(2, [11]), entries(3, 12..=13)].concat());
    assert_eq!(restored.hard_state.term, Term(3));
}
