//! Snapshots on their way out of and into a replica. The state store *is* the
//! snapshot: a file is made while it is read, at one index, beside all writes.

use crate::kv::{Machine, View};
use crate::raft::SnapshotMeta;
use crate::replica::error::InstallError;
use crate::replica::event::{Install, Request};
use crate::replica::published::Published;
use crate::replica::transport::{SnapshotError, SnapshotStream};
use crate::storage::{SnapshotHeader, StagedState, decode_members, snapshot};
use crate::types::{ClusterId, Index, NodeId, Term};
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

/// Pieces that wait for the reader, about 256 KiB each.
const PIECES_AHEAD: usize = 4;

/// Begins to make the file of a view.
pub(crate) fn stream(cluster: ClusterId, view: Arc<View>) -> Result<SnapshotStream, SnapshotError> {
    let members = decode_members(view.members()).map_err(|error| SnapshotError(error.to_string()))?;
    let header = SnapshotHeader { cluster, last: view.applied(), members, revision: view.revision() };
    let meta = header.meta();
    let (pieces, chunks) = mpsc::channel(PIECES_AHEAD);
    // A blocking thread: it reads the disk, and waits for its reader.
    tokio::task::spawn_blocking(move || {
        // This looks at every key, so not on the loop's thread.
        let records = match view.export() {
            Ok(records) => records,
            Err(refusal) => {
                // Whoever reads may have gone, and takes a newer view next time.
                let _ = pieces.blocking_send(Err(SnapshotError(refusal.to_string())));
                return;
            }
        };
        for piece in snapshot::encode(&header, records) {
            let failed = piece.is_err();
            let piece = piece.map_err(|error| SnapshotError(error.to_string()));
            if pieces.blocking_send(piece).is_err() || failed {
                return; // The reader has gone, or there is nothing more to read.
            }
        }
    });
    Ok(SnapshotStream { meta, chunks })
}

/// Takes in a snapshot, one at a time. Dropping it discards what came.
#[derive(Debug)]
pub struct SnapshotReceiver {
    pub(crate) cluster: ClusterId,
    pub(crate) from: NodeId,
    pub(crate) term: Term,
    pub(crate) meta: SnapshotMeta,
    /// `None` after a failure.
    pub(crate) staged: Option<StagedState>,
    pub(crate) requests: mpsc::Sender<Request>,
    pub(crate) published: Arc<Published>,
    pub(crate) _only_one: OwnedSemaphorePermit,
}

impl SnapshotReceiver {
    /// Takes the next piece of the file; waits for the disk.
    pub async fn push(&mut self, data: Bytes) -> Result<(), InstallError> {
        let mut staged = self.staged.take().ok_or_else(broken)?;
        if !self.published.has_room_for_proposals() {
            return Err(InstallError::Refused(
                "the disk has no room for a second state beside the reserve".into(),
            ));
        }
        let staged = blocking(move || staged.push(&data).map(|()| staged)).await?;
        self.staged = Some(staged);
        Ok(())
    }

    /// Verifies the whole, makes it durable and installs it. Answers with this
    /// node's term and the index that its state includes now.
    pub async fn finish(mut self) -> Result<(Term, Index), InstallError> {
        let staged = self.staged.take().ok_or_else(broken)?;
        let state = blocking(move || staged.finish()).await?;
        let header = state.header();
        if header.cluster != self.cluster || header.meta() != self.meta {
            return Err(InstallError::Refused("the file is not what its sender announced".into()));
        }
        let table = state.table();
        let machine = blocking(move || Machine::open(table)).await?;
        // Before the old state is given up: what was announced must be what came.
        if machine.applied() != self.meta.last
            || decode_members(machine.members()) != Ok(self.meta.members.clone())
        {
            return Err(InstallError::Refused("the state is not what its sender announced".into()));
        }
        let (reply, outcome) = oneshot::channel();
        let (from, term, meta) = (self.from, self.term, self.meta.clone());
        let install = Install { from, term, meta, state, machine, reply };
        let request = Request::Install(Box::new(install));
        self.requests.send(request).await.map_err(|_| InstallError::Stopping)?;
        outcome.await.map_err(|_| InstallError::Stopping)?
    }
}

fn broken() -> InstallError {
    InstallError::Refused("an earlier piece was refused".into())
}

async fn blocking<T: Send + 'static, E: ToString + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, InstallError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| InstallError::Refused(error.to_string())),
        Err(_) => Err(InstallError::Refused("the work on it failed".into())),
    }
}
