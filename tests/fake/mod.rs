//! The one fake node: a store in memory behind the real services, that answers as a script says and misbehaves on
//! request. It remembers what it was asked.
//!
//! ```text
//! store  keys and values, and how it misbehaves
//! words  refusals, headers and keys as a node words them
//! ```

mod store;
mod words;

pub(crate) use store::{Counts, Fault};
pub(crate) use words::{closed_port, header, kv, refusal, refusal_with};

use bytes::Bytes;
use kontiki::proto::v1 as pb;
use kontiki::proto::v1::cluster_service_server::{ClusterService, ClusterServiceServer};
use kontiki::proto::v1::kv_service_server::{KvService, KvServiceServer};
use kontiki::proto::v1::maintenance_service_server::{MaintenanceService, MaintenanceServiceServer};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::Store;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// What to do with the next call; when the script is over, calls succeed.
pub(crate) enum Step {
    Refuse(Status),
    /// Succeed.
    Pass,
    /// Never answer.
    Hang,
}

/// A node on a port of its own. It ends with the test's runtime.
#[derive(Clone)]
pub(crate) struct Fake {
    pub url: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    script: Mutex<VecDeque<Step>>,
    store: Mutex<Store>,
    connections: AtomicU64,
    /// The time that each call was given.
    calls: Mutex<Vec<Option<String>>>,
    scans: Mutex<Vec<pb::ScanRequest>>,
    chunks: Mutex<VecDeque<Vec<Result<pb::ScanResponse, Status>>>>,
    status_calls: AtomicU64,
    status: Mutex<pb::StatusResponse>,
    conditions_hold: Mutex<bool>,
    snapshot: Mutex<Vec<Bytes>>,
}

impl Fake {
    pub(crate) async fn start(script: Vec<Step>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let status = Mutex::new(words::leader_of_one(&url));
        let state = Arc::new(State { script: Mutex::new(script.into()), status, ..State::default() });
        let connected = state.clone();
        let incoming = TcpListenerStream::new(listener).map(move |connection| {
            connected.connections.fetch_add(1, Ordering::Relaxed);
            // tonic's builder sets this only on listeners of its own; without it each answer waits 40 ms.
            connection.and_then(|stream| stream.set_nodelay(true).map(|()| stream))
        });
        let (reporter, health) = tonic_health::server::health_reporter();
        reporter.set_service_status("liveness", tonic_health::ServingStatus::Serving).await;
        reporter.set_service_status("readiness", tonic_health::ServingStatus::NotServing).await;
        let server = tonic::transport::Server::builder()
            .add_service(KvServiceServer::from_arc(state.clone()))
            .add_service(ClusterServiceServer::from_arc(state.clone()))
            .add_service(MaintenanceServiceServer::from_arc(state.clone()))
            .add_service(health)
            .serve_with_incoming(incoming);
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

    /// How many connections were made.
    pub(crate) fn connections(&self) -> u64 {
        self.state.connections.load(Ordering::Relaxed)
    }

    /// How often it was asked about the cluster.
    pub(crate) fn status_calls(&self) -> u64 {
        self.state.status_calls.load(Ordering::Relaxed)
    }

    /// What the store was asked.
    pub(crate) fn counts(&self) -> Counts {
        self.state.store.lock().unwrap().counts
    }

    /// Waits until the counts are as wanted.
    pub(crate) async fn until(&self, wanted: impl Fn(&Counts) -> bool) {
        let reached = async {
            while !wanted(&self.counts()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), reached).await.expect("not reached within 30 s");
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

    /// Says from now on that it is of another cluster.
    pub(crate) fn set_cluster(&self, cluster: u64) {
        self.state.store.lock().unwrap().cluster = cluster;
    }

    /// What a snapshot streams.
    pub(crate) fn set_snapshot(&self, pieces: Vec<Bytes>) {
        *self.state.snapshot.lock().unwrap() = pieces;
    }

    /// Whether the conditions of transactions hold; at first they do not.
    pub(crate) fn set_conditions(&self, hold: bool) {
        *self.state.conditions_hold.lock().unwrap() = hold;
    }

    pub(crate) fn set_fault(&self, fault: Fault) {
        self.state.store.lock().unwrap().fault = fault;
    }
}

impl State {
    async fn step<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let timeout = request.metadata().get("grpc-timeout");
        let timeout = timeout.map(|value| value.to_str().unwrap().to_owned());
        self.calls.lock().unwrap().push(timeout);
        let step = self.script.lock().unwrap().pop_front();
        match step {
            None | Some(Step::Pass) => Ok(()),
            Some(Step::Refuse(status)) => Err(status),
            Some(Step::Hang) => std::future::pending().await,
        }
    }

    /// Puts at one revision, or whatever the fault says.
    async fn write(&self, puts: Vec<pb::PutRequest>) -> Result<Option<pb::ResponseHeader>, Status> {
        let delay = self.store.lock().unwrap().delay();
        tokio::time::sleep(delay).await;
        self.store.lock().unwrap().write(puts)
    }

    fn header(&self) -> Option<pb::ResponseHeader> {
        self.store.lock().unwrap().header()
    }
}

#[tonic::async_trait]
impl KvService for State {
    async fn put(&self, request: Request<pb::PutRequest>) -> Result<Response<pb::PutResponse>, Status> {
        self.step(&request).await?;
        let header = self.write(vec![request.into_inner()]).await?;
        Ok(Response::new(pb::PutResponse { header, previous: None }))
    }

