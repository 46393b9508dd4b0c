//! Receives a snapshot from the leader.
//!
//! Nothing is trusted: chunks must follow each other without gaps, each must match its checksum, and the
//! trailer must match the whole. Anything else, and any stall, ends the call, and dropping the
//! [sink](SnapshotSink) discards what was received. So is a stream whose sender goes away: tonic then drops
//! this future.

use crate::peers::caller::Caller;
use crate::peers::events::SnapshotSink;
use crate::peers::links::Links;
use crate::peers::refusal;
use crate::peers::refusal::{PeerRefusal, RefusalKind};
use crate::peers::snapshot_sender::CHUNK_BYTES;
use crate::peers::wire::malformed::Malformed;
use crate::peers::wire::raft as wire;
use crate::proto::raft as pb;
use crate::proto::raft::install_snapshot_request::Message as Piece;
use crate::replica::InstallError;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use std::collections::HashMap;
use std::time::Duration;
use tonic::{Code, Status};
use xxhash_rust::xxh3::Xxh3;

/// Receives one snapshot stream and returns when it is installed.
pub async fn serve(
    links: &Links,
    caller: &Caller,
    mut pieces: impl Stream<Item = Result<pb::InstallSnapshotRequest, Status>> + Unpin,
) -> Result<pb::InstallSnapshotResponse, Status> {
    let events = links.events()?;
    let idle = links.settings().snapshot_idle;
    let Some(Piece::Header(mut header)) = next(&mut pieces, idle).await? else {
        return Err(Malformed("a snapshot stream that does not begin with a header".into()).into());
    };
    let peer = caller.admit(links, header.sender.take()).await?;
    let (term, meta) = wire::checked_snapshot_header(header)?;
    let (node, last) = (peer.node, meta.last);
    tracing::info!(%node, %last, "receiving a snapshot");
    let sink = events.receive_snapshot(node, term, meta).await.map_err(|error| status_of(&error))?;
    let taken = tokio::select! {
        taken = take_in(&mut pieces, sink, idle) => taken,
        () = links.stopped() => Err(PeerRefusal::new(RefusalKind::NotReady, "this node is stopping".into()).into()),
    };
    let sink = taken.inspect_err(|status| {
        tracing::warn!(%node, %last, "the snapshot was discarded: {}", status.message());
    })?;
    // On a separate task: from now on it is installed whether or not the sender still waits for the answer.
    let installed = tokio::spawn(sink.finish()).await;
    let (term, applied) = installed
        .map_err(|_| Status::internal("the installation of the snapshot broke off"))?
        .map_err(|error| status_of(&error))?;
    tracing::info!(%node, %applied, "installed the snapshot");
    Ok(pb::InstallSnapshotResponse { term: term.get(), applied_index: applied.get() })
}

/// Pushes all chunks into the sink, and returns it when the trailer matches.
async fn take_in(
    pieces: &mut (impl Stream<Item = Result<pb::InstallSnapshotRequest, Status>> + Unpin),
    mut sink: Box<dyn SnapshotSink>,
    idle: Duration,
) -> Result<Box<dyn SnapshotSink>, Status> {
    let mut check = FileCheck::default();
    loop {
        match next(pieces, idle).await? {
            Some(Piece::Chunk(chunk)) => {
                let data = check.chunk(chunk)?;
                sink.push(data).await.map_err(|error| status_of(&error))?;
            }
            Some(Piece::Trailer(trailer)) => {
                check.trailer(&trailer)?;
                return Ok(sink);
            }
            Some(Piece::Header(_)) => return Err(Malformed("a second header in a snapshot".into()).into()),
            None => {
                let text = format!("the snapshot breaks off at byte {} without a trailer", check.length);
                return Err(Status::data_loss(text));
            }
        }
    }
}

async fn next(
    pieces: &mut (impl Stream<Item = Result<pb::InstallSnapshotRequest, Status>> + Unpin),
    idle: Duration,
) -> Result<Option<Piece>, Status> {
    let Ok(request) = tokio::time::timeout(idle, pieces.next()).await else {
        return Err(Status::deadline_exceeded(format!("the snapshot stream stood still for {idle:?}")));
    };
    let Some(request) = request else { return Ok(None) };
    match request?.message {
        Some(piece) => Ok(Some(piece)),
        None => Err(Malformed("a snapshot stream's message is empty or of an unknown kind".into()).into()),
    }
}

/// Checks the bytes of a snapshot file as they arrive.
#[derive(Default)]
struct FileCheck {
    length: u64,
    hash: Xxh3,
}

impl FileCheck {
    /// Checks and returns the next bytes.
    fn chunk(&mut self, chunk: pb::SnapshotChunk) -> Result<Bytes, Status> {
        let pb::SnapshotChunk { offset, data, crc32c } = chunk;
        if offset != self.length {
            let text = format!("a snapshot chunk at byte {offset} where {} is next", self.length);
            return Err(Status::data_loss(text));
        }
        if data.is_empty() || data.len() > CHUNK_BYTES {
            let text = format!("a snapshot chunk of {} bytes, limit {CHUNK_BYTES}", data.len());
            return Err(Malformed(text).into());
        }
        let actual = crc32c::crc32c(&data);
        if actual != crc32c {
            let text = format!(
                "the snapshot chunk at byte {offset} is damaged: CRC32C {actual:08x}, sent as {crc32c:08x}"
            );
            return Err(Status::data_loss(text));
        }
        self.length += data.len() as u64;
        self.hash.update(&data);
        Ok(data)
    }

    /// Whether the file is complete and as it was sent.
    fn trailer(&self, trailer: &pb::SnapshotTrailer) -> Result<(), Status> {
        if trailer.length != self.length {
            let text = format!("{} bytes of a snapshot arrived, {} were sent", self.length, trailer.length);
            return Err(Status::data_loss(text));
        }
        if trailer.xxh3_128[..] != self.hash.digest128().to_be_bytes() {
            return Err(Status::data_loss("the snapshot as a whole does not match its checksum"));
        }
        Ok(())
    }
}

fn status_of(error: &InstallError) -> Status {
    let (code, reason) = match error {
        InstallError::Stale(_) => (Code::FailedPrecondition, "STALE_SNAPSHOT"),
        InstallError::Busy(_) => (Code::Aborted, "SNAPSHOT_IN_PROGRESS"),
        InstallError::Refused(_) => (Code::DataLoss, "SNAPSHOT_REFUSED"),
        InstallError::Stopping => (Code::Unavailable, "STOPPING"),
    };
    refusal::status(code, reason, error.to_string(), HashMap::new())
}
