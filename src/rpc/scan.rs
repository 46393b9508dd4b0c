//! A scan: a whole range as a stream of chunks, at one revision.
//!
//! A task of its own pulls chunk after chunk from the one view, each in a
//! bounded step on a blocking thread, and waits for the client in between: no
//! thread is held and no more than a few chunks are in memory, however slowly
//! the client reads. The view is pinned meanwhile, so that a client that stops
//! reading altogether is cut off.

use crate::kv::View;
use crate::rpc::context::{Call, Context};
use crate::rpc::deadline::{Deadline, LONGEST};
use crate::rpc::error::Fault;
use crate::rpc::paging::Cursor;
use crate::rpc::proto::v1;
use crate::rpc::reason::Reason;
use crate::rpc::wire::read::{Scan, key_values};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

/// How many chunks wait for the client.
const CHUNKS_WAITING: usize = 2;

/// A client that takes no chunk for so long is cut off.
const READER_PATIENCE: Duration = Duration::from_secs(60);

type Chunk = Result<v1::ScanResponse, Status>;

/// Starts a scan. `permit` is given back when it ends.
pub fn start(
    context: Arc<Context>,
    call: &Call,
    view: Arc<View>,
    scan: Scan,
    permit: OwnedSemaphorePermit,
) -> ReceiverStream<Chunk> {
    let (chunks, stream) = mpsc::channel(CHUNKS_WAITING);
    // Only a deadline that the client chose ends a scan; it may take as long as it is read.
    let deadline = call.deadline.is_from_client().then_some(call.deadline);
    tokio::spawn(async move {
        let _permit = permit;
        let outcome = tokio::select! {
            outcome = run(&context, deadline, &view, scan, &chunks) => outcome,
            () = context.shut_down() => {
                Err(Fault::new(Reason::Stopping, "the node is stopping; begin the scan again on another one"))
            }
        };
        if let Err(fault) = outcome {
            // The queue may be full of chunks that nobody takes: then there is nobody to tell.
            let _ = chunks.try_send(Err(fault.into()));
        }
    });
    ReceiverStream::new(stream)
}

async fn run(
    context: &Context,
    deadline: Option<Deadline>,
    view: &Arc<View>,
    scan: Scan,
    chunks: &mpsc::Sender<Chunk>,
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
        if !give(chunks, response, deadline).await? || last {
            return Ok(());
        }
    }
}

/// False: the client has gone away.
async fn give(
    chunks: &mpsc::Sender<Chunk>,
    response: v1::ScanResponse,
    deadline: Option<Deadline>,
) -> Result<bool, Fault> {
    let patience = deadline.map_or(READER_PATIENCE, |deadline| deadline.left().min(READER_PATIENCE));
    match chunks.send_timeout(Ok(response), patience).await {
        Ok(()) => Ok(true),
        Err(mpsc::error::SendTimeoutError::Closed(_)) => Ok(false),
        Err(mpsc::error::SendTimeoutError::Timeout(_)) => match deadline {
            Some(deadline) if deadline.has_passed() => Err(Fault::deadline("the client read the scan")),
            _ => Err(Fault::new(Reason::SlowReader, "the scan was not read for a minute; use pages instead")),
        },
    }
}
