//! One real node in this process: real storage, replica and client listener. Only the peers are simulated.

use kontiki::api::clock::SystemClock;
use kontiki::api::context::{Api, Bounds};
use kontiki::api::node_status::NodeStatus;
use kontiki::api::remote::{Answer, Later, NoAnswer, OtherNodes, Question};
use kontiki::api::router::Router;
use kontiki::grpc::listener::serve_clients;
use kontiki::member::Member;
use kontiki::proto::v1;
use kontiki::proto::v1::cluster_service_client::ClusterServiceClient;
use kontiki::proto::v1::kv_service_client::KvServiceClient;
use kontiki::proto::v1::maintenance_service_client::MaintenanceServiceClient;
use kontiki::raft::Members;
use kontiki::replica::{Fatal, Handle, ReplicaOptions, Retention, Snapshot, Start, Transport, start};
use kontiki::settings::{Limits, Timing};
use kontiki::storage;
use kontiki::types::{ClusterId, NodeId, Term};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::transport::{Channel, Endpoint};

/// The node under test.
pub const SELF: NodeId = NodeId(1);

pub struct Node {
    pub handle: Handle,
    pub peers: Arc<Played>,
    pub channel: Channel,
    pub address: std::net::SocketAddr,
    pub stopping: watch::Sender<bool>,
    pub api: Arc<Api>,
    _dir: tempfile::TempDir,
}

/// The other nodes, simulated: their questions are recorded, and get the answers that the test has prepared,
/// in order; after that they are unreachable.
#[derive(Default)]
pub struct Played {
    /// What was asked, and until when.
    pub asked: Mutex<Vec<(NodeId, Question, tokio::time::Instant)>>,
    /// The next answers. `None` never comes.
    pub answers: Mutex<VecDeque<Option<Result<Answer, NoAnswer>>>>,
    /// How the others are.
    pub statuses: Mutex<BTreeMap<NodeId, NodeStatus>>,
}

impl Played {
    /// Prepares an answer.
    pub fn will_answer(&self, answer: Result<Answer, NoAnswer>) {
        self.answers.lock().unwrap().push_back(Some(answer));
    }

