//! The encoding of a group: the jobs of one write. Pure functions.

use crate::raft::{Entry, HardState, Mark, Persist};
use crate::storage::codec::{self, Malformed};
use crate::storage::log::record::{get_entry, put_entry};
use crate::types::{Index, NodeId, Term};
use bytes::{Buf as _, BufMut as _, Bytes};

const HARD_STATE: u8 = 1;
const RESET: u8 = 2;
const ENTRIES: u8 = 4;

/// Appends the encoded jobs.
pub(crate) fn encode(jobs: &[Persist], out: &mut Vec<u8>) {
    for job in jobs {
        put_job(job, out);
    }
}

fn put_job(job: &Persist, out: &mut Vec<u8>) {
    let flag = |is_there: bool, flag: u8| if is_there { flag } else { 0 };
    out.put_u8(
        flag(job.hard_state.is_some(), HARD_STATE)
            | flag(job.reset.is_some(), RESET)
            | flag(!job.entries.is_empty(), ENTRIES),
    );
    if let Some(HardState { term, vote }) = job.hard_state {
        out.put_u64(term.get());
        out.put_u8(u8::from(vote.is_some()));
        out.put_u64(vote.unwrap_or_default().get());
    }
    if let Some(base) = job.reset {
        codec::put_entry_id(out, base);
    }
    if let Some(first) = job.entries.first() {
        out.put_u32(u32::try_from(job.entries.len()).expect("a group is limited in bytes, so in entries"));
        out.put_u64(first.id.index.get());
        for entry in &job.entries {
            put_entry(out, entry);
        }
    }
}

/// Decodes jobs. The entries share the bytes.
pub(crate) fn decode(mut bytes: Bytes) -> Result<Vec<Persist>, Malformed> {
    let mut jobs = Vec::new();
    while bytes.has_remaining() {
        jobs.push(get_job(&mut bytes)?);
    }
    Ok(jobs)
}

fn get_job(bytes: &mut Bytes) -> Result<Persist, Malformed> {
    let flags = bytes.try_get_u8()?;
    if flags & !(HARD_STATE | RESET | ENTRIES) != 0 {
        return Err(Malformed(format!("a job has the unknown flags {flags:#x}")));
    }
    // A mark has a meaning only in the process that made it.
    let mut job = Persist { mark: Mark::default(), hard_state: None, reset: None, entries: Vec::new() };
    if flags & HARD_STATE != 0 {
        let term = Term(bytes.try_get_u64()?);
        let voted = bytes.try_get_u8()? != 0;
        let vote = NodeId(bytes.try_get_u64()?);
        job.hard_state = Some(HardState { term, vote: voted.then_some(vote) });
    }
    if flags & RESET != 0 {
        job.reset = Some(codec::get_entry_id(bytes)?);
    }
    if flags & ENTRIES != 0 {
        job.entries = get_entries(bytes)?;
    }
    Ok(job)
}

fn get_entries(bytes: &mut Bytes) -> Result<Vec<Entry>, Malformed> {
    let count = bytes.try_get_u32()?;
    let first = bytes.try_get_u64()?;
    let mut entries = Vec::new();
    for index in (first..).take(count as usize) {
        entries.push(get_entry(bytes, Index(index))?);
    }
    Ok(entries)
}
