//! From what storage loaded to a running loop.

use crate::kv::{Machine, Table, TableError};
use crate::raft::{Members, Node, Restored};
use crate::replica::driver::{Driver, Inbox, Running, Workers, status};
use crate::replica::fatal::Fatal;
use crate::replica::handle::{Handle, Inner};
use crate::replica::options::ReplicaOptions;
use crate::replica::pending::Pending;
use crate::replica::published::Published;
use crate::replica::transfer::Transfers;
use crate::replica::transport::Transport;
use crate::replica::{applier, log_writer, state_syncer, watchdog};
use crate::storage::{
    LogStore, RestoredLog, StateStore, Unfinished, decode_members, encode_members, watched,
};
use crate::types::{ClusterId, EntryId, Index, NodeId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};

/// What a replica is made of.
pub struct Start {
    /// The cluster.
    pub cluster: ClusterId,
    /// This node.
    pub node: NodeId,
    /// The members of a new cluster; later ones come from the log.
    pub founders: Members,
    /// Settings.
    pub options: ReplicaOptions,
    /// Makes election timeouts random.
    pub seed: u64,
    /// The log on disk.
    pub log: Box<dyn LogStore>,
    /// What the log held.
    pub restored: RestoredLog,
    /// The state on disk.
    pub states: StateStore,
    /// The way to the peers.
    pub transport: Arc<dyn Transport>,
    /// Ends the process.
    pub fatal: Fatal,
}

/// A replica could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state cannot be read.
    #[error(transparent)]
    State(#[from] TableError),
    /// The state and the log do not fit each other.
    #[error("the data directory is damaged: {0}; replace this member")]
    Damaged(String),
    /// A thread could not be started.
    #[error("a worker thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// Starts the loop on the current runtime. Blocks while the state is read.
pub fn start(parts: Start) -> Result<Handle, StartError> {
    let Start { cluster, node: id, founders, options, seed, log, restored, states, transport, fatal } = parts;
    let states = Arc::new(states);
    let mut machine = open(states.table(), options.open_timeout)?;
    if machine.members().is_empty() {
        machine.found(encode_members(&founders));
        machine.commit()?;
    }
    let restored = restore(&machine, restored, states.installed())?;
    let node = Node::new(id, options.raft.clone(), seed, restored);
    let published = Arc::new(Published::new(machine.view(), status(&node)));

    let (facts, facts_queue) = mpsc::unbounded_channel();
    let (messages, messages_queue) = mpsc::channel(options.messages_max);
    let (requests, requests_queue) = mpsc::channel(options.requests_max);
    let workers = Workers {
        log_writer: log_writer::start(
            log,
            options.log_write_bytes,
            published.clone(),
            facts.clone(),
            fatal.clone(),
        )?,
        applier: applier::start(machine, states.clone(), published.clone(), facts.clone(), fatal.clone())?,
        state_syncer: state_syncer::start(
            states.clone(),
            published.clone(),
            options.state_sync_interval,
            options.disk_reserve,
            facts.clone(),
            fatal.clone(),
        )?,
    };
    let driver = Driver {
        running: Running(published.clone()),
        node,
        cluster,
        options,
        transport,
        workers,
        published: published.clone(),
        pending: Pending::default(),
        reads: BTreeMap::new(),
        next_token: 0,
        transfers: Transfers::default(),
        install: None,
        needed: BTreeMap::new(),
        batch: Vec::new(),
        state_durable: Index(0),
        stopped: None,
    };
    let inbox = Inbox { facts: facts_queue, messages: messages_queue, requests: requests_queue };
    let silence_max = driver.options.disk_timeout;
    let clocks = driver.workers.clocks();
    let running = tokio::spawn(driver.run(inbox));
    watchdog::start(fatal.clone(), &published, clocks, silence_max)?;
    tokio::spawn(async move {
        if running.await.is_err_and(|error| error.is_panic()) {
            fatal.fail("the loop failed: a bug in Kontiki, please report it with the lines above");
        }
    });
    let receiving = Arc::new(Semaphore::new(1));
    let waiting_bytes = Arc::default();
    let inner = Inner { cluster, requests, messages, facts, published, states, receiving, waiting_bytes };
    Ok(Handle { inner: Arc::new(inner) })
}

/// The first reading of everything. The engine may hang or panic over damage.
fn open(table: Arc<dyn Table>, timeout: Duration) -> Result<Machine, StartError> {
    match watched("open-state", timeout, move || Machine::open(table)) {
        Ok(machine) => Ok(machine?),
        Err(Unfinished::Hung(timeout)) => {
            Err(StartError::Damaged(format!("the state could not be read within {timeout:?}")))
        }
        Err(Unfinished::Panicked(reason)) => {
            Err(StartError::Damaged(format!("the engine failed while the state was read: {reason}")))
        }
    }
}

/// Joins what the log and the state say.
fn restore(machine: &Machine, log: RestoredLog, installed: Option<EntryId>) -> Result<Restored, StartError> {
    let applied = machine.applied();
    let holds = applied == log.base || log.entries.iter().any(|entry| entry.id == applied);
    if !holds && applied.index >= log.base.index && installed != Some(applied) {
        // Entries are applied only when they are durable here. Without a snapshot the
        // state can be ahead of the log only if the log has lost what was promised.
        return Err(StartError::Damaged(format!(
            "the state includes entry {applied}, but the log ends at {}: its end is lost",
            log.last()
        )));
    }
    let members =
        decode_members(machine.members()).map_err(|error| StartError::Damaged(error.to_string()))?;
    if applied.index < log.base.index {
        // The log is only compacted below what the state holds durably.
        return Err(StartError::Damaged(format!(
            "the log begins behind {}, but the state ends at {applied}",
            log.base
        )));
    }
    Ok(Restored { hard_state: log.hard_state, base: log.base, entries: log.entries, applied, members })
}
