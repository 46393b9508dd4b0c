//! A node that has connections to peers and nothing behind them.

use bytes::Bytes;
use kontiki::api::fault::Fault;
use kontiki::api::node_status::NodeStatus;
use kontiki::api::remote::{Answer, Later, Question, Responder};
use kontiki::kv::PutResult;
use kontiki::machine::ClusterVersion;
use kontiki::machine::{CommandResult, Reply};
use kontiki::member::Member;
use kontiki::peers::{
    Identity, KnownDirectories, PeerEvents, PeerSettings, Peers, RememberError, SnapshotSink,
};
use kontiki::proto::raft::raft_service_client::RaftServiceClient;
use kontiki::raft::{
    Append, Entry, Heartbeat, Members, Message, Payload, RoleName, Round, SnapshotMeta, Vote,
};
use kontiki::reason::Reason;
use kontiki::replica::{Applied, InstallError, SnapshotError, Transport as _};
use kontiki::settings::SharedSettings;
use kontiki::types::{ClusterId, DirectoryId, EntryId, Index, NodeId, Revision, Term};
use std::collections::HashMap;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tonic::transport::Channel;

/// What a listener heard.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    Message(NodeId, Message),
    Lost(NodeId),
    SnapshotSent(NodeId, Result<Index, SnapshotError>),
    SnapshotBegun(NodeId, Term, SnapshotMeta),
    SnapshotInstalled(Bytes),
    SnapshotDiscarded,
}

/// Takes the replica's place and records what it hears.
#[derive(Default)]
pub struct Listener {
    pub heard: Mutex<Vec<Heard>>,
    /// Held by a test that wants deliveries to stop.
    pub stuck: Mutex<()>,
    /// Whether vote requests are left to the test to answer.
    pub votes_by_hand: AtomicBool,
    /// How to answer a vote request.
    pub voter: Mutex<Option<Peers>>,
    pub read_indexes: AtomicU64,
    pub not_leader: AtomicBool,
    /// The commands that it was asked to propose.
    pub proposed: Mutex<Vec<Bytes>>,
    /// What members said of themselves.
    pub advertised: Mutex<Vec<Member>>,
    /// Whether a proposal is never answered.
    pub hangs: AtomicBool,
}

impl Listener {
    fn note(&self, heard: Heard) {
        self.heard.lock().unwrap().push(heard);
    }

