//! Sending and receiving snapshots. The state store *is* the snapshot: a file is encoded while it is read, at
//! one index, concurrently with writes.

use crate::machine::{Machine, View};
use crate::raft::SnapshotMeta;
use crate::replica::error::InstallError;
use crate::replica::event::Install;
use crate::replica::published::Published;
use crate::replica::transport::{Snapshot, SnapshotError, SnapshotStream};
use crate::storage::{SnapshotHeader, StagedState, VerifiedState, decode_members, snapshot};
use crate::types::{ClusterId, Index, NodeId, Term};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// How many pieces may wait for the reader, about 256 KiB each.
const PIECES_AHEAD: usize = 4;

/// The file of a view. Nothing is read yet.
pub(crate) fn of(cluster: ClusterId, view: Arc<View>) -> Result<Snapshot, SnapshotError> {
    let members = decode_members(&view.members()).map_err(|error| SnapshotError(error.to_string()))?;
    let last = view.applied();
    let header = SnapshotHeader { cluster, last, members, revision: view.revision() };
    let meta = header.meta();
    // The first call looks at every key, so not here.
    let pieces = std::iter::once(()).flat_map(move |()| -> Box<dyn Iterator<Item = _> + Send> {
        match view.export() {
            Ok(records) => {
                let pieces = snapshot::encode(&header, records);
                Box::new(pieces.map(|piece| piece.map_err(|error| SnapshotError(error.to_string()))))
            }
            // The next attempt takes a newer view.
            Err(refusal) => Box::new(std::iter::once(Err(SnapshotError(refusal.to_string())))),
        }
    });
    Ok(Snapshot { meta, pieces: Box::new(pieces) })
}

impl Snapshot {
    /// Reads it on a blocking thread, which waits for the disk and for the reader.
    pub fn stream(self) -> SnapshotStream {
        let (sender, chunks) = mpsc::channel(PIECES_AHEAD);
        tokio::task::spawn_blocking(move || {
            for piece in self.pieces {
                let failed = piece.is_err();
                if sender.blocking_send(piece).is_err() || failed {
                    return; // The reader has gone, or there is nothing more to read.
                }
            }
        });
        SnapshotStream { meta: self.meta, chunks }
    }
}

/// Receives a snapshot, one at a time. Its calls wait for the disk. Dropping it discards what was received.
#[derive(Debug)]
pub struct SnapshotIntake {
    pub(crate) cluster: ClusterId,
    pub(crate) from: NodeId,
    pub(crate) term: Term,
    pub(crate) meta: SnapshotMeta,
    pub(crate) staged: Box<dyn StagedState>,
    pub(crate) published: Arc<Published>,
    pub(crate) only_one: OwnedSemaphorePermit,
}

/// A snapshot that was received in full, verified and made durable. Dropping it discards it.
#[derive(Debug)]
pub struct ReceivedSnapshot {
    pub(crate) from: NodeId,
    pub(crate) term: Term,
    pub(crate) meta: SnapshotMeta,
    pub(crate) state: Box<dyn VerifiedState>,
    pub(crate) machine: Machine,
    pub(crate) only_one: OwnedSemaphorePermit,
}

impl SnapshotIntake {
    /// Takes the next piece of the file. After an error it can only be dropped.
    pub fn push(&mut self, data: &[u8]) -> Result<(), InstallError> {
        if !self.published.has_room_for_proposals() {
            return Err(InstallError::Refused(
                "the disk has no room for a second state in addition to the reserve".into(),
            ));
        }
        self.staged.push(data).map_err(refused)
    }

    /// Verifies the whole and makes it durable.
    pub fn finish(self) -> Result<ReceivedSnapshot, InstallError> {
        let Self { cluster, from, term, meta, staged, only_one, .. } = self;
        let state = staged.finish().map_err(refused)?;
        let header = state.header();
        if header.cluster != cluster || header.meta() != meta {
            return Err(InstallError::Refused("the file is not what its sender announced".into()));
        }
        let machine = Machine::open(state.table()).map_err(refused)?;
        // Before the old state is replaced: what was received must be what was announced.
        if machine.applied() != meta.last || decode_members(&machine.members()) != Ok(meta.members.clone()) {
            return Err(InstallError::Refused("the state is not what its sender announced".into()));
        }
        Ok(ReceivedSnapshot { from, term, meta, state, machine, only_one })
    }
}

impl ReceivedSnapshot {
    /// The request to install it; the second half must be kept until it is answered.
    pub(crate) fn into_request(
        self,
        reply: tokio::sync::oneshot::Sender<Result<(Term, Index), InstallError>>,
    ) -> (Install, OwnedSemaphorePermit) {
        let Self { from, term, meta, state, machine, only_one } = self;
        (Install { from, term, meta, state, machine, reply }, only_one)
    }
}

fn refused(error: impl ToString) -> InstallError {
    InstallError::Refused(error.to_string())
}

pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, InstallError> + Send + 'static,
) -> Result<T, InstallError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(_) => Err(InstallError::Refused("the work on it failed".into())),
    }
}
