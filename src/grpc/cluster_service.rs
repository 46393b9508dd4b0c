//! `ClusterService`: shows and steers the cluster.

use crate::api::context::Api;
use crate::grpc::kv_service::opened;
use crate::grpc::wire::cluster;
use crate::grpc::wire::header::header;
use crate::proto::v1;
use crate::proto::v1::cluster_service_server::ClusterService;
use std::sync::Arc;
use tonic::{Request, Response, Status};

#[derive(Clone)]
pub struct Cluster {
    api: Arc<Api>,
}

impl Cluster {
    pub fn new(api: Arc<Api>) -> Self {
        Self { api }
    }
}

#[tonic::async_trait]
impl ClusterService for Cluster {
    async fn status(
        &self,
        request: Request<v1::StatusRequest>,
    ) -> Result<Response<v1::StatusResponse>, Status> {
        let rows = if request.get_ref().local_only {
            vec![self.api.own_row()]
        } else {
            self.api.all_statuses().await
        };
        let header = header(&self.api, self.api.origin());
        let nodes = rows.into_iter().map(cluster::row).collect();
        let limits = Some(cluster::limits(&self.api.limits));
        Ok(Response::new(v1::StatusResponse { header, nodes, limits }))
    }

    async fn members(
        &self,
        _request: Request<v1::MembersRequest>,
    ) -> Result<Response<v1::MembersResponse>, Status> {
        let members = self.api.members().into_iter().map(cluster::member_to_wire).collect();
        let header = header(&self.api, self.api.origin());
        Ok(Response::new(v1::MembersResponse { header, members }))
    }

    async fn transfer_leadership(
        &self,
        request: Request<v1::TransferLeadershipRequest>,
    ) -> Result<Response<v1::TransferLeadershipResponse>, Status> {
        let (call, request) = opened(&self.api, request);
        let (leader, leader_name) = self.api.transfer_leadership(&call, &request.to).await?;
        let header = header(&self.api, self.api.origin());
        Ok(Response::new(v1::TransferLeadershipResponse { header, leader_id: leader.get(), leader_name }))
    }
}
