//! A store of one node in memory, over real gRPC, that can misbehave on request.

use bytes::Bytes;
use kontiki::proto::v1::cluster_service_server::{ClusterService, ClusterServiceServer};
use kontiki::proto::v1::kv_service_server::{KvService, KvServiceServer};
use kontiki::proto::v1::maintenance_service_server::{MaintenanceService, MaintenanceServiceServer};
use kontiki::proto::v1::*;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_stream::{Stream, StreamExt as _, wrappers::TcpListenerStream};
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// How the store misbehaves.
#[derive(Clone, Copy, Debug, Default)]
pub enum Fault {
    /// Not at all.
    #[default]
    None,
    /// Each write takes so long.
    Slow(Duration),
    /// Each `nth` write is refused.
    RefuseEvery { nth: u64, reason: &'static str },
    /// Each `nth` write is acknowledged and forgotten.
    ForgetEvery { nth: u64 },
    /// Each status has a higher term than the last.
    NewTermWithEachStatus,
}

/// What was asked of the store.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub echoes: u64,
    pub puts: u64,
    pub txns: u64,
    pub local_gets: u64,
    pub linearizable_gets: u64,
    pub refused: u64,
}

#[derive(Default)]
struct Store {
    keys: BTreeMap<Bytes, KeyValue>,
    revision: i64,
    writes: u64,
    term: u64,
    fault: Fault,
    counts: Counts,
}

/// The running store; it ends with the test's runtime.
#[derive(Clone)]
pub struct Fake {
    address: SocketAddr,
    store: Arc<Mutex<Store>>,
    connections: Arc<AtomicU64>,
    status_calls: Arc<AtomicU64>,
}

impl Fake {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Self {
            address: listener.local_addr().unwrap(),
            store: Arc::new(Mutex::new(Store { revision: 1, term: 7, ..Store::default() })),
            connections: Arc::default(),
            status_calls: Arc::default(),
        };
        let connections = fake.connections.clone();
        let incoming = TcpListenerStream::new(listener).map(move |connection| {
            connections.fetch_add(1, Ordering::Relaxed);
            // tonic's builder sets this only on listeners of its own; without it each answer waits 40 ms.
            connection.and_then(|stream| stream.set_nodelay(true).map(|()| stream))
        });
        let server = tonic::transport::Server::builder()
            .add_service(KvServiceServer::new(fake.clone()))
            .add_service(ClusterServiceServer::new(fake.clone()))
            .add_service(MaintenanceServiceServer::new(fake.clone()));
        tokio::spawn(server.serve_with_incoming(incoming));
        fake
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn counts(&self) -> Counts {
        self.store.lock().unwrap().counts
    }

    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    pub fn status_calls(&self) -> u64 {
        self.status_calls.load(Ordering::Relaxed)
    }

    pub fn set_fault(&self, fault: Fault) {
        self.store.lock().unwrap().fault = fault;
    }

    /// Waits until the counts are as wanted.
    pub async fn until(&self, wanted: impl Fn(&Counts) -> bool) {
        let reached = async {
            while !wanted(&self.counts()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), reached).await.expect("not reached within 30 s");
    }

    /// Applies puts at one revision, or misbehaves.
    async fn write(&self, puts: Vec<PutRequest>) -> Result<ResponseHeader, Status> {
        let fault = self.store.lock().unwrap().fault;
        if let Fault::Slow(time) = fault {
            tokio::time::sleep(time).await;
        }
        let mut store = self.store.lock().unwrap();
        store.writes += 1;
        let due = |nth: u64| store.writes.is_multiple_of(nth);
        match fault {
            Fault::RefuseEvery { nth, reason } if due(nth) => {
                store.counts.refused += 1;
                let metadata = [("outcome".to_owned(), "NOT_APPLIED".to_owned())];
                let details = ErrorDetails::with_error_info(reason, "kontiki", metadata);
                return Err(Status::with_error_details(
                    Code::ResourceExhausted,
                    "refused by the test",
                    details,
                ));
            }
            Fault::ForgetEvery { nth } if due(nth) => {
                store.revision += 1;
                return Ok(store.header());
            }
            _ => {}
        }
        store.revision += 1;
        for put in puts {
            store.counts.puts += 1;
            store.put(put)?;
        }
        Ok(store.header())
    }
}

impl Store {
    fn header(&self) -> ResponseHeader {
        ResponseHeader { cluster_id: 5, node_id: 1, revision: self.revision, ..ResponseHeader::default() }
    }

