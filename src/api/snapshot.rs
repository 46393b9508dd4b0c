//! A backup: the whole state as a snapshot file, while it is made.

use crate::api::answer_stream::{self, AnswerStream, Answering, Reader};
use crate::api::call::Call;
use crate::api::context::Api;
use crate::api::fault::Fault;
use crate::api::read_level::Level;
use crate::replica::SnapshotStream;
use bytes::Bytes;
use std::sync::Arc;

impl Api {
    /// Starts a snapshot that is as fresh as asked, or fresher.
    pub async fn snapshot(self: &Arc<Self>, call: &Call, level: Level) -> Result<AnswerStream<Bytes>, Fault> {
        let permit = Arc::clone(&self.bounds.snapshots)
            .try_acquire_owned()
            .map_err(|_| Fault::overloaded("other snapshots are being made on this node"))?;
        // Whoever waits for the state here gets a snapshot that is at least as new.
        self.router.view(call, level).await?;
        let snapshot = call.deadline.bound(self.router.handle.snapshot()).await;
        let snapshot = snapshot.ok_or_else(|| Fault::deadline("the snapshot was begun"))??;
        let answering = Answering { what: "snapshot", deadline: call.own_deadline(), permit };
        Ok(answer_stream::start(Arc::clone(self), answering, |reader| pass_on(snapshot, reader)))
    }
}

/// Passes a snapshot on while it is made. When this ends, so does its making.
async fn pass_on(mut snapshot: SnapshotStream, reader: Reader<Bytes>) -> Result<(), Fault> {
    while let Some(data) = snapshot.chunks.recv().await {
        if !reader.give(data?).await? {
            return Ok(());
        }
    }
    Ok(())
}