    /// Waits until `pick` finds what it looks for.
    pub fn wait<T>(&self, what: &str, pick: impl Fn(&[Heard]) -> Option<T>) -> T {
        let started = Instant::now();
        loop {
            if let Some(found) = pick(&self.heard.lock().unwrap()) {
                return found;
            }
            let heard = self.heard.lock().unwrap().len();
            assert!(
                started.elapsed() < Duration::from_secs(15),
                "{what} did not happen; {heard} other things did"
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn wait_for(&self, expected: &Heard) {
        self.wait(&format!("{expected:?}"), |heard| heard.contains(expected).then_some(()));
    }

    pub fn count(&self, of: impl Fn(&Heard) -> bool) -> usize {
        self.heard.lock().unwrap().iter().filter(|heard| of(heard)).count()
    }
}

/// The replica's place. A newtype, since the trait and `Arc` are foreign here.
struct Events(Arc<Listener>);

#[tonic::async_trait]
impl PeerEvents for Events {
    fn deliver(&self, from: NodeId, message: Message) -> bool {
        drop(self.0.stuck.lock().unwrap());
        if let Message::RequestVote(request) = &message
            && !self.0.votes_by_hand.load(Ordering::SeqCst)
            && let Some(peers) = &*self.0.voter.lock().unwrap()
        {
            let vote = Vote { term: request.term, granted: true, pre: request.pre };
            assert!(peers.send(from, Message::Vote(vote)), "the call listens before it delivers");
        }
        self.0.note(Heard::Message(from, message));
        true
    }

    fn peer_lost(&self, peer: NodeId) {
        self.0.note(Heard::Lost(peer));
    }

    fn snapshot_sent(&self, peer: NodeId, outcome: Result<Index, SnapshotError>) {
        self.0.note(Heard::SnapshotSent(peer, outcome));
    }

    async fn receive_snapshot(
        &self,
        from: NodeId,
        term: Term,
        meta: SnapshotMeta,
    ) -> Result<Box<dyn SnapshotSink>, InstallError> {
        if meta.last.index == Index(1) {
            return Err(InstallError::Stale("has 1 already".into()));
        }
        self.0.note(Heard::SnapshotBegun(from, term, meta.clone()));
        Ok(Box::new(Sink { listener: self.0.clone(), meta, bytes: Vec::new(), finished: false }))
    }
}

/// The api's place.
struct Answers(Arc<Listener>);

impl Answers {
    async fn answer(&self, question: Question) -> Result<Answer, Fault> {
        if self.0.not_leader.load(Ordering::SeqCst) {
            return Err(Fault::new(Reason::NotLeader, "n3 leads").not_applied());
        }
        match question {
            Question::Propose(command) => {
                let number = {
                    let mut proposed = self.0.proposed.lock().unwrap();
                    proposed.push(command);
                    proposed.len() as u64
                };
                if self.0.hangs.load(Ordering::SeqCst) {
                    std::future::pending::<()>().await;
                }
                Ok(Answer::Applied(applied(number)))
            }
            Question::ReadIndex => {
                tokio::time::sleep(Duration::from_millis(30)).await;
                Ok(Answer::ReadIndex(Index(self.0.read_indexes.fetch_add(1, Ordering::SeqCst) + 1)))
            }
            Question::Transfer(to) => Ok(Answer::Leads(to.unwrap_or(NodeId(3)))),
            Question::Advertise(member) => {
                self.0.advertised.lock().unwrap().push(member);
                Ok(Answer::Advertised)
            }
        }
    }
}

impl Responder for Answers {
    fn answer(self: Arc<Self>, question: Question, _time: Duration) -> Later<Result<Answer, Fault>> {
        Box::pin(async move { Answers::answer(&self, question).await })
    }

    fn status(&self) -> NodeStatus {
        status()
    }
}

/// The answer to the `number`th command.
pub fn applied(number: u64) -> Applied {
    let result = CommandResult::Put(PutResult { previous: None });
    Applied { id: EntryId::new(1, number), reply: Reply { revision: Revision(number + 1), result } }
}

/// How every node is that stands in the api's place.
pub fn status() -> NodeStatus {
    NodeStatus {
        node: NodeId(2),
        role: RoleName::Leader,
        term: Term(1),
        leader: Some(NodeId(2)),
        commit: Index(3),
        applied: Index(2),
        last: Index(3),
        durable: Index(3),
        compacted: Index(0),
        revision: Revision(3),
        compact_revision: Revision(1),
        keys: 1,
        disk_bytes: 1,
        uptime_seconds: 1,
        version: "test".into(),
        durability: "none".into(),
        state_hash: 7,
        not_ready: None,
        followers: Vec::new(),
        longest_apply: Duration::ZERO,
    }
}

struct Sink {
    listener: Arc<Listener>,
    meta: SnapshotMeta,
    bytes: Vec<u8>,
    finished: bool,
}

#[tonic::async_trait]
impl SnapshotSink for Sink {
    async fn push(&mut self, data: Bytes) -> Result<(), InstallError> {
        self.bytes.extend_from_slice(&data);
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<(Term, Index), InstallError> {
        self.finished = true;
        self.listener.note(Heard::SnapshotInstalled(std::mem::take(&mut self.bytes).into()));
        Ok((Term(1), self.meta.last.index))
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if !self.finished {
            self.listener.note(Heard::SnapshotDiscarded);
        }
    }
}

/// Directories in memory.
#[derive(Default)]
pub struct Known(Mutex<HashMap<NodeId, DirectoryId>>);

impl KnownDirectories for Known {
    fn remember(&self, peer: NodeId, directory: DirectoryId) -> Result<(), RememberError> {
        let known = *self.0.lock().unwrap().entry(peer).or_insert(directory);
        if known == directory { Ok(()) } else { Err(RememberError::Differs { known }) }
    }
}

/// The plan of a cluster: its nodes, their addresses and directories.
pub struct Plan {
    pub settings: PeerSettings,
    pub cluster: ClusterId,
    pub heartbeat_ms: u64,
    pub founders: Vec<String>,
    pub directories: HashMap<u64, u64>,
    /// Where a node says that it is, if that is not where its peers find it.
    pub said: HashMap<u64, String>,
    known: HashMap<u64, Arc<Known>>,
    ports: HashMap<u64, u16>,
    /// Bound while the ports were chosen, until the nodes take them.
    sockets: Mutex<HashMap<u64, TcpListener>>,
}

impl Plan {
    /// Nodes 1 to `size`.
    pub fn of(size: u64) -> Self {
        let sockets: HashMap<u64, TcpListener> =
            (1..=size).map(|node| (node, TcpListener::bind("127.0.0.1:0").unwrap())).collect();
        Self {
            settings: PeerSettings {
                backoff_max: Duration::from_millis(100),
                refused_pause: Duration::from_millis(100),
                ..PeerSettings::default()
            },
            cluster: ClusterId(7),
            heartbeat_ms: 50,
            founders: (1..=size).map(|node| format!("n{node}")).collect(),
            directories: (1..=size).map(|node| (node, 100 + node)).collect(),
            said: HashMap::new(),
            known: (1..=size).map(|node| (node, Arc::default())).collect(),
            ports: sockets
                .iter()
                .map(|(node, socket)| (*node, socket.local_addr().unwrap().port()))
                .collect(),
            sockets: Mutex::new(sockets),
        }
    }

    /// Another plan for the same addresses, which nobody listens on yet.
    pub fn at_the_same_addresses(other: &Self) -> Self {
        other.sockets.lock().unwrap().clear();
        Self {
            settings: other.settings.clone(),
            founders: other.founders.clone(),
            directories: other.directories.clone(),
            said: other.said.clone(),
            known: other.known.keys().map(|node| (*node, Arc::default())).collect(),
            ports: other.ports.clone(),
            sockets: Mutex::default(),
            ..*other
        }
    }

    /// Nobody listens there.
    pub fn leave(&self, node: u64) {
        self.sockets.lock().unwrap().remove(&node);
    }

    /// Takes one node for another.
    pub fn confuse(&mut self, node: u64, with: u64) {
        self.ports.insert(node, self.ports[&with]);
    }

    pub fn identity(&self, node: u64) -> Identity {
        Identity {
            cluster: self.cluster,
            node: NodeId(node),
            directory: DirectoryId(self.directories[&node]),
            process: 0,
            name: format!("n{node}"),
            peer_urls: vec![self.said.get(&node).cloned().unwrap_or_else(|| self.url(node))],
            client_url: format!("http://clients-of-n{node}"),
            settings: SharedSettings(vec![("peer protocol", 3), ("heartbeat-ms", self.heartbeat_ms)]),
            founders: self.founders.clone(),
            supports: ClusterVersion::SUPPORTED,
        }
    }

    /// A client that speaks to the node as its peers do.
    pub async fn client(&self, node: u64) -> RaftServiceClient<Channel> {
        RaftServiceClient::connect(self.url(node)).await.unwrap()
    }

    pub fn url(&self, node: u64) -> String {
        format!("http://127.0.0.1:{}", self.ports[&node])
    }

    /// The nodes, with their addresses.
    pub fn members(&self) -> Vec<Member> {
        let member = |node: &u64| Member {
            peer_urls: vec![self.url(*node)],
            ..Member::named(NodeId(*node), format!("n{node}"))
        };
        self.ports.keys().map(member).collect()
    }

    fn socket(&self, node: u64) -> TcpListener {
        let kept = self.sockets.lock().unwrap().remove(&node);
        let socket = kept.unwrap_or_else(|| self.bind_again(node));
        socket.set_nonblocking(true).unwrap();
        socket
    }

    /// A killed node's socket closes in a moment, not at once.
    fn bind_again(&self, node: u64) -> TcpListener {
        let started = Instant::now();
        loop {
            match TcpListener::bind(("127.0.0.1", self.ports[&node])) {
                Ok(socket) => return socket,
                Err(error) => assert!(started.elapsed() < Duration::from_secs(10), "{error}"),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A node: a runtime of its own, so that it can be killed like a process.
pub struct Node {
    pub id: NodeId,
    pub peers: Peers,
    pub listener: Arc<Listener>,
    pub stop: watch::Sender<bool>,
    /// The members, as the log says; at first they are those of the plan.
    pub members: watch::Sender<Arc<Members>>,
    runtime: Option<Runtime>,
}

impl Node {
    /// A node that serves and connects.
    pub fn started(plan: &Plan, node: u64) -> Self {
        let started = Self::serving(plan, node);
        started.start();
        started
    }

    /// A node that has no replica yet.
    pub fn serving(plan: &Plan, node: u64) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = Arc::new(Listener::default());
        let (stop, stopping) = watch::channel(false);
        let context = runtime.enter();
        let known = plan.known[&node].clone();
        let peers =
            Peers::new(plan.identity(node), plan.members(), known, plan.settings.clone(), stopping).unwrap();
        *listener.voter.lock().unwrap() = Some(peers.clone());
        let socket = tokio::net::TcpListener::from_std(plan.socket(node)).unwrap();
        let serving = peers.clone();
        runtime.spawn(async move { serving.serve(socket, std::future::pending()).await });
        drop(context);
        let members = watch::Sender::new(Arc::new(Members::founding(plan.members())));
        Self { id: NodeId(node), peers, listener, stop, members, runtime: Some(runtime) }
    }

    pub fn start(&self) {
        let (events, answers) = (Events(self.listener.clone()), Answers(self.listener.clone()));
        self.peers.start(Arc::new(events), Arc::new(answers), self.members.subscribe());
    }

    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.as_ref().unwrap().block_on(future)
    }

    pub fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        self.runtime.as_ref().unwrap().spawn(future)
    }

    /// Sends until it is heard: the first attempts may come before the stream is open.
    pub fn send_until_heard(&self, to: &Self, message: &Message) {
        let expected = Heard::Message(self.id, message.clone());
        to.listener.wait(&format!("{expected:?}"), |heard| {
            if !heard.contains(&expected) {
                self.peers.send(to.id, message.clone());
                return None;
            }
            Some(())
        });
    }
}

impl Drop for Node {
    /// As kill -9 does: sockets close, nothing is said.
    fn drop(&mut self) {
        *self.listener.voter.lock().unwrap() = None;
        self.runtime.take().unwrap().shutdown_background();
    }
}

/// An append of one command behind `prev`.
pub fn append(prev: u64, command: impl Into<Bytes>) -> Message {
    let id = EntryId::new(1, prev + 1);
    let prev = if prev == 0 { EntryId::ZERO } else { EntryId::new(1, prev) };
    let entries = vec![Entry { id, payload: Payload::Command(command.into()) }];
    Message::Append(Append { term: Term(1), prev, entries, commit: Index(0) })
}

/// A heartbeat of term 1.
pub fn heartbeat(round: u64) -> Message {
    Message::Heartbeat(Heartbeat { term: Term(1), commit: Index(0), round: Round(round) })
}
