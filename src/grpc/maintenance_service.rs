//! `MaintenanceService`: backup and self-examination.

use crate::grpc::answer_stream::{self, AnswerStream, Answering, Reader};
use crate::grpc::context::Context;
use crate::grpc::error::{Fault, overloaded};
use crate::grpc::paging::hash_response;
use crate::grpc::read_path;
use crate::grpc::wire::read::{Level, level, revision};
use crate::proto::v1;
use crate::proto::v1::maintenance_service_server::MaintenanceService;
use crate::reason::Reason;
use crate::replica::SnapshotStream;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The service. Cheap to clone.
#[derive(Clone)]
pub struct Maintenance {
    context: Arc<Context>,
}

impl Maintenance {
    /// Serves from this context.
    pub fn new(context: Arc<Context>) -> Self {
        Self { context }
    }
}

/// Passes a snapshot on while it is made. When this ends, so does its making.
async fn pass_on(mut snapshot: SnapshotStream, reader: Reader<v1::SnapshotResponse>) -> Result<(), Fault> {
    while let Some(data) = snapshot.chunks.recv().await {
        if !reader.give(v1::SnapshotResponse { data: data? }).await? {
            return Ok(());
        }
    }
    Ok(())
}

#[tonic::async_trait]
impl MaintenanceService for Maintenance {
    type SnapshotStream = AnswerStream<v1::SnapshotResponse>;

    async fn snapshot(
        &self,
        request: Request<v1::SnapshotRequest>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        let call = self.context.call(request.metadata());
        if request.get_ref().read_level() == v1::ReadLevel::AtLeast {
            let message = "a snapshot is LINEARIZABLE or LOCAL";
            return Err(Fault::field(Reason::FieldNotAllowed, "read_level", message).into());
        }
        let level = level(request.get_ref().read_level, 0)?;
        let permit = Arc::clone(&self.context.bounds.snapshots)
            .try_acquire_owned()
            .map_err(|_| overloaded("other snapshots are being made on this node"))?;
        // Whoever waits for the state here gets a snapshot that is at least as new.
        read_path::view(&self.context, &call, level).await?;
        let snapshot = call.deadline.bound(self.context.handle.snapshot()).await;
        let snapshot =
            snapshot.ok_or_else(|| Fault::deadline("the snapshot was begun"))?.map_err(Fault::from)?;
        let answering = Answering { what: "snapshot", deadline: call.own_deadline(), permit };
        let context = Arc::clone(&self.context);
        Ok(Response::new(answer_stream::start(context, answering, |reader| pass_on(snapshot, reader))))
    }

    async fn hash(&self, request: Request<v1::HashRequest>) -> Result<Response<v1::HashResponse>, Status> {
        let call = self.context.call(request.metadata());
        let revision = revision("revision", request.get_ref().revision)?;
        let level = revision.map_or(Level::Local, Level::AtLeast);
        let view = read_path::view(&self.context, &call, level).await?;
        let work = {
            let view = Arc::clone(&view);
            move || view.hash(revision)
        };
        let hash = self.context.bounds.hashes.run(&call.deadline, work).await?.map_err(Fault::from)?;
        let header = self.context.read_header(&view, hash.revision, level);
        Ok(Response::new(v1::HashResponse { header: Some(header), ..hash_response(&hash) }))
    }

    async fn echo(&self, request: Request<v1::EchoRequest>) -> Result<Response<v1::EchoResponse>, Status> {
        Ok(Response::new(v1::EchoResponse { payload: request.into_inner().payload }))
    }
}
