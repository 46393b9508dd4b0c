//! A real cluster: processes of the program under test on loopback, with real
//! directories, that tests start, kill, pause and ask.

use kontiki::proto::v1;
use kontiki::proto::v1::cluster_service_client::ClusterServiceClient;
use kontiki::proto::v1::kv_service_client::KvServiceClient;
use kontiki::proto::v1::maintenance_service_client::MaintenanceServiceClient;
use std::collections::BTreeSet;
use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

/// How long to wait for a condition; even on a busy machine most take far less.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Clusters take turns: several at once would starve each other of the two
/// cores of a small machine, and elections would depend on that.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// See the module. Dropping it ends all processes; after a failure it shows their logs.
pub struct Cluster {
    pub nodes: Vec<Node>,
    pub dir: TempDir,
    _turn: tokio::sync::MutexGuard<'static, ()>,
}

/// One member, running or not.
pub struct Node {
    pub name: String,
    pub client_port: u16,
    pub peer_port: u16,
    /// Where it says that its peers find it, if that is not where it listens.
    pub advertised_peer_port: Option<u16>,
    pub data: PathBuf,
    log: PathBuf,
    arguments: Vec<String>,
    prefix: Vec<String>,
    child: Option<Child>,
}

/// How a cluster is made.
pub struct Setup {
    pub size: usize,
    pub arguments: Vec<String>,
    /// A command before the program's path, such as strace; `{log}` is replaced.
    pub prefix: Vec<String>,
    /// The nodes' data directories; without any they lie together in a temporary one.
    pub data: Vec<PathBuf>,
}

impl Default for Setup {
    fn default() -> Self {
        Self { size: 3, arguments: Vec::new(), prefix: Vec::new(), data: Vec::new() }
    }
}

impl Setup {
    /// A command that runs each node under limits of the shell's `ulimit`, as `-Sn 1024`.
    pub fn under_ulimit(limits: &str) -> Vec<String> {
        ["sh", "-c", &format!("ulimit {limits} && exec \"$0\" \"$@\"")].map(str::to_owned).to_vec()
    }
}

impl Cluster {
    /// Three nodes, started, with a leader.
    pub async fn start() -> Self {
        let mut cluster = Self::prepare(Setup::default()).await;
        cluster.start_all();
        cluster.leader().await;
        cluster
    }

    /// Nodes with ports and directories, not started.
    pub async fn prepare(setup: Setup) -> Self {
        let turn = TURN.lock().await;
        let dir = tempfile::tempdir().unwrap();
        let ports = free_ports(setup.size * 2);
        let names: Vec<String> = (1..=setup.size).map(|number| format!("n{number}")).collect();
        let members: Vec<String> = names
            .iter()
            .zip(ports.chunks(2))
            .map(|(name, port)| format!("{name}=http://127.0.0.1:{}", port[1]))
            .collect();
        let nodes = names.iter().zip(ports.chunks(2)).enumerate().map(|(place, (name, port))| Node {
            name: name.clone(),
            client_port: port[0],
            peer_port: port[1],
            advertised_peer_port: None,
            data: setup.data.get(place).cloned().unwrap_or_else(|| dir.path().join(name)),
            log: dir.path().join(format!("{name}.log")),
            arguments: [
                &["--initial-cluster".to_owned(), members.join(",")][..],
                &["--cluster-token".to_owned(), "test".to_owned()][..],
                &setup.arguments[..],
            ]
            .concat(),
            prefix: setup.prefix.clone(),
            child: None,
        });
        Self { nodes: nodes.collect(), dir, _turn: turn }
    }

    pub fn start_all(&mut self) {
        for node in &mut self.nodes {
            node.start();
        }
    }

    /// Waits until one running node leads and says so itself; answers its place.
    pub async fn leader(&self) -> usize {
        self.leader_other_than(None).await
    }

