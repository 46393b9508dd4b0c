//! Writes and reads on a node that does not lead. The leader is played: the
//! node follows its heartbeats, and the test answers what it forwards.

use super::node::{Node, get, put};
use kontiki::grpc::error::Fault;
use kontiki::proto::v1;
use kontiki::proto::v1::kv_service_server::{KvService, KvServiceServer};
use kontiki::raft::{Heartbeat, Message, Round};
use kontiki::reason::Reason;
use kontiki::types::{Index, NodeId, Term};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};
use tonic_types::StatusExt as _;

const LEADER: NodeId = NodeId(2);

/// What the played leader does with puts.
#[derive(Clone, Default)]
struct Leader {
    seen: Arc<Mutex<Vec<(MetadataMap, v1::PutRequest)>>>,
    refusals: Arc<Mutex<Vec<Status>>>,
    hangs: bool,
}

#[tonic::async_trait]
impl KvService for Leader {
    async fn put(&self, request: Request<v1::PutRequest>) -> Result<Response<v1::PutResponse>, Status> {
        let (metadata, _, put) = request.into_parts();
        self.seen.lock().unwrap().push((metadata, put));
        if self.hangs {
            std::future::pending::<()>().await;
        }
        if let Some(refusal) = self.refusals.lock().unwrap().pop() {
            return Err(refusal);
        }
        let header =
            v1::ResponseHeader { served_by: "the leader".into(), revision: 42, ..Default::default() };
        Ok(Response::new(v1::PutResponse { header: Some(header), previous: None }))
    }

    async fn get(&self, _: Request<v1::GetRequest>) -> Result<Response<v1::GetResponse>, Status> {
        Err(Status::internal("reads are not forwarded"))
    }

    async fn delete(&self, _: Request<v1::DeleteRequest>) -> Result<Response<v1::DeleteResponse>, Status> {
        Err(Status::unimplemented("not played"))
    }

    async fn range(&self, _: Request<v1::RangeRequest>) -> Result<Response<v1::RangeResponse>, Status> {
        Err(Status::internal("reads are not forwarded"))
    }

    type ScanStream = ReceiverStream<Result<v1::ScanResponse, Status>>;

    async fn scan(&self, _: Request<v1::ScanRequest>) -> Result<Response<Self::ScanStream>, Status> {
        Err(Status::internal("reads are not forwarded"))
    }

    async fn txn(&self, _: Request<v1::TxnRequest>) -> Result<Response<v1::TxnResponse>, Status> {
        Err(Status::unimplemented("not played"))
    }

    async fn compact(&self, _: Request<v1::CompactRequest>) -> Result<Response<v1::CompactResponse>, Status> {
        Err(Status::unimplemented("not played"))
    }
}

fn channel(address: std::net::SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy()
}