    async fn get(&self, request: Request<pb::GetRequest>) -> Result<Response<pb::GetResponse>, Status> {
        self.step(&request).await?;
        let kv = self.store.lock().unwrap().get(request.into_inner())?;
        Ok(Response::new(pb::GetResponse { header: self.header(), kv }))
    }

    async fn delete(
        &self,
        request: Request<pb::DeleteRequest>,
    ) -> Result<Response<pb::DeleteResponse>, Status> {
        self.step(&request).await?;
        Ok(Response::new(pb::DeleteResponse { header: self.header(), deleted: 1, previous: vec![] }))
    }

    async fn range(&self, request: Request<pb::RangeRequest>) -> Result<Response<pb::RangeResponse>, Status> {
        self.step(&request).await?;
        Ok(Response::new(pb::RangeResponse { header: self.header(), ..Default::default() }))
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
        let request = request.into_inner();
        let succeeded = request.compares.is_empty() || *self.conditions_hold.lock().unwrap();
        let ops = if succeeded { request.success } else { request.failure };
        let puts = ops.into_iter().filter_map(|op| match op.op {
            Some(pb::txn_op::Op::Put(put)) => Some(put),
            _ => None,
        });
        let puts: Vec<_> = puts.collect();
        // What writes nothing has no revision of its own.
        let header = if puts.is_empty() { self.header() } else { self.write(puts).await? };
        self.store.lock().unwrap().counts.txns += 1;
        Ok(Response::new(pb::TxnResponse { header, succeeded, results: vec![] }))
    }

    async fn compact(
        &self,
        request: Request<pb::CompactRequest>,
    ) -> Result<Response<pb::CompactResponse>, Status> {
        self.step(&request).await?;
        self.store.lock().unwrap().counts.compactions += 1;
        Ok(Response::new(pb::CompactResponse { header: self.header() }))
    }
}

#[tonic::async_trait]
impl ClusterService for State {
    async fn status(
        &self,
        request: Request<pb::StatusRequest>,
    ) -> Result<Response<pb::StatusResponse>, Status> {
        self.step(&request).await?;
        self.status_calls.fetch_add(1, Ordering::Relaxed);
        let mut status = self.status.lock().unwrap();
        if self.store.lock().unwrap().fault == Fault::NewTermWithEachStatus {
            status.nodes.iter_mut().for_each(|node| node.raft_term += 1);
        }
        Ok(Response::new(pb::StatusResponse { header: self.header(), ..status.clone() }))
    }

    async fn members(
        &self,
        request: Request<pb::MembersRequest>,
    ) -> Result<Response<pb::MembersResponse>, Status> {
        self.step(&request).await?;
        let nodes = self.status.lock().unwrap().nodes.clone();
        let members = nodes.into_iter().filter_map(|node| node.member).collect();
        Ok(Response::new(pb::MembersResponse { header: self.header(), members }))
    }

    async fn transfer_leadership(
        &self,
        request: Request<pb::TransferLeadershipRequest>,
    ) -> Result<Response<pb::TransferLeadershipResponse>, Status> {
        self.step(&request).await?;
        Ok(Response::new(pb::TransferLeadershipResponse {
            header: self.header(),
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
        let is_future = self.store.lock().unwrap().is_future(request.into_inner().revision);
        if is_future {
            // A node waits for what it has not reached.
            return std::future::pending().await;
        }
        Ok(Response::new(pb::HashResponse { header: self.header(), ..Default::default() }))
    }

    async fn echo(&self, request: Request<pb::EchoRequest>) -> Result<Response<pb::EchoResponse>, Status> {
        self.step(&request).await?;
        self.store.lock().unwrap().counts.echoes += 1;
        Ok(Response::new(pb::EchoResponse { payload: request.into_inner().payload }))
    }
}