    /// The same, for a leader that is not `old`.
    pub async fn leader_other_than(&self, old: Option<usize>) -> usize {
        until("a node leads", || async {
            for (place, node) in self.nodes.iter().enumerate() {
                if Some(place) != old && node.is_running() && node.leads().await {
                    return Some(place);
                }
            }
            None
        })
        .await
    }

    /// Another running node than `not`.
    pub fn other_than(&self, not: usize) -> usize {
        (0..self.nodes.len()).find(|place| *place != not && self.nodes[*place].is_running()).unwrap()
    }

    /// A node that is a cluster of its own, with other ports and another token; not started.
    pub fn stranger(&self) -> Node {
        let ports = free_ports(2);
        let name = "stranger".to_owned();
        let members = format!("{name}=http://127.0.0.1:{}", ports[1]);
        Node {
            client_port: ports[0],
            peer_port: ports[1],
            advertised_peer_port: None,
            data: self.dir.path().join(&name),
            log: self.dir.path().join("stranger.log"),
            arguments: ["--initial-cluster", &members, "--cluster-token", "other"]
                .map(str::to_owned)
                .to_vec(),
            prefix: Vec::new(),
            child: None,
            name,
        }
    }

    /// Waits until all running nodes have applied what the first leader has, and checks that
    /// their states are equal, by what they read from their disks.
    pub async fn assert_equal_states(&self) {
        let leader = self.leader().await;
        let revision = self.nodes[leader].revision().await;
        let mut hashes = Vec::new();
        for node in self.nodes.iter().filter(|node| node.is_running()) {
            let hash = until(&format!("{} hashes revision {revision}", node.name), || async {
                let request = v1::HashRequest { revision };
                node.maintenance().hash(request).await.ok().map(tonic::Response::into_inner)
            })
            .await;
            hashes.push((hash.revision, hash.compact_revision, hash.hash, hash.records));
        }
        hashes.dedup();
        assert_eq!(hashes.len(), 1, "the states differ: {hashes:?}");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            node.kill();
        }
        if std::thread::panicking() {
            for node in &self.nodes {
                eprintln!("--- the last lines of {}'s log\n{}", node.name, node.log_tail(40));
            }
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Node {
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "{} runs already", self.name);
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        let program = env!("CARGO_BIN_EXE_kontiki").to_owned();
        let prefix = self.prefix.iter().map(|word| word.replace("{log}", &self.log.display().to_string()));
        let mut words = prefix.chain([program]);
        let mut command = Command::new(words.next().unwrap());
        command
            .args(words)
            .args(["serve", "--name", &self.name, "--data-dir"])
            .arg(&self.data)
            .args(["--listen-client", &format!("127.0.0.1:{}", self.client_port)])
            .args(["--advertise-client", &self.client_url()])
            .args(["--listen-peer", &format!("127.0.0.1:{}", self.peer_port)])
            .args(["--advertise-peer", &self.peer_url()])
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("KONTIKI_")) {
            command.env_remove(name);
        }
        self.child = Some(command.spawn().unwrap());
    }

    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// Whether it was started and has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_some())
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// kill -9: nothing is handed over, nothing is flushed.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub fn signal(&self, name: &str) {
        let done = Command::new("kill").args([format!("-{name}"), self.pid().to_string()]).status().unwrap();
        assert!(done.success());
    }

    /// Waits until the process ends by itself.
    pub async fn exit(&mut self) -> ExitStatus {
        let child = self.child.as_mut().unwrap();
        let start = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < PATIENCE, "{} does not end", self.name);
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        self.child = None;
        status
    }

    pub fn log_text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn log_tail(&self, lines: usize) -> String {
        let text = self.log_text();
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    pub fn add_arguments(&mut self, arguments: &[&str]) {
        self.arguments.extend(arguments.iter().map(|word| (*word).to_owned()));
    }

    /// From its next start on it looks for the member at one peer port at another.
    pub fn mistype(&mut self, peer_port: u16, other: u16) {
        for argument in &mut self.arguments {
            *argument = argument.replace(&format!(":{peer_port}"), &format!(":{other}"));
        }
    }

    /// From its next start on it says that its peers find it at this port, where nobody listens.
    pub fn say_to_be_at(&mut self, port: u16) {
        self.mistype(self.peer_port, port);
        self.advertised_peer_port = Some(port);
    }

    /// From its next start on the node listens at this peer port; nobody else is told.
    pub fn move_to(&mut self, peer_port: u16) {
        self.mistype(self.peer_port, peer_port);
        self.peer_port = peer_port;
    }

    /// Its next start gets this list of members.
    pub fn set_initial_cluster(&mut self, list: &str) {
        let flag = self.arguments.iter().position(|word| word == "--initial-cluster").unwrap();
        list.clone_into(&mut self.arguments[flag + 1]);
    }

    /// Where it says that its peers find it.
    pub fn peer_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.advertised_peer_port.unwrap_or(self.peer_port))
    }

    pub fn client_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.client_port)
    }

    fn channel(&self) -> Channel {
        Endpoint::from_shared(self.client_url())
            .unwrap()
            .connect_timeout(Duration::from_secs(1))
            .timeout(Duration::from_secs(10))
            .tcp_nodelay(true)
            .connect_lazy()
    }

    pub fn kv(&self) -> KvServiceClient<Channel> {
        KvServiceClient::new(self.channel())
    }

    pub fn cluster(&self) -> ClusterServiceClient<Channel> {
        ClusterServiceClient::new(self.channel())
    }

    pub fn maintenance(&self) -> MaintenanceServiceClient<Channel> {
        MaintenanceServiceClient::new(self.channel())
    }

    /// What the node says of itself, if it answers.
    pub async fn status(&self) -> Option<v1::NodeStatus> {
        let mut request = tonic::Request::new(v1::StatusRequest { local_only: true });
        request.set_timeout(Duration::from_secs(2));
        let answer = self.cluster().status(request).await.ok()?.into_inner();
        answer.nodes.into_iter().next()
    }

    async fn leads(&self) -> bool {
        self.status().await.is_some_and(|status| status.role == i32::from(v1::NodeRole::Leader))
    }

    pub async fn revision(&self) -> i64 {
        until("a revision", || async { self.status().await.map(|status| status.revision) }).await
    }

    /// Waits until the node serves linearizable requests.
    pub async fn ready(&self) -> v1::NodeStatus {
        until(&format!("{} is ready", self.name), || async {
            self.status().await.filter(|status| status.ready)
        })
        .await
    }
}

