//! Joins the restored log and state, with as much of the log as must be in memory.

use crate::machine::Machine;
use crate::raft::{Entry, Options, Restored};
use crate::replica::error::StartError;
use crate::storage::{LogReader, RestoredLog, decode_members};
use crate::types::EntryId;

/// Joins them, or says why they contradict each other.
pub(crate) fn join(
    machine: &Machine,
    mut log: RestoredLog,
    installed: Option<EntryId>,
    reader: &dyn LogReader,
    options: &Options,
) -> Result<Restored, StartError> {
    let applied = machine.applied();
    if applied.index < log.base.index {
        // The log is only compacted below what the state holds durably.
        let begin = log.base;
        return Err(StartError::Damaged(format!(
            "the log begins after {begin}, but the state ends at {applied}"
        )));
    }
    load_back_to(applied, &mut log, reader, options)?;
    let holds = applied == log.tail_base || log.entries.iter().any(|entry| entry.id == applied);
    if !holds && installed != Some(applied) {
        // Entries are applied only when they are durable here. Without a snapshot, the state can be ahead of
        // the log only if the log has lost something promised.
        return Err(StartError::Damaged(format!(
            "the state includes entry {applied}, but the log ends at {}: its end is lost",
            log.last()
        )));
    }
    let members =
        decode_members(&machine.members()).map_err(|error| StartError::Damaged(error.to_string()))?;
    Ok(Restored {
        hard_state: log.hard_state,
        compacted: log.base.index,
        base: log.tail_base,
        entries: log.entries,
        applied,
        members,
    })
}

/// Unapplied entries are handed out from memory, so the missing ones are read.
fn load_back_to(
    applied: EntryId,
    log: &mut RestoredLog,
    reader: &dyn LogReader,
    options: &Options,
) -> Result<(), StartError> {
    let mut missing: Vec<Entry> = Vec::new();
    let mut base = None;
    let mut from = applied.index.next();
    while from <= log.tail_base.index {
        let Some(slice) = reader.read(from, options.append_bytes_max)? else {
            return Err(StartError::Damaged(format!(
                "the log has lost its entry {from}, which is not applied"
            )));
        };
        base.get_or_insert(slice.prev);
        missing.extend(slice.entries.into_iter().filter(|entry| entry.id.index <= log.tail_base.index));
        from = missing.last().map_or(from, |entry| entry.id.index.next());
    }
    if let Some(base) = base {
        missing.append(&mut log.entries);
        (log.tail_base, log.entries) = (base, missing);
    }
    Ok(())
}
