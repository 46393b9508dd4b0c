//! A node that answers as told, and remembers what it was asked.

use bytes::Bytes;
use kontiki::proto::v1 as pb;
use kontiki::proto::v1::cluster_service_server::{ClusterService, ClusterServiceServer};
use kontiki::proto::v1::kv_service_server::{KvService, KvServiceServer};
use kontiki::proto::v1::maintenance_service_server::{MaintenanceService, MaintenanceServiceServer};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// What to do with the next call; when the script is over, calls succeed.
pub(crate) enum Step {
    Refuse(Status),
    /// Never answer.
    Hang,
}

/// A node on a port of its own.
#[derive(Clone)]
pub(crate) struct Fake {
    pub url: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    script: Mutex<VecDeque<Step>>,
    /// The time that each call was given.
    calls: Mutex<Vec<Option<String>>>,
    scans: Mutex<Vec<pb::ScanRequest>>,
    chunks: Mutex<VecDeque<Vec<Result<pb::ScanResponse, Status>>>>,
    status: Mutex<pb::StatusResponse>,
    succeeded: Mutex<bool>,
    snapshot: Mutex<Vec<Bytes>>,
}

impl Fake {
    pub(crate) async fn start(script: Vec<Step>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State { script: Mutex::new(script.into()), ..State::default() });
        let (reporter, health) = tonic_health::server::health_reporter();
        reporter.set_service_status("liveness", tonic_health::ServingStatus::Serving).await;
        reporter.set_service_status("readiness", tonic_health::ServingStatus::NotServing).await;
        let server = tonic::transport::Server::builder()
            .add_service(KvServiceServer::from_arc(state.clone()))
            .add_service(ClusterServiceServer::from_arc(state.clone()))
            .add_service(MaintenanceServiceServer::from_arc(state.clone()))
            .add_service(health)
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(server);
        Self { url, state }
    }

    /// How many calls came.
    pub(crate) fn calls(&self) -> usize {
        self.state.calls.lock().unwrap().len()
    }

    /// The `grpc-timeout` of each call.
    pub(crate) fn deadlines(&self) -> Vec<Option<String>> {
        self.state.calls.lock().unwrap().clone()
    }

    /// The scans that came.
    pub(crate) fn scans(&self) -> Vec<pb::ScanRequest> {
        self.state.scans.lock().unwrap().clone()
    }

    /// What the next scan streams.
    pub(crate) fn next_scan(&self, chunks: Vec<Result<pb::ScanResponse, Status>>) {
        self.state.chunks.lock().unwrap().push_back(chunks);
    }

    pub(crate) fn set_status(&self, status: pb::StatusResponse) {
        *self.state.status.lock().unwrap() = status;
    }

    /// What a snapshot streams.
    pub(crate) fn set_snapshot(&self, pieces: Vec<Bytes>) {
        *self.state.snapshot.lock().unwrap() = pieces;
    }

    /// Whether the conditions of transactions hold.
    pub(crate) fn txns_succeed(&self, succeeded: bool) {
        *self.state.succeeded.lock().unwrap() = succeeded;
    }
}

/// A refusal as a node words it.
pub(crate) fn refusal(code: Code, reason: &str, outcome: &str, leader: Option<&str>) -> Status {
    let mut facts = vec![("outcome", outcome)];
    facts.extend(leader.map(|leader| ("leader_url", leader)));
    refusal_with(code, reason, &facts, Duration::from_millis(1))
}

/// A refusal with these facts, and a wish for when to come back.
pub(crate) fn refusal_with(
    code: Code,
    reason: &str,
    facts: &[(&str, &str)],
    retry_after: Duration,
) -> Status {
    let metadata: HashMap<String, String> =
        facts.iter().map(|(name, fact)| ((*name).to_owned(), (*fact).to_owned())).collect();
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, "kontiki", metadata);
    details.set_retry_info(Some(retry_after));
    Status::with_error_details(code, format!("{reason} in words"), details)
}

pub(crate) fn header() -> Option<pb::ResponseHeader> {
    Some(pb::ResponseHeader { served_by: "n2".to_owned(), revision: 2, ..Default::default() })
}

pub(crate) fn kv(key: &'static str, value: &'static str) -> pb::KeyValue {
    pb::KeyValue {
        key_form: Some(pb::key_value::KeyForm::KeyBytes(key.into())),
        value_form: Some(pb::key_value::ValueForm::ValueBytes(value.into())),
        create_revision: 2,
        mod_revision: 2,
        version: 1,
    }
}

