//! Sends a snapshot to a peer that is behind the log.
//!
//! It is sent on a separate connection, no faster than the settings allow, so that heartbeats and commits are
//! not affected. The pieces come from the replica while they are read; they are cut into chunks, each with
//! its offset and checksum, followed by the checksum of the whole. An incomplete stream has no trailer, and
//! the receiver discards it; the core starts another one.

use crate::peers::calls;
use crate::peers::connection;
use crate::peers::link::Link;
use crate::peers::links::Links;
use crate::peers::settings::PeerSettings;
use crate::peers::wire::raft as wire;
use crate::proto::raft as pb;
use crate::proto::raft::install_snapshot_request::Message as Piece;
use crate::replica::{Snapshot, SnapshotError};
use crate::types::{Index, Term};
use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use xxhash_rust::xxh3::Xxh3;

/// The most bytes in a chunk.
pub const CHUNK_BYTES: usize = 256 << 10;

/// How much a delayed sender may exceed its rate to catch up.
const BURST: Duration = Duration::from_millis(100);

/// Sends the snapshot and reports the outcome, whatever becomes of the task.
pub fn run(links: Links, link: Arc<Link>, term: Term, snapshot: Snapshot) -> impl Future<Output = ()> + Send {
    let number = link.number_snapshot();
    let report = Report { links: links.clone(), link: link.clone(), number, outcome: None };
    async move {
        let mut report = report;
        let (peer, last) = (&link.name, snapshot.meta.last);
        tracing::info!(peer, %last, "sending a snapshot");
        let started = Instant::now();
        let outcome = send(&links, &link, term, snapshot).await;
        match &outcome {
            Ok(applied) => {
                tracing::info!(peer, %applied, elapsed = ?started.elapsed(), "the peer installed the snapshot");
            }
            Err(error) => tracing::warn!(peer, %last, "the snapshot did not arrive: {error}"),
        }
        report.outcome = Some(outcome);
    }
}

/// Tells the core how it ended, when it is dropped: a follower whose snapshot nobody sends any more would wait for it
/// forever. A snapshot that a newer one has replaced has nothing more to tell.
struct Report {
    links: Links,
    link: Arc<Link>,
    number: u64,
    outcome: Option<Result<Index, SnapshotError>>,
}

impl Drop for Report {
    fn drop(&mut self) {
        if !self.link.is_newest_snapshot(self.number) {
            return;
        }
        let cut_short = || Err(SnapshotError("the sending was cut short".into()));
        let outcome = self.outcome.take().unwrap_or_else(cut_short);
        if let Ok(events) = self.links.events() {
            events.snapshot_sent(self.link.node(), outcome);
        }
    }
}

async fn send(links: &Links, link: &Link, term: Term, snapshot: Snapshot) -> Result<Index, SnapshotError> {
    let settings = links.settings();
    let route = link.routes.current().ok_or_else(|| SnapshotError("its address is not known".into()))?;
    let channel = connection::connect(&route.endpoint, settings).await.map_err(SnapshotError)?;
    // No part of the state is sent to a stranger.
    calls::introduce(links, link, channel.clone()).await.map_err(|error| SnapshotError(error.to_string()))?;

    let snapshot = snapshot.stream();
    let header = wire::snapshot_header(term, &snapshot.meta, links.admission().own().sender(link.node()));
    let progress = Arc::new(Mutex::new(Progress::begin()));
    let pieces = pieces(header, snapshot.chunks, settings, progress.clone());
    let mut client = connection::client(channel, settings);
    let sending = async {
        let answer = client.install_snapshot(pieces).await;
        let answer = answer.map_err(|status| SnapshotError(connection::describe_status(&status)))?;
        let applied = answer.into_inner().applied_index;
        wire::checked_index(applied).map_err(|error| SnapshotError(error.to_string()))
    };
    tokio::select! {
        outcome = sending => outcome.map_err(|error| read(&progress).source_error.take().unwrap_or(error)),
        error = watch(&progress, settings) => Err(error),
        () = links.stopped() => Err(SnapshotError("this node is stopping".into())),
    }
}

