//! One node as a process: the order of its start and stop.
//!
//! ```text
//! start   open the data directory ─▶ bind both listeners ─▶ introduce a new directory to the others
//!         ─▶ start the replica ─▶ connect to the peers ─▶ serve clients
//! stop    not ready ─▶ hand leadership over ─▶ finish what is under way ─▶ close the listeners
//!         ─▶ end the loop, everything applied made durable
//! ```
//!
//! Clients are served on a thread of their own (`clients`). `introduction` is what a node says before it can take part, `initial_cluster` the list in its settings, `advertise`
//! puts its URLs into the log, `reachability` warns if nobody
//! can reach it there, `leaders` logs who leads, `signals` are what the parts wait for when it stops.

mod advertise;
mod clients;
mod cluster_version;
mod error;
mod initial_cluster;
mod introduction;
mod leaders;
mod reachability;
mod signals;

pub use error::ServeError;

use crate::api::clock::SystemClock;
use crate::api::context::{Api, Bounds};
use crate::api::router::Router;
use crate::config::ServeConfig;
use crate::connections::descriptors;
use crate::machine::{ClusterVersion, RECORD_CACHE_BYTES};
use crate::peers::secret::ClusterSecret;
use crate::peers::{Identity, KnownDirectories, PeerSettings, Peers, RememberError};
use crate::raft::RoleName;
use crate::replica::{self, Ending, Fatal, Handle, ReplicaOptions, Retention, Start};
use crate::server::introduction::EarlyClients;
use crate::server::signals::{Signals, given};
use crate::storage::{self, IdentityFile, PeerDirectories, Seen, Storage, VacuumSettings};
use crate::types::{DirectoryId, NodeId};
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Opening includes recovery from a crash; a larger state takes longer.
const OPEN_TIMEOUT: Duration = Duration::from_secs(120);
/// A stop takes at most the sum of these.
const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(2);
const FINISH_TIMEOUT: Duration = Duration::from_secs(4);
const END_TIMEOUT: Duration = Duration::from_secs(3);

/// Runs a node until `stop` resolves, then stops it in order (at most about 10 s).
pub async fn run(config: ServeConfig, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
    tokio::pin!(stop);
    let node = tokio::select! {
        node = Server::start(config) => node?,
        () = &mut stop => return Ok(()),
    };
    node.serve(stop).await
}

struct Server {
    handle: Handle,
    fatal: Fatal,
    clients: Listener,
    peers: Listener,
    signals: Signals,
}

type Listener = JoinHandle<Result<(), tonic::transport::Error>>;

