//! One true node in this process: real storage, replica and client listener.
//! Only the peers are played.

use kontiki::api::peer_calls::{MemberInfo, PeerCalls};
use kontiki::grpc::context::{Bounds, Context};
use kontiki::grpc::listener::serve_clients;
use kontiki::grpc::wire::header::Answerer;
use kontiki::proto::v1;
use kontiki::proto::v1::cluster_service_client::ClusterServiceClient;
use kontiki::proto::v1::kv_service_client::KvServiceClient;
use kontiki::proto::v1::maintenance_service_client::MaintenanceServiceClient;
use kontiki::raft::Members;
use kontiki::replica::{Fatal, Handle, ReplicaOptions, Retention, Snapshot, Start, Transport, start};
use kontiki::settings::{Limits, Timing};
use kontiki::storage;
use kontiki::types::{ClusterId, Index, NodeId, Term};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

/// The node under test.
pub const SELF: NodeId = NodeId(1);

/// See the module.
pub struct Node {
    pub handle: Handle,
    pub peers: Arc<Played>,
    pub channel: Channel,
    pub stopping: watch::Sender<bool>,
    pub context: Arc<Context>,
    _dir: tempfile::TempDir,
}

/// Peers as the test wants them.
#[derive(Default)]
pub struct Played {
    /// Where each peer's listener is.
    pub channels: Mutex<BTreeMap<NodeId, Channel>>,
    /// What the leader answers to a question for a read index.
    pub read_index: Mutex<Option<Index>>,
}

#[tonic::async_trait]
impl PeerCalls for Played {
    fn channel(&self, node: NodeId) -> Option<Channel> {
        self.channels.lock().unwrap().get(&node).cloned()
    }

    fn member(&self, node: NodeId) -> Option<MemberInfo> {
        self.members().into_iter().find(|member| member.node == node)
    }

    fn members(&self) -> Vec<MemberInfo> {
        let member = |number: u64| MemberInfo {
            node: NodeId(number),
            name: format!("n{number}"),
            peer_url: format!("http://n{number}:2380"),
            client_url: Some(format!("http://n{number}:2379")),
        };
        (1..=3).map(member).collect()
    }

    async fn read_index(&self, _leader: NodeId, _deadline: tokio::time::Instant) -> Result<Index, Status> {
        self.read_index.lock().unwrap().ok_or_else(|| Status::unavailable("the line is dead"))
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
        let node = Self::start(1, limits, bounds).await;
        let leads = |status: &Arc<kontiki::replica::Status>| status.leader == Some(SELF);
        node.handle.watch_status().wait_for(leads).await.unwrap();
        node
    }

    /// One of three, whose peers say nothing.
    pub async fn of_three() -> Self {
        Self::start(3, Limits::default(), Bounds::default()).await
    }

    async fn start(members: u64, limits: Limits, bounds: Bounds) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let cluster = ClusterId(7);
        let storage = storage::open(&storage::Options {
            dir: dir.path().join("n1"),
            cluster,
            cluster_token: "test".into(),
            node: SELF,
            name: "n1".into(),
            fsync: false,
            cache_bytes: 8 << 20,
            open_timeout: Duration::from_secs(60),
        })
        .unwrap();
        let timing = Timing::fast();
        let mut options = ReplicaOptions::new(&timing, Retention::default());
        options.disk_reserve = 0;
        // A node that gives up ends its process, and here that is the whole suite's.
        options.disk_timeout = Duration::from_secs(60);
        let handle = start(Start {
            cluster,
            node: SELF,
            founders: Members::of_voters((1..=members).map(NodeId)),
            options,
            seed: 1,
            log: storage.log,
            restored: storage.restored,
            states: storage.states,
            transport: Arc::new(Silence),
            fatal: Fatal::default(),
        })
        .unwrap();
        let peers = Arc::new(Played::default());
        let (stopping, shutting_down) = watch::channel(false);
        let context = Arc::new(Context {
            handle: handle.clone(),
            peers: peers.clone(),
            limits,
            timing,
            answerer: Answerer { cluster, node: SELF, name: "n1".into() },
            client_url: "http://n1:2379".into(),
            version: "test",
            durability: "none".into(),
            started: Instant::now(),
            shutting_down: shutting_down.clone(),
            bounds,
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve_clients(context.clone(), listener, async move {
            let mut shutting_down = shutting_down;
            let _ = shutting_down.wait_for(|stopping| *stopping).await;
        }));
        let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy();
        Self { handle, peers, channel, stopping, context, _dir: dir }
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
