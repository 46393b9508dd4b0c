//! A scan: a whole range as a stream of chunks, at one revision.
//!
//! Chunk after chunk is pulled from the one view, each in a bounded step on a
//! blocking thread, with a wait for the client in between: no thread is held
//! and no more than a few chunks are in memory, however slowly the client
//! reads. The view is pinned meanwhile, so that a client that stops reading
//! altogether is cut off ([`answer_stream`]).

use crate::grpc::answer_stream::{self, AnswerStream, Answering, Reader};
use crate::grpc::context::Context;
use crate::grpc::deadline::{Deadline, LONGEST};
use crate::grpc::error::Fault;
use crate::grpc::paging::Cursor;
use crate::grpc::wire::read::{Scan, key_values};
use crate::kv::View;
use crate::proto::v1;
use std::sync::Arc;

/// Starts a scan.
pub fn start(
    context: Arc<Context>,
    answering: Answering,
    view: Arc<View>,
    scan: Scan,
) -> AnswerStream<v1::ScanResponse> {
    let deadline = answering.deadline;
    answer_stream::start(Arc::clone(&context), answering, move |reader| async move {
        run(&context, deadline, &view, scan, &reader).await
    })
}

async fn run(
    context: &Context,
    deadline: Option<Deadline>,
    view: &Arc<View>,
    scan: Scan,
    reader: &Reader<v1::ScanResponse>,
) -> Result<(), Fault> {
    let Scan { level, form, .. } = scan;
    let keys_only = scan.read.keys_only;
    let mut cursor = Cursor::new(scan, view, &context.limits);
    loop {
        let step_deadline = deadline.unwrap_or_else(|| Deadline::after(LONGEST));
        let step = {
            let view = Arc::clone(view);
            move || {
                let chunk = cursor.next_chunk(&view);
                (cursor, chunk)
            }
        };
        let (moved_on, chunk) = context.bounds.heavy.run(&step_deadline, step).await?;
        cursor = moved_on;
        let (kvs, last) = chunk?;
        let header = context.read_header(view, cursor.revision(), level);
        let kvs = key_values(kvs, form, keys_only);
        let response = v1::ScanResponse { header: Some(header), kvs, last };
        if !reader.give(response).await? || last {
            return Ok(());
        }
    }
}