/// Waits for a condition; a failure says what it waited for.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut condition: impl FnMut() -> F) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = condition().await {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Ports that nobody uses at the moment, and that no test of this process was given before: whoever was may not listen
/// on them yet.
pub fn free_ports(count: usize) -> Vec<u16> {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut ports, mut held) = (Vec::new(), Vec::new());
    while ports.len() < count {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        if given.insert(port) {
            ports.push(port);
        }
        held.push(listener);
    }
    ports
}

pub fn put(key: &str, value: &str) -> v1::PutRequest {
    v1::PutRequest {
        key_form: Some(v1::put_request::KeyForm::Key(key.to_owned())),
        value_form: Some(v1::put_request::ValueForm::Value(value.to_owned())),
        return_previous: false,
    }
}

pub fn get(key: &str, level: v1::ReadLevel) -> v1::GetRequest {
    v1::GetRequest {
        key_form: Some(v1::get_request::KeyForm::Key(key.to_owned())),
        read_level: level.into(),
        ..Default::default()
    }
}

/// The text of a value.
pub fn text(kv: Option<v1::KeyValue>) -> Option<String> {
    match kv?.value_form? {
        v1::key_value::ValueForm::Value(text) => Some(text),
        v1::key_value::ValueForm::ValueBytes(bytes) => panic!("text was asked for, not {bytes:?}"),
    }
}
