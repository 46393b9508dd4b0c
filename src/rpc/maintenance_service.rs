//! `MaintenanceService`: backup and self-examination.

use crate::rpc::context::Context;
use crate::rpc::error::{Fault, overloaded};
use crate::rpc::paging::hash_response;
use crate::rpc::proto::v1;
use crate::rpc::proto::v1::maintenance_service_server::MaintenanceService;
use crate::rpc::read_path;
use crate::rpc::reason::Reason;
use crate::rpc::wire::read::{Level, level, revision};
use std::pin::Pin;
use std::sync::Arc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
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

#[tonic::async_trait]
impl MaintenanceService for Maintenance {
    type SnapshotStream = Pin<Box<dyn Stream<Item = Result<v1::SnapshotResponse, Status>> + Send>>;

    async fn snapshot(
        &self,
        request: Request<v1::SnapshotRequest>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        let call = self.context.call(request.metadata());
        let level = level(request.get_ref().read_level, 0)?;
        if let Level::AtLeast(_) = level {
            let message = "a snapshot is LINEARIZABLE or LOCAL";
            return Err(Fault::field(Reason::FieldNotAllowed, "read_level", message).into());
        }
        let permit = Arc::clone(&self.context.bounds.snapshots)
            .try_acquire_owned()
            .map_err(|_| overloaded("other snapshots are being made on this node"))?;
        // Whoever waits for the state here gets a snapshot that is at least as new.
        read_path::view(&self.context, &call, level).await?;
        let snapshot = call.deadline.bound(self.context.handle.snapshot()).await;
        let snapshot =
            snapshot.ok_or_else(|| Fault::deadline("the snapshot was begun"))?.map_err(Fault::from)?;
        let chunks = ReceiverStream::new(snapshot.chunks).map(move |chunk| {
            let _while_it_streams = &permit;
            chunk.map(|data| v1::SnapshotResponse { data }).map_err(|error| Fault::from(error).into())
        });
        Ok(Response::new(Box::pin(chunks)))
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
        let hash = self.context.bounds.heavy.run(&call.deadline, work).await?.map_err(Fault::from)?;
        let header = self.context.read_header(&view, hash.revision, level);
        Ok(Response::new(v1::HashResponse { header: Some(header), ..hash_response(&hash) }))
    }

    async fn echo(&self, request: Request<v1::EchoRequest>) -> Result<Response<v1::EchoResponse>, Status> {
        Ok(Response::new(v1::EchoResponse { payload: request.into_inner().payload }))
    }
}
