//! Receives a snapshot for async callers.

use crate::raft::SnapshotMeta;
use crate::replica::error::InstallError;
use crate::replica::handle::Handle;
use crate::replica::snapshot::{SnapshotIntake, blocking};
use crate::types::{Index, NodeId, Term};
use bytes::Bytes;

/// Receives a snapshot on blocking threads.
#[derive(Debug)]
pub struct SnapshotReceiver {
    handle: Handle,
    /// `None` after a failure.
    intake: Option<SnapshotIntake>,
}

impl SnapshotReceiver {
    /// Takes the next piece of the file.
    pub async fn push(&mut self, data: Bytes) -> Result<(), InstallError> {
        let mut intake = self.intake.take().ok_or_else(broken)?;
        let intake = blocking(move || intake.push(&data).map(|()| intake)).await?;
        self.intake = Some(intake);
        Ok(())
    }

    /// Verifies the whole, makes it durable and installs it. Answers with this
    /// node's term and the index that its state includes now.
    pub async fn finish(mut self) -> Result<(Term, Index), InstallError> {
        let intake = self.intake.take().ok_or_else(broken)?;
        let received = blocking(move || intake.finish()).await?;
        self.handle.install(received).await
    }
}

impl Handle {
    /// Begins to receive a snapshot. Refused if another is being received, or if it is stale.
    pub async fn receive_snapshot(
        &self,
        from: NodeId,
        term: Term,
        meta: SnapshotMeta,
    ) -> Result<SnapshotReceiver, InstallError> {
        let this = self.clone();
        let intake = blocking(move || this.take_in_snapshot(from, term, meta)).await?;
        Ok(SnapshotReceiver { handle: self.clone(), intake: Some(intake) })
    }
}

fn broken() -> InstallError {
    InstallError::Refused("an earlier piece was refused".into())
}