impl State {
    async fn step<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let timeout = request.metadata().get("grpc-timeout");
        let timeout = timeout.map(|value| value.to_str().unwrap().to_owned());
        self.calls.lock().unwrap().push(timeout);
        let step = self.script.lock().unwrap().pop_front();
        match step {
            None => Ok(()),
            Some(Step::Refuse(status)) => Err(status),
            Some(Step::Hang) => std::future::pending().await,
        }
    }
}

#[tonic::async_trait]
impl KvService for State {
    async fn put(&self, request: Request<pb::PutRequest>) -> Result<Response<pb::PutResponse>, Status> {
        self.step(&request).await?;
        Ok(Response::new(pb::PutResponse { header: header(), previous: None }))
    }

    async fn get(&self, request: Request<pb::GetRequest>) -> Result<Response<pb::GetResponse>, Status> {
        self.step(&request).await?;
        let hello = pb::get_request::KeyForm::KeyBytes("hello".into());
        let kv = (request.into_inner().key_form == Some(hello)).then(|| kv("hello", "world"));
        Ok(Response::new(pb::GetResponse { header: header(), kv }))
    }

    async fn delete(
        &self,
        request: Request<pb::DeleteRequest>,
    ) -> Result<Response<pb::DeleteResponse>, Status> {
        self.step(&request).await?;
        Ok(Response::new(pb::DeleteResponse { header: header(), deleted: 1, previous: vec![] }))
    }

    async fn range(&self, request: Request<pb::RangeRequest>) -> Result<Response<pb::RangeResponse>, Status> {
        self.step(&request).await?;
        Ok(Response::new(pb::RangeResponse { header: header(), ..Default::default() }))
    }

    type ScanStream = tokio_stream::Iter<std::vec::IntoIter<Result<pb::ScanResponse, Status>>>;

    async fn scan(&self, request: Request<pb::ScanRequest>) -> Result<Response<Self::ScanStream>, Status> {
        self.step(&request).await?;
        self.scans.lock().unwrap().push(request.into_inner());
        let chunks = self.chunks.lock().unwrap().pop_front().unwrap_or_default();
        Ok(Response::new(tokio_stream::iter(chunks)))
    }

    async fn txn(&self, request: Request<pb::TxnRequest>) -> Result<Response<pb::TxnResponse>, Status> {
        self.step(&request).await?;
        let succeeded = *self.succeeded.lock().unwrap();
        Ok(Response::new(pb::TxnResponse { header: header(), succeeded, results: vec![] }))
    }

    async fn compact(
        &self,
        request: Request<pb::CompactRequest>,
    ) -> Result<Response<pb::CompactResponse>, Status> {
        self.step(&request).await?;
        Ok(Response::new(pb::CompactResponse { header: header() }))
    }
}

#[tonic::async_trait]
impl ClusterService for State {
    async fn status(
        &self,
        request: Request<pb::StatusRequest>,
    ) -> Result<Response<pb::StatusResponse>, Status> {
        self.step(&request).await?;
        Ok(Response::new(pb::StatusResponse { header: header(), ..self.status.lock().unwrap().clone() }))
    }

    async fn members(
        &self,
        request: Request<pb::MembersRequest>,
    ) -> Result<Response<pb::MembersResponse>, Status> {
        self.step(&request).await?;
        Ok(Response::new(pb::MembersResponse { header: header(), members: vec![] }))
    }

    async fn transfer_leadership(
        &self,
        request: Request<pb::TransferLeadershipRequest>,
    ) -> Result<Response<pb::TransferLeadershipResponse>, Status> {
        self.step(&request).await?;
        Ok(Response::new(pb::TransferLeadershipResponse {
            header: header(),
            leader_id: 3,
            leader_name: "n3".to_owned(),
        }))
    }
}

#[tonic::async_trait]
impl MaintenanceService for State {
    type SnapshotStream = tokio_stream::Iter<std::vec::IntoIter<Result<pb::SnapshotResponse, Status>>>;

    async fn snapshot(
        &self,
        request: Request<pb::SnapshotRequest>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        self.step(&request).await?;
        let pieces = self.snapshot.lock().unwrap().clone();
        let pieces: Vec<_> = pieces.into_iter().map(|data| Ok(pb::SnapshotResponse { data })).collect();
        Ok(Response::new(tokio_stream::iter(pieces)))
    }

    async fn hash(&self, request: Request<pb::HashRequest>) -> Result<Response<pb::HashResponse>, Status> {
        self.step(&request).await?;
        Ok(Response::new(pb::HashResponse { header: header(), ..Default::default() }))
    }

    async fn echo(&self, request: Request<pb::EchoRequest>) -> Result<Response<pb::EchoResponse>, Status> {
        self.step(&request).await?;
        Ok(Response::new(pb::EchoResponse { payload: request.into_inner().payload }))
    }
}

/// A port that is known to be closed.
pub(crate) async fn closed_port() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}
