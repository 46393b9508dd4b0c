//! A scan: a whole range as a stream of chunks, at one revision.
//!
//! Chunk after chunk is read from one view, each in a bounded step on a blocking thread, with a wait for the
//! client in between: however slowly the client reads, no thread is held and only a few chunks are in memory. Those
//! of all scans together may take half of the room for answers; a scan that finds none waits before it reads.
//! The [`Cursor`] keeps its revision from being compacted meanwhile, so a client that stops reading
//! altogether is cut off ([`answer_stream`]).

use crate::api::answer_stream::{self, AnswerStream, Answering, PartSender};
use crate::api::call::Call;
use crate::api::context::Api;
use crate::api::deadline::{Deadline, LONGEST};
use crate::api::fault::Fault;
use crate::api::heavy::Waiting;
use crate::api::paging::{Cursor, ScanChunk, ScanRead};
use crate::api::read_level::ReadLevel;
use crate::api::served::Served;
use crate::budget::Charge;
use std::sync::Arc;
use std::time::Duration;

/// How often a scan looks for room.
const INTERVAL: Duration = Duration::from_millis(20);

/// A chunk, with the room that it takes until it is encoded.
pub type HeldChunk = (Served<ScanChunk>, Charge);

impl Api {
    pub async fn scan(
        self: &Arc<Self>,
        call: &Call,
        scan: ScanRead,
    ) -> Result<AnswerStream<HeldChunk>, Fault> {
        let permit = Arc::clone(&self.bounds.scans)
            .try_acquire_owned()
            .map_err(|_| Fault::overloaded("too many scans are running on this node"))?;
        let level = scan.level;
        let view = self.router.view(call, level).await?;
        let cursor = Cursor::new(scan, &view, &self.limits);
        let answering = Answering { what: "scan", deadline: call.own_deadline(), permit };
        let deadline = answering.deadline;
        let api = Arc::clone(self);
        Ok(answer_stream::start(Arc::clone(self), answering, move |parts| async move {
            run(&api, deadline, cursor?, level, &parts).await
        }))
    }
}

async fn run(
    api: &Api,
    deadline: Option<Deadline>,
    mut cursor: Cursor,
    level: ReadLevel,
    parts: &PartSender<HeldChunk>,
) -> Result<(), Fault> {
    loop {
        let step_deadline = deadline.unwrap_or_else(|| Deadline::after(LONGEST));
        let mut room = room(api, &step_deadline).await?;
        let step = move |caller: &Waiting| {
            let chunk = cursor.next_chunk(caller);
            (cursor, chunk)
        };
        let (moved_on, chunk) = api.bounds.heavy.run(&step_deadline, step).await?;
        cursor = moved_on;
        let (kvs, last) = chunk?;
        room.resize(kvs.iter().map(|kv| kv.key.len() + kv.value.len()).sum());
        let origin = api.origin_of(cursor.view(), cursor.revision(), Some(level));
        if !parts.send((Served { origin, value: ScanChunk { kvs, last } }, room)).await? || last {
            return Ok(());
        }
    }
}

/// Waits until there is room for the largest chunk.
async fn room(api: &Api, deadline: &Deadline) -> Result<Charge, Fault> {
    let answers = &api.bounds.answers;
    let chunk =
        usize::try_from(api.limits.scan_chunk_bytes).unwrap_or(usize::MAX).max(api.limits.request_bytes);
    let most = (answers.limit() / 2).max(chunk);
    loop {
        if let Some(room) = answers.charge_within(chunk, most) {
            return Ok(room);
        }
        let wait = deadline.left().min(INTERVAL);
        if wait.is_zero() {
            return Err(Fault::deadline("the scan waited for others to read their answers"));
        }
        tokio::time::sleep(wait).await;
    }
}
