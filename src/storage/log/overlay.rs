//! The content of a log at a start: the store, with the journal on top. Pure.
//!
//! The groups of the journal are folded into one job first. Replayed one by one they would lead through
//! earlier states of the log, and the store may be ahead of some of them.

use crate::raft::{Entry, HardState, Mark, Persist};
use crate::storage::codec::Malformed;
use crate::storage::log::load::{Loaded, Tail};
use crate::storage::log::log_store::RestoredLog;
use crate::types::{EntryId, Index};

/// Folds jobs into one that has the same effect.
pub(crate) fn fold(jobs: impl IntoIterator<Item = Persist>) -> Result<Persist, Malformed> {
    let mut all = Persist { mark: Mark::RESTORED, hard_state: None, reset: None, entries: Vec::new() };
    for job in jobs {
        all.hard_state = job.hard_state.or(all.hard_state);
        if let Some(base) = job.reset {
            all.reset = Some(base);
            all.entries.clear();
        }
        extend(&mut all, job.entries)?;
    }
    Ok(all)
}

fn extend(all: &mut Persist, entries: Vec<Entry>) -> Result<(), Malformed> {
    let Some(first) = entries.first().map(|entry| entry.id.index) else { return Ok(()) };
    let begins = all.entries.first().map(|entry| entry.id.index).or(all.reset.map(|base| base.index.next()));
    let end = begins.map(|begins| Index(begins.get() + all.entries.len() as u64));
    if end.is_some_and(|end| first > end)
        || (all.reset.is_some() && begins.is_some_and(|begins| first < begins))
    {
        return Err(Malformed(format!("entries from {first} on do not follow what comes before them")));
    }
    // Not a pass over all: there may be as many jobs as entries.
    all.entries.truncate(all.entries.partition_point(|entry| entry.id.index < first));
    all.entries.extend(entries);
    Ok(())
}

/// Whether the journal goes on below the tail that was loaded of the store, so that more of the store is needed.
pub(crate) fn begins_below(tail: &Tail, journal: &Persist) -> bool {
    let first = journal.entries.first().map(|entry| entry.id.index);
    journal.reset.is_none() && first.is_some_and(|first| first <= tail.base.index)
}

/// Joins store and journal into one log. Takes the store's entries.
pub(crate) fn join(store: &mut Loaded, journal: &Persist) -> Result<RestoredLog, Malformed> {
    let mut log = RestoredLog {
        hard_state: journal.hard_state.unwrap_or(store.hard_state),
        base: journal.reset.unwrap_or(store.base.id),
        tail_base: journal.reset.unwrap_or(store.tail.base),
        stored: Index(0),
        entries: if journal.reset.is_some() { Vec::new() } else { std::mem::take(&mut store.tail.entries) },
    };
    log.stored = log.last().index;
    match journal.entries.first() {
        Some(first) => {
            log.entries.truncate(position(&log, first.id.index));
            check_joint(&log, first.id)?;
            log.stored = log.last().index;
            let base = log.base.index;
            log.entries.extend(journal.entries.iter().filter(|entry| entry.id.index > base).cloned());
        }
        // Nothing after the mark could have made the log shorter.
        None if journal.reset.is_none() && log.last() != store.mark.last => {
            return Err(Malformed(format!(
                "it ends at {}, but once ended at {}: acknowledged entries are lost",
                log.last(),
                store.mark.last
            )));
        }
        None => {}
    }
    check_hard_state(log.hard_state, log.last())?;
    Ok(log)
}

/// How many of the entries are below an index.
fn position(log: &RestoredLog, index: Index) -> usize {
    log.entries.partition_point(|entry| entry.id.index < index)
}

fn check_joint(log: &RestoredLog, first: EntryId) -> Result<(), Malformed> {
    let end = log.last();
    if first.index > end.index.next() {
        return Err(Malformed(format!(
            "it ends at {end}, but the journal goes on at {first}: acknowledged entries are lost"
        )));
    }
    if first.index > log.base.index && first.term < end.term {
        return Err(Malformed(format!("the term falls from {end} to {first}")));
    }
    Ok(())
}

fn check_hard_state(hard_state: HardState, last: EntryId) -> Result<(), Malformed> {
    if hard_state.term < last.term {
        return Err(Malformed(format!(
            "it holds term {}, but the log ends at {last}: a newer vote is lost",
            hard_state.term
        )));
    }
    Ok(())
}
