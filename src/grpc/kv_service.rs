//! `KvService`: what clients do with keys.
//!
//! Each handler checks the whole message, calls the api, and answers in the form of the request.

use crate::api::call::Call;
use crate::api::context::Api;
use crate::grpc::encoded::{EncodedStream, encoded};
use crate::grpc::timeout;
use crate::grpc::wire::header::header;
use crate::grpc::wire::{read, txn, write};
use crate::proto::v1;
use crate::proto::v1::kv_service_server::KvService;
use std::sync::Arc;
use tonic::{Request, Response, Status};

#[derive(Clone)]
pub struct Kv {
    api: Arc<Api>,
}

impl Kv {
    pub fn new(api: Arc<Api>) -> Self {
        Self { api }
    }
}

#[tonic::async_trait]
impl KvService for Kv {
    async fn put(&self, request: Request<v1::PutRequest>) -> Result<Response<v1::PutResponse>, Status> {
        let (call, request) = opened(&self.api, request);
        write::check_size(&request, &self.api.limits)?;
        let put = write::put(&request, &self.api.limits)?;
        let served = self.api.put(&call, put).await?;
        let header = header(&self.api, served.origin);
        Ok(Response::new(write::put_response(header, &request, served.value)))
    }

    async fn get(&self, request: Request<v1::GetRequest>) -> Result<Response<v1::GetResponse>, Status> {
        let (call, request) = opened(&self.api, request);
        let (range, level) = read::get(&request, &self.api.limits)?;
        let served = self.api.get(&call, &range, level).await?;
        let header = header(&self.api, served.origin);
        Ok(Response::new(read::get_response(header, &request, served.value)))
    }

    async fn delete(
        &self,
        request: Request<v1::DeleteRequest>,
    ) -> Result<Response<v1::DeleteResponse>, Status> {
        let (call, request) = opened(&self.api, request);
        write::check_size(&request, &self.api.limits)?;
        let delete = write::delete(&request, &self.api.limits)?;
        let served = self.api.delete(&call, delete).await?;
        let header = header(&self.api, served.origin);
        Ok(Response::new(write::delete_response(header, &request, served.value)))
    }

    async fn range(&self, request: Request<v1::RangeRequest>) -> Result<Response<v1::RangeResponse>, Status> {
        let (call, request) = opened(&self.api, request);
        let page = read::page(&request, &self.api.limits)?;
        let served = self.api.page(&call, page).await?;
        let header = header(&self.api, served.origin);
        Ok(Response::new(read::page_response(header, &request, served.value)))
    }

    type ScanStream = EncodedStream<v1::ScanResponse>;

    async fn scan(&self, request: Request<v1::ScanRequest>) -> Result<Response<Self::ScanStream>, Status> {
        let (call, request) = opened(&self.api, request);
        let scan = read::scan(&request, &self.api.limits)?;
        let chunks = self.api.scan(&call, scan).await?;
        let api = Arc::clone(&self.api);
        Ok(Response::new(encoded(chunks, move |(served, _room)| {
            read::scan_response(header(&api, served.origin), &request, served.value)
        })))
    }

    async fn txn(&self, request: Request<v1::TxnRequest>) -> Result<Response<v1::TxnResponse>, Status> {
        let (call, request) = opened(&self.api, request);
        write::check_size(&request, &self.api.limits)?;
        let txn = txn::txn(&request, &self.api.limits)?;
        let served = self.api.txn(&call, txn).await?;
        let header = header(&self.api, served.origin);
        Ok(Response::new(txn::txn_response(header, &request, served.value)))
    }

    async fn compact(
        &self,
        request: Request<v1::CompactRequest>,
    ) -> Result<Response<v1::CompactResponse>, Status> {
        let (call, request) = opened(&self.api, request);
        let compact = write::compact(&request)?;
        let served = self.api.compact(&call, compact).await?;
        Ok(Response::new(v1::CompactResponse { header: header(&self.api, served.origin) }))
    }
}

/// A request's context, and its message.
pub(in crate::grpc) fn opened<M>(api: &Api, request: Request<M>) -> (Call, M) {
    let deadline = timeout::deadline(request.metadata(), &api.limits);
    (Call::of_client(deadline), request.into_inner())
}