/// The progress of a stream, shared with the check for stalls.
struct Progress {
    /// When a piece was last handed to the connection.
    moved: Instant,
    /// Whether the trailer was handed over.
    complete: bool,
    /// Why the file ended early.
    source_error: Option<SnapshotError>,
}

impl Progress {
    fn begin() -> Self {
        Self { moved: Instant::now(), complete: false, source_error: None }
    }
}

fn read(progress: &Mutex<Progress>) -> std::sync::MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Resolves when the stream has stalled for too long.
async fn watch(progress: &Mutex<Progress>, settings: &PeerSettings) -> SnapshotError {
    loop {
        let (limit, what, moved) = {
            let progress = read(progress);
            if progress.complete {
                (settings.snapshot_install, "the peer did not install it", progress.moved)
            } else {
                (settings.snapshot_idle, "the stream stood still", progress.moved)
            }
        };
        if moved.elapsed() >= limit {
            return SnapshotError(format!("{what} within {limit:?}"));
        }
        tokio::time::sleep_until(moved + limit).await;
    }
}

/// Produces the stream's messages as they are pulled.
struct Cutter {
    header: Option<pb::SnapshotHeader>,
    source: mpsc::Receiver<Result<Bytes, SnapshotError>>,
    /// What is left of the piece that is being cut.
    rest: Bytes,
    offset: u64,
    hash: Xxh3,
    pace: Pace,
    progress: Arc<Mutex<Progress>>,
}

fn pieces(
    header: pb::SnapshotHeader,
    source: mpsc::Receiver<Result<Bytes, SnapshotError>>,
    settings: &PeerSettings,
    progress: Arc<Mutex<Progress>>,
) -> impl Stream<Item = pb::InstallSnapshotRequest> + Send + 'static {
    let pace = Pace {
        bytes_per_second: settings.snapshot_bytes_per_second.map(|rate| rate.get()),
        due: Instant::now(),
    };
    let cutter = Cutter {
        header: Some(header),
        source,
        rest: Bytes::new(),
        offset: 0,
        hash: Xxh3::new(),
        pace,
        progress,
    };
    stream::unfold(cutter, |mut cutter| async move {
        let piece = cutter.next().await?;
        read(&cutter.progress).moved = Instant::now();
        Some((pb::InstallSnapshotRequest { message: Some(piece) }, cutter))
    })
}

impl Cutter {
    /// The next message; `None` after the trailer, or where the file ends early.
    async fn next(&mut self) -> Option<Piece> {
        if let Some(header) = self.header.take() {
            return Some(Piece::Header(header));
        }
        while self.rest.is_empty() {
            match self.source.recv().await {
                Some(Ok(piece)) => self.rest = piece,
                Some(Err(error)) => {
                    read(&self.progress).source_error = Some(error);
                    return None;
                }
                None => return self.trailer(),
            }
        }
        let data = self.rest.split_to(self.rest.len().min(CHUNK_BYTES));
        self.pace.wait_for(data.len()).await;
        self.hash.update(&data);
        let chunk = pb::SnapshotChunk { offset: self.offset, crc32c: crc32c::crc32c(&data), data };
        self.offset += chunk.data.len() as u64;
        Some(Piece::Chunk(chunk))
    }

    fn trailer(&mut self) -> Option<Piece> {
        if std::mem::replace(&mut read(&self.progress).complete, true) {
            return None;
        }
        let xxh3_128 = Bytes::copy_from_slice(&self.hash.digest128().to_be_bytes());
        Some(Piece::Trailer(pb::SnapshotTrailer { length: self.offset, xxh3_128 }))
    }
}

/// Keeps to a rate.
struct Pace {
    bytes_per_second: Option<u64>,
    /// When the next bytes may leave.
    due: Instant,
}

impl Pace {
    async fn wait_for(&mut self, bytes: usize) {
        let Some(rate) = self.bytes_per_second else { return };
        tokio::time::sleep_until(self.due).await;
        let earliest = Instant::now().checked_sub(BURST).unwrap_or(self.due);
        self.due = self.due.max(earliest) + Duration::from_secs_f64(bytes as f64 / rate as f64);
    }
}
