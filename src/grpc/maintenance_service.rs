//! `MaintenanceService`: backup, state hashes, and an empty call.

use crate::api::context::Api;
use crate::grpc::encoded::{EncodedStream, encoded};
use crate::grpc::kv_service::opened;
use crate::grpc::wire::header::header;
use crate::grpc::wire::maintenance;
use crate::proto::v1;
use crate::proto::v1::maintenance_service_server::MaintenanceService;
use std::sync::Arc;
use tonic::{Request, Response, Status};

#[derive(Clone)]
pub struct Maintenance {
    api: Arc<Api>,
}

impl Maintenance {
    pub fn new(api: Arc<Api>) -> Self {
        Self { api }
    }
}

#[tonic::async_trait]
impl MaintenanceService for Maintenance {
    type SnapshotStream = EncodedStream<v1::SnapshotResponse>;

    async fn snapshot(
        &self,
        request: Request<v1::SnapshotRequest>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        let (call, request) = opened(&self.api, request);
        let level = maintenance::snapshot(&request)?;
        let pieces = self.api.snapshot(&call, level).await?;
        Ok(Response::new(encoded(pieces, |data| v1::SnapshotResponse { data })))
    }

    async fn hash(&self, request: Request<v1::HashRequest>) -> Result<Response<v1::HashResponse>, Status> {
        let (call, request) = opened(&self.api, request);
        let revision = maintenance::hash(&request)?;
        let served = self.api.hash(&call, revision).await?;
        let header = header(&self.api, served.origin);
        Ok(Response::new(maintenance::hash_response(header, &served.value)))
    }

    async fn echo(&self, request: Request<v1::EchoRequest>) -> Result<Response<v1::EchoResponse>, Status> {
        Ok(Response::new(v1::EchoResponse { payload: request.into_inner().payload }))
    }
}