/// A node that follows node 2, whose peer listener is at `channel`.
async fn follower(channel: Option<Channel>) -> Node {
    let node = Node::of_three().await;
    node.peers.channels.lock().unwrap().extend(channel.map(|channel| (LEADER, channel)));
    let handle = node.handle.clone();
    tokio::spawn(async move {
        for round in 1.. {
            let heartbeat = Heartbeat { term: Term(1_000), commit: Index(0), round: Round(round) };
            handle.deliver(LEADER, Message::Heartbeat(heartbeat));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    node.handle.watch_status().wait_for(|status| status.leader == Some(LEADER)).await.unwrap();
    node
}

async fn follower_of(leader: Leader) -> (Node, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tonic::transport::Server::builder().add_service(KvServiceServer::new(leader));
    let serving = tokio::spawn(async move {
        server.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
    });
    (follower(Some(channel(address))).await, serving)
}

fn reason(status: &Status) -> String {
    status.get_details_error_info().unwrap_or_else(|| panic!("no ErrorInfo: {status:?}")).reason
}

fn outcome(status: &Status) -> String {
    status.get_details_error_info().unwrap().metadata["outcome"].clone()
}

#[tokio::test]
async fn the_very_same_request_goes_to_the_leader_with_the_time_that_is_left() {
    let leader = Leader::default();
    let (node, _serving) = follower_of(leader.clone()).await;
    let mut request = Request::new(put("k", "v"));
    request.set_timeout(Duration::from_secs(5));
    let answer = node.kv().put(request).await.unwrap().into_inner();
    assert_eq!(answer.header.unwrap().served_by, "the leader");

    let seen = leader.seen.lock().unwrap();
    let (metadata, forwarded) = &seen[0];
    assert_eq!(forwarded, &put("k", "v"));
    assert_eq!(metadata.get("kontiki-forwarded").unwrap(), "n1");
    let left = metadata.get("grpc-timeout").unwrap().to_str().unwrap();
    let micros: u64 = left.trim_end_matches('u').parse().unwrap();
    assert!((3_000_000..5_000_000).contains(&micros), "{left}");
}

#[tokio::test]
async fn bad_input_is_not_worth_the_way() {
    let leader = Leader::default();
    let (node, _serving) = follower_of(leader.clone()).await;
    assert_eq!(reason(&node.kv().put(put("", "v")).await.unwrap_err()), "KEY_EMPTY");
    assert!(leader.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_the_leader_refuses_passes_unchanged() {
    let refusal: Status = Fault::new(Reason::NoSpace, "the disk is full").not_applied().into();
    let leader = Leader { refusals: Arc::new(Mutex::new(vec![refusal.clone()])), ..Default::default() };
    let (node, _serving) = follower_of(leader).await;
    let refused = node.kv().put(put("k", "v")).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (refusal.code(), refusal.message()));
    assert_eq!(refused.details(), refusal.details());
    assert_eq!(refused.metadata().get("kontiki-write-outcome").unwrap(), "NOT_APPLIED");
}

/// Certain refusals that pass are tried again by the server; the client sees none of them.
#[tokio::test]
async fn a_handover_is_waited_for() {
    let refusal = || Fault::new(Reason::LeadershipTransfer, "in a moment").not_applied().into();
    let leader = Leader { refusals: Arc::new(Mutex::new(vec![refusal(), refusal()])), ..Default::default() };
    let (node, _serving) = follower_of(leader.clone()).await;
    node.kv().put(put("k", "v")).await.unwrap();
    assert_eq!(leader.seen.lock().unwrap().len(), 3);
}

/// What may have been applied is never sent twice.
#[tokio::test]
async fn an_unknown_outcome_is_told_and_not_tried_again() {
    let refusal = Fault::new(Reason::LeadershipLost, "it may be applied").unknown().into();
    let leader = Leader { refusals: Arc::new(Mutex::new(vec![refusal])), ..Default::default() };
    let (node, _serving) = follower_of(leader.clone()).await;
    let refused = node.kv().put(put("k", "v")).await.unwrap_err();
    assert_eq!((reason(&refused), outcome(&refused)), ("LEADERSHIP_LOST".into(), "UNKNOWN".into()));
    assert_eq!(leader.seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_leader_that_nobody_reaches_has_certainly_not_applied_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    for channel in [Some(channel(nobody)), None] {
        let node = follower(channel).await;
        let begin = Instant::now();
        let refused = node.kv().put(put("k", "v")).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable);
        assert_eq!(
            (reason(&refused), outcome(&refused)),
            ("LEADER_UNREACHABLE".into(), "NOT_APPLIED".into())
        );
        assert!(begin.elapsed() < Duration::from_secs(5), "patience has an end before the deadline has");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_leaves_the_outcome_open() {
    let leader = Leader { hangs: true, ..Default::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // A proxy, since a server that is aborted leaves its connections alive.
    let front = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let node = follower(Some(channel(front.local_addr().unwrap()))).await;
    let server = tonic::transport::Server::builder().add_service(KvServiceServer::new(leader.clone()));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    let proxy = tokio::spawn(async move {
        let (mut near, _) = front.accept().await.unwrap();
        let mut far = tokio::net::TcpStream::connect(address).await.unwrap();
        tokio::io::copy_bidirectional(&mut near, &mut far).await
    });
    let mut kv = node.kv();
    let waiting = tokio::spawn(async move { kv.put(put("k", "v")).await });
    while leader.seen.lock().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    proxy.abort();
    let refused = waiting.await.unwrap().unwrap_err();
    assert_eq!((reason(&refused), outcome(&refused)), ("LEADER_UNREACHABLE".into(), "UNKNOWN".into()));
    assert_eq!(leader.seen.lock().unwrap().len(), 1, "it was sent once");
}

#[tokio::test]
async fn a_leader_that_is_silent_leaves_the_outcome_open_at_the_deadline() {
    let (node, _serving) = follower_of(Leader { hangs: true, ..Default::default() }).await;
    let mut request = Request::new(put("k", "v"));
    request.set_timeout(Duration::from_millis(300));
    let refused = node.kv().put(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::DeadlineExceeded);
    assert_eq!((reason(&refused), outcome(&refused)), ("DEADLINE".into(), "UNKNOWN".into()));
}

#[tokio::test]
async fn a_forwarded_request_goes_no_further() {
    let leader = Leader::default();
    let (node, _serving) = follower_of(leader.clone()).await;
    let mut request = Request::new(put("k", "v"));
    request.metadata_mut().insert("kontiki-forwarded", "n3".parse().unwrap());
    let refused = node.kv().put(request).await.unwrap_err();
    assert_eq!((reason(&refused), outcome(&refused)), ("NOT_LEADER".into(), "NOT_APPLIED".into()));
    let info = refused.get_details_error_info().unwrap();
    assert_eq!((&*info.metadata["leader_id"], &*info.metadata["leader_url"]), ("2", "http://n2:2379"));
    assert_eq!(refused.metadata().get("kontiki-leader").unwrap(), "http://n2:2379");
    assert!(leader.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn without_a_leader_writes_are_refused_soon_and_local_reads_go_on() {
    let node = Node::of_three().await;
    let begin = Instant::now();
    let refused = node.kv().put(put("k", "v")).await.unwrap_err();
    assert!(begin.elapsed() < Duration::from_secs(3), "about an election timeout is waited");
    assert_eq!(refused.code(), Code::Unavailable);
    assert_eq!((reason(&refused), outcome(&refused)), ("NO_LEADER".into(), "NOT_APPLIED".into()));
    assert!(refused.get_details_retry_info().unwrap().retry_delay.is_some());

    assert_eq!(reason(&node.kv().get(get("k")).await.unwrap_err()), "NO_LEADER");
    let local = v1::GetRequest { read_level: v1::ReadLevel::Local.into(), ..get("k") };
    let header = node.kv().get(local).await.unwrap().into_inner().header.unwrap();
    assert_eq!((header.revision, &*header.served_by), (1, "n1"));
}

#[tokio::test]
async fn a_follower_reads_by_itself_once_the_leader_gave_an_index() {
    let node = follower(None).await;
    let refused = node.kv().get(get("k")).await.unwrap_err();
    assert_eq!(reason(&refused), "LEADER_UNREACHABLE");
    assert!(refused.message().contains("the line is dead"), "{}", refused.message());

    *node.peers.read_index.lock().unwrap() = Some(Index(0));
    let header = node.kv().get(get("k")).await.unwrap().into_inner().header.unwrap();
    assert_eq!((&*header.served_by, header.read_level()), ("n1", v1::ReadLevel::Linearizable));
    assert_eq!(header.role(), v1::NodeRole::Follower);
}
