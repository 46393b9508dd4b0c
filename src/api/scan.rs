//! A scan: a whole range as a stream of chunks, at one revision.
//!
//! Chunk after chunk is read from one view, each in a bounded step on a blocking thread, with a wait for the
//! client in between: however slowly the client reads, no thread is held and only a few chunks are in memory.
//! The [`Cursor`] keeps its revision from being compacted meanwhile, so a client that stops reading
//! altogether is cut off ([`answer_stream`]).

use crate::api::answer_stream::{self, AnswerStream, Answering, PartSender};
use crate::api::call::Call;
use crate::api::context::Api;
use crate::api::deadline::{Deadline, LONGEST};
use crate::api::fault::Fault;
use crate::api::paging::{Cursor, ScanChunk, ScanRead};
use crate::api::read_level::ReadLevel;
use crate::api::served::Served;
use std::sync::Arc;

impl Api {
    pub async fn scan(
        self: &Arc<Self>,
        call: &Call,
        scan: ScanRead,
    ) -> Result<AnswerStream<Served<ScanChunk>>, Fault> {
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
    parts: &PartSender<Served<ScanChunk>>,
) -> Result<(), Fault> {
    loop {
        let step_deadline = deadline.unwrap_or_else(|| Deadline::after(LONGEST));
        let step = move || {
            let chunk = cursor.next_chunk();
            (cursor, chunk)
        };
        let (moved_on, chunk) = api.bounds.heavy.run(&step_deadline, step).await?;
        cursor = moved_on;
        let (kvs, last) = chunk?;
        let origin = api.origin_of(cursor.view(), cursor.revision(), Some(level));
        let part = Served { origin, value: ScanChunk { kvs, last } };
        if !parts.send(part, usize::try_from(api.limits.scan_chunk_bytes).unwrap_or(usize::MAX)).await?
            || last
        {
            return Ok(());
        }
    }
}