    /// How often they were asked.
    pub fn questions(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl OtherNodes for Played {
    fn ask(
        &self,
        node: NodeId,
        question: Question,
        deadline: tokio::time::Instant,
    ) -> Later<Result<Answer, NoAnswer>> {
        self.asked.lock().unwrap().push((node, question, deadline));
        let dead = || Some(Err(NoAnswer::NotSent("the line is dead".into())));
        match self.answers.lock().unwrap().pop_front().unwrap_or_else(dead) {
            Some(answer) => Box::pin(async move { answer }),
            None => Box::pin(std::future::pending()),
        }
    }

    fn status(&self, node: NodeId, _: tokio::time::Instant) -> Later<Result<NodeStatus, NoAnswer>> {
        let status = self.statuses.lock().unwrap().get(&node).cloned();
        Box::pin(async move { status.ok_or_else(|| NoAnswer::NotSent("connection refused".into())) })
    }
}

/// A member that has said where it is.
fn member(number: u64) -> Member {
    Member {
        peer_urls: vec![format!("http://n{number}:2380")],
        client_urls: vec![format!("http://n{number}:2379")],
        ..Member::named(NodeId(number), format!("n{number}"))
    }
}

/// Nothing arrives.
struct Silence;

impl Transport for Silence {
    fn send(&self, _to: NodeId, _message: kontiki::raft::Message) -> bool {
        true
    }

    fn send_snapshot(&self, _to: NodeId, _term: Term, _snapshot: Snapshot) {}
}

impl Node {
    /// A cluster of one, which leads itself.
    pub async fn alone() -> Self {
        Self::alone_with(Limits::default()).await
    }

    /// The same, with other limits.
    pub async fn alone_with(limits: Limits) -> Self {
        Self::alone_within(limits, Bounds::default()).await
    }

    /// The same, with other bounds too.
    pub async fn alone_within(limits: Limits, bounds: Bounds) -> Self {
        let node = Self::start(1, limits, bounds, 0).await;
        let leads = |status: &Arc<kontiki::replica::Status>| status.leader == Some(SELF);
        node.handle.watch_status().wait_for(leads).await.unwrap();
        node
    }

    /// One of three, whose peers say nothing.
    pub async fn of_three() -> Self {
        Self::start(3, Limits::default(), Bounds::default(), 0).await
    }

    /// A cluster of one, whose disk has less room than its reserve, but more than half of it.
    pub async fn short_of_room() -> Self {
        let disk = rustix::fs::statvfs(std::env::temp_dir()).unwrap();
        let reserve = disk.f_bavail * disk.f_frsize / 3 * 4;
        Self::start(1, Limits::default(), Bounds::default(), reserve).await
    }

    async fn start(members: u64, limits: Limits, bounds: Bounds, disk_reserve: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let cluster = ClusterId(7);
        let storage = storage::open(&storage::Options {
            dir: dir.path().join("n1"),
            cluster,
            founders: Default::default(),
            cluster_token: "test".into(),
            node: SELF,
            name: "n1".into(),
            fsync: false,
            log: kontiki::storage::LogSettings::default(),
            cache_bytes: 8 << 20,
            vacuum: Default::default(),
            open_timeout: Duration::from_secs(60),
        })
        .unwrap();
        let timing = Timing::fast();
        let mut options = ReplicaOptions::new(&timing, Retention::default());
        options.disk_reserve = disk_reserve;
        // A node that gives up ends its process, and here that is the whole suite's.
        options.disk_timeout = Duration::from_secs(60);
        let parts = Start {
            cluster,
            node: SELF,
            founders: Members::founding((1..=members).map(member)),
            options,
            seed: 1,
            log: storage.log,
            storer: storage.storer,
            restored: storage.restored,
            states: storage.states,
            transport: Arc::new(Silence),
            fatal: Fatal::default(),
        };
        let handle = start(parts).unwrap();
        let peers = Arc::new(Played::default());
        let (stopping, shutting_down) = watch::channel(false);
        let router =
            Router { handle: handle.clone(), others: peers.clone(), own: SELF, timing, clock: SystemClock };
        let api = Arc::new(Api {
            router,
            cluster,
            name: "n1".into(),
            limits,
            version: "test",
            durability: "none".into(),
            started: Instant::now(),
            shutting_down: shutting_down.clone(),
            bounds,
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve_clients(api.clone(), listener, async move {
            let mut shutting_down = shutting_down;
            let _ = shutting_down.wait_for(|stopping| *stopping).await;
        }));
        let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy();
        Self { handle, peers, channel, address, stopping, api, _dir: dir }
    }

    pub fn kv(&self) -> KvServiceClient<Channel> {
        KvServiceClient::new(self.channel.clone())
    }

    pub fn cluster(&self) -> ClusterServiceClient<Channel> {
        ClusterServiceClient::new(self.channel.clone())
    }

    pub fn maintenance(&self) -> MaintenanceServiceClient<Channel> {
        MaintenanceServiceClient::new(self.channel.clone())
    }

    /// Puts text, and answers the revision.
    pub async fn put(&self, key: &str, value: &str) -> i64 {
        let answer = self.kv().put(put(key, value)).await.unwrap().into_inner();
        answer.header.unwrap().revision
    }
}

pub fn put(key: &str, value: &str) -> v1::PutRequest {
    v1::PutRequest {
        key_form: Some(v1::put_request::KeyForm::Key(key.into())),
        value_form: Some(v1::put_request::ValueForm::Value(value.into())),
        return_previous: false,
    }
}

pub fn get(key: &str) -> v1::GetRequest {
    v1::GetRequest { key_form: Some(v1::get_request::KeyForm::Key(key.into())), ..Default::default() }
}

pub fn text(kv: &v1::KeyValue) -> (&str, &str) {
    match (&kv.key_form, &kv.value_form) {
        (Some(v1::key_value::KeyForm::Key(key)), Some(v1::key_value::ValueForm::Value(value))) => {
            (key, value)
        }
        other => panic!("no text: {other:?}"),
    }
}
