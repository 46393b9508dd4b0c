//! A backup: the whole state, streamed as a snapshot file.

use crate::api::answer_stream::{self, AnswerStream, Answering, PartSender};
use crate::api::call::Call;
use crate::api::context::Api;
use crate::api::fault::Fault;
use crate::api::read_level::ReadLevel;
use crate::replica::SnapshotStream;
use bytes::Bytes;
use std::sync::Arc;

impl Api {
    /// Starts a snapshot that is at least as fresh as asked.
    pub async fn snapshot(
        self: &Arc<Self>,
        call: &Call,
        level: ReadLevel,
    ) -> Result<AnswerStream<Bytes>, Fault> {
        let permit = Arc::clone(&self.bounds.snapshots)
            .try_acquire_owned()
            .map_err(|_| Fault::overloaded("other snapshots are being made on this node"))?;
        // The snapshot is made after this wait, so it is at least as fresh.
        self.router.view(call, level).await?;
        let snapshot = call.deadline.bound(self.router.handle.snapshot()).await;
        let snapshot = snapshot.ok_or_else(|| Fault::deadline("the snapshot was begun"))??;
        let answering = Answering { what: "snapshot", deadline: call.own_deadline(), permit };
        Ok(answer_stream::start(Arc::clone(self), answering, |parts| pass_on(snapshot, parts)))
    }
}

/// Passes on a snapshot while it is being made. If this ends early, so does the making.
async fn pass_on(mut snapshot: SnapshotStream, parts: PartSender<Bytes>) -> Result<(), Fault> {
    while let Some(data) = snapshot.chunks.recv().await {
        let data = data?;
        let bytes = data.len();
        if !parts.send(data, bytes).await? {
            return Ok(());
        }
    }
    Ok(())
}