    fn put(&mut self, put: PutRequest) -> Result<(), Status> {
        let Some(put_request::KeyForm::KeyBytes(key)) = put.key_form else {
            return Err(Status::invalid_argument("the benchmark speaks bytes"));
        };
        let Some(put_request::ValueForm::ValueBytes(value)) = put.value_form else {
            return Err(Status::invalid_argument("the benchmark speaks bytes"));
        };
        let kv = KeyValue {
            mod_revision: self.revision,
            value_form: Some(key_value::ValueForm::ValueBytes(value)),
            ..KeyValue::default()
        };
        self.keys.insert(key, kv);
        Ok(())
    }
}

type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn absent<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("the benchmark does not call this"))
}

#[tonic::async_trait]
impl KvService for Fake {
    type ScanStream = Streamed<ScanResponse>;

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        let header = self.write(vec![request.into_inner()]).await?;
        Ok(Response::new(PutResponse { header: Some(header), previous: None }))
    }

    async fn txn(&self, request: Request<TxnRequest>) -> Result<Response<TxnResponse>, Status> {
        let puts = request.into_inner().success.into_iter().map(|op| match op.op {
            Some(txn_op::Op::Put(put)) => Ok(put),
            _ => Err(Status::invalid_argument("the benchmark's transactions only put")),
        });
        let puts = puts.collect::<Result<_, _>>()?;
        let header = self.write(puts).await?;
        self.store.lock().unwrap().counts.txns += 1;
        Ok(Response::new(TxnResponse { header: Some(header), succeeded: true, results: Vec::new() }))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        let request = request.into_inner();
        let mut store = self.store.lock().unwrap();
        match request.read_level() {
            ReadLevel::Local => store.counts.local_gets += 1,
            ReadLevel::Linearizable => store.counts.linearizable_gets += 1,
            other => return Err(Status::invalid_argument(format!("{other:?}"))),
        }
        let Some(get_request::KeyForm::KeyBytes(key)) = request.key_form else {
            return Err(Status::invalid_argument("the benchmark speaks bytes"));
        };
        let kv = store.keys.get(&key).cloned();
        Ok(Response::new(GetResponse { header: Some(store.header()), kv }))
    }

    async fn delete(&self, _: Request<DeleteRequest>) -> Result<Response<DeleteResponse>, Status> {
        absent()
    }

    async fn range(&self, _: Request<RangeRequest>) -> Result<Response<RangeResponse>, Status> {
        absent()
    }

    async fn scan(&self, _: Request<ScanRequest>) -> Result<Response<Self::ScanStream>, Status> {
        absent()
    }

    async fn compact(&self, _: Request<CompactRequest>) -> Result<Response<CompactResponse>, Status> {
        absent()
    }
}

#[tonic::async_trait]
impl ClusterService for Fake {
    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        self.status_calls.fetch_add(1, Ordering::Relaxed);
        let mut store = self.store.lock().unwrap();
        if matches!(store.fault, Fault::NewTermWithEachStatus) {
            store.term += 1;
        }
        let member =
            Member { node_id: 1, name: "n1".to_owned(), client_url: self.url(), ..Member::default() };
        let node = NodeStatus {
            member: Some(member),
            role: NodeRole::Leader.into(),
            raft_term: store.term,
            version: "0.0.0-fake".to_owned(),
            durability: "memory".to_owned(),
            ready: true,
            ..NodeStatus::default()
        };
        let limits = Limits { key_bytes: 8 << 10, request_bytes: 1 << 20, txn_ops: 128, ..Limits::default() };
        Ok(Response::new(StatusResponse {
            header: Some(store.header()),
            nodes: vec![node],
            limits: Some(limits),
        }))
    }

    async fn members(&self, _: Request<MembersRequest>) -> Result<Response<MembersResponse>, Status> {
        absent()
    }

    async fn transfer_leadership(
        &self,
        _: Request<TransferLeadershipRequest>,
    ) -> Result<Response<TransferLeadershipResponse>, Status> {
        absent()
    }
}

#[tonic::async_trait]
impl MaintenanceService for Fake {
    type SnapshotStream = Streamed<SnapshotResponse>;

    async fn snapshot(&self, _: Request<SnapshotRequest>) -> Result<Response<Self::SnapshotStream>, Status> {
        absent()
    }

    async fn hash(&self, _: Request<HashRequest>) -> Result<Response<HashResponse>, Status> {
        absent()
    }

    async fn echo(&self, request: Request<EchoRequest>) -> Result<Response<EchoResponse>, Status> {
        self.store.lock().unwrap().counts.echoes += 1;
        Ok(Response::new(EchoResponse { payload: request.into_inner().payload }))
    }
}