impl Server {
    async fn start(mut config: ServeConfig) -> Result<Self, ServeError> {
        let started = Instant::now();
        let secret = cluster_secret(&config)?;
        config.limits.connections =
            descriptors::prepare(config.limits.connections, PeerSettings::default().connections)?;
        let Storage { identity, peers: known, log, storer, restored, states } = open(&config).await?;
        let founding = identity.identity().clone();
        let client_socket = listen(&config.listen_client, "clients").await?;
        let peer_socket = listen(&config.listen_peer, "the other nodes").await?;
        let signals = Signals::default();
        let peers = peers(&config, secret, &identity, known, signals.close_peers.subscribe())?;
        let early = EarlyClients::serve(&config, client_socket, peers.watch_waiting_for())?;
        reachability::warn_of_ports(&config);
        tokio::spawn(reachability::watch(
            peers.clone(),
            config.advertise_peer.clone(),
            given(signals.stopping.subscribe()),
        ));
        let peer_socket = introduction::introduce(&peers, peer_socket, identity).await?;

        let fatal = Fatal::default();
        let retention = Retention { entries: config.log_retain_entries, bytes: config.log_retain_bytes };
        let mut options = ReplicaOptions::new(&config.timing, retention);
        options.disk_reserve = config.disk_reserve_bytes;
        let parts = Start {
            cluster: founding.cluster,
            node: founding.node,
            founders: initial_cluster::founders(&founding),
            options,
            seed: fastrand::u64(..),
            log,
            storer,
            restored,
            states,
            transport: Arc::new(peers.clone()),
            fatal: fatal.clone(),
        };
        // It reads the whole state, so not on the loop's thread.
        let started_replica = tokio::task::spawn_blocking(move || replica::start(parts)).await;
        let handle = started_replica
            .map_err(|error| ServeError::Fatal(Ending::bug(format!("the start failed: {error}"))))??;
        let api = Arc::new(api(&config, &founding, &handle, &peers, started, &signals));
        peers.start(Arc::new(handle.clone()), api.clone(), handle.watch_members());
        let closing = given(signals.close_peers.subscribe());
        let peer_listener = {
            let peers = peers.clone();
            async move { peers.serve(peer_socket, closing).await }
        };
        let client_socket = early.end().await?;
        let closing = given(signals.close_clients.subscribe());
        let at_clients = (*api).clone();
        let clients =
            clients::serve(config.worker_threads, client_socket, || at_clients.for_clients_here(), closing)?;
        tracing::info!(
            node = config.name,
            clients = config.listen_client,
            peers = config.listen_peer,
            members = handle.status().members.all().count(),
            durability = durability(&config),
            "started",
        );
        let stopping = given(signals.stopping.subscribe());
        tokio::spawn(cluster_version::keep(handle.clone(), peers.clone(), stopping));
        let own = config.own();
        initial_cluster::compare(&config.initial_cluster, &handle.status().members, &own);
        tokio::spawn(advertise::keep(api, own, given(signals.stopping.subscribe())));
        tokio::spawn(leaders::tell(handle.watch_status()));
        Ok(Self {
            handle,
            fatal,
            clients,
            peers: tokio::spawn(peer_listener),
            signals,
        })
    }

    async fn serve(mut self, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
        tokio::select! {
            () = stop => {
                self.stop().await;
                Ok(())
            }
            ending = self.fatal.wait() => Err(ServeError::Fatal(ending)),
            outcome = &mut self.clients => Err(ended("clients", outcome)),
            outcome = &mut self.peers => Err(ended("the other nodes", outcome)),
        }
    }

    async fn stop(mut self) {
        tracing::info!("stopping");
        self.signals.stopping.send_replace(true);
        if self.handle.status().role == RoleName::Leader {
            match tokio::time::timeout(HAND_OVER_TIMEOUT, self.handle.transfer_leadership(None)).await {
                Ok(Ok(leader)) => {
                    tracing::info!(
                        leader = self.handle.status().name_of(leader),
                        "leadership is handed over"
                    );
                }
                Ok(Err(error)) => tracing::warn!(%error, "leadership could not be handed over"),
                Err(_) => tracing::warn!("leadership could not be handed over in time"),
            }
        }
        self.signals.close_clients.send_replace(true);
        if tokio::time::timeout(FINISH_TIMEOUT, &mut self.clients).await.is_err() {
            tracing::warn!("some requests were still under way");
            self.clients.abort();
        }
        self.signals.close_peers.send_replace(true);
        self.peers.abort();
        if tokio::time::timeout(END_TIMEOUT, self.handle.stop()).await.is_err() {
            tracing::warn!("the disk was still busy; the log has all that was acknowledged");
        }
        tracing::info!("stopped");
    }
}

/// The error for a listener that ended, which it never does by itself.
fn ended(
    whom: &'static str,
    outcome: Result<Result<(), tonic::transport::Error>, tokio::task::JoinError>,
) -> ServeError {
    match outcome {
        Ok(Err(source)) => ServeError::Listener { whom, source },
        Ok(Ok(())) => ServeError::Fatal(Ending::bug(format!("the listener for {whom} ended"))),
        Err(error) => ServeError::Fatal(Ending::bug(format!("the listener for {whom} failed: {error}"))),
    }
}

async fn open(config: &ServeConfig) -> Result<Storage, ServeError> {
    let options = storage::Options {
        dir: config.data_dir.clone(),
        cluster: config.cluster_id(),
        founders: config.initial_cluster.iter().map(|member| (member.id, member.name.clone())).collect(),
        cluster_token: config.cluster_token.clone(),
        node: config.node_id(&config.name),
        name: config.name.clone(),
        fsync: config.fsync,
        log: storage::LogSettings::default(),
        cache_bytes: config.cache_bytes.saturating_sub(RECORD_CACHE_BYTES),
        vacuum: VacuumSettings::default(),
        open_timeout: OPEN_TIMEOUT,
    };
    if !config.fsync {
        tracing::warn!("--unsafe-no-fsync: a power cut may lose acknowledged writes");
    }
    match tokio::task::spawn_blocking(move || storage::open(&options)).await {
        Ok(opened) => Ok(opened?),
        Err(_) => Err(ServeError::Fatal(Ending::bug("the opening of the data directory was cut short"))),
    }
}

async fn listen(address: &str, whom: &'static str) -> Result<TcpListener, ServeError> {
    let failed = |source| ServeError::Listen { address: address.to_owned(), whom, source };
    let mut addresses = tokio::net::lookup_host(address).await.map_err(failed)?;
    let first: Option<SocketAddr> = addresses.next();
    let first = first.ok_or_else(|| failed(std::io::Error::other("the name has no address")))?;
    TcpListener::bind(first).await.map_err(failed)
}

fn peers(
    config: &ServeConfig,
    cluster_secret: Option<ClusterSecret>,
    identity: &IdentityFile,
    known: PeerDirectories,
    stopping: watch::Receiver<bool>,
) -> Result<Peers, ServeError> {
    let storage::Identity { cluster, node, directory, .. } = *identity.identity();
    let own = Identity {
        cluster,
        node,
        directory,
        process: fastrand::u64(1..),
        name: config.name.clone(),
        peer_urls: vec![config.advertise_peer.clone()],
        client_url: config.advertise_client.clone(),
        settings: config.shared_settings(),
        founders: identity.identity().founders.values().cloned().collect(),
        supports: ClusterVersion::SUPPORTED,
    };
    let settings = PeerSettings {
        cluster_secret,
        snapshot_bytes_per_second: NonZeroU64::new(config.snapshot_rate_bytes),
        ..PeerSettings::default()
    };
    let known = Arc::new(Known(Mutex::new(known)));
    Ok(Peers::new(own, config.initial_cluster.clone(), known, settings, stopping)?)
}

fn cluster_secret(config: &ServeConfig) -> Result<Option<ClusterSecret>, ServeError> {
    let Some(path) = &config.cluster_secret_file else { return Ok(None) };
    if config.create_cluster_secret {
        ClusterSecret::create_if_absent(path)?;
    }
    Ok(Some(ClusterSecret::read(path)?))
}

fn api(
    config: &ServeConfig,
    founding: &storage::Identity,
    handle: &Handle,
    peers: &Peers,
    started: Instant,
    signals: &Signals,
) -> Api {
    Api {
        router: Router {
            handle: handle.clone(),
            others: Arc::new(peers.clone()),
            own: founding.node,
            timing: config.timing.clone(),
            clock: SystemClock,
        },
        cluster: founding.cluster,
        name: config.name.clone(),
        limits: config.limits.clone(),
        version: env!("CARGO_PKG_VERSION"),
        durability: durability(config).to_owned(),
        started,
        shutting_down: signals.stopping.subscribe(),
        bounds: Bounds::new(&config.limits),
    }
}

fn durability(config: &ServeConfig) -> &'static str {
    if config.fsync { "fdatasync" } else { "UNSAFE: no fsync" }
}

/// The data directory's record of the peers' directories, for the connections.
struct Known(Mutex<PeerDirectories>);

impl KnownDirectories for Known {
    fn remember(&self, peer: NodeId, directory: DirectoryId) -> Result<(), RememberError> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match known.remember(peer, directory) {
            Ok(Seen::New | Seen::Same) => Ok(()),
            Ok(Seen::Different { known }) => Err(RememberError::Differs { known }),
            Err(error) => Err(RememberError::NotStored(error.to_string())),
        }
    }
}
