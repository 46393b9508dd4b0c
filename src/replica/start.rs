//! From what storage loaded to a running loop.

use crate::budget::Budget;
use crate::machine::{Machine, Table};
use crate::raft::{Mark, Members, Node};
use crate::replica::applier::Applier;
use crate::replica::disk_pace::DiskPace;
use crate::replica::driver::{Driver, Inbox, Running, Workers, status};
use crate::replica::error::StartError;
use crate::replica::fatal::{Fatal, Remedy};
use crate::replica::handle::{Handle, Inner, WAITING_BYTES_MAX};
use crate::replica::log_reading::LogReading;
use crate::replica::log_retention::LogRetention;
use crate::replica::log_storer::LogStorer;
use crate::replica::log_writer::LogWriter;
use crate::replica::options::ReplicaOptions;
use crate::replica::pending::Pending;
use crate::replica::published::Published;
use crate::replica::restore;
use crate::replica::state_syncer::StateSyncer;
use crate::replica::transfer::Transfers;
use crate::replica::transport::Transport;
use crate::replica::waiters::Side;
use crate::replica::watchdog;
use crate::replica::worker::Worker;
use crate::storage::{
    LogStore, LogStorer as Storer, RestoredLog, StateStore, Unfinished, encode_members, watched,
};
use crate::types::{ClusterId, Index, NodeId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};

pub struct Start {
    pub cluster: ClusterId,
    pub node: NodeId,
    /// The members of a new cluster; later changes come from the log.
    pub founders: Members,
    pub options: ReplicaOptions,
    /// Makes election timeouts random.
    pub seed: u64,
    pub log: Box<dyn LogStore>,
    /// Moves the log to where it can be read.
    pub storer: Box<dyn Storer>,
    pub restored: RestoredLog,
    pub states: Arc<dyn StateStore>,
    pub transport: Arc<dyn Transport>,
    pub fatal: Fatal,
}

/// The parts of a replica that is not running: no thread, no clock. The caller (threads, or a simulator)
/// decides on the order of events.
pub struct Parts {
    pub handle: Handle,
    pub driver: Driver,
    pub log_writer: LogWriter,
    /// Moves it to where it can be read.
    pub log_storer: LogStorer,
    /// Reads the log for lagging followers.
    pub log_reading: LogReading,
    pub applier: Applier,
    pub state_syncer: StateSyncer,
}

/// Starts the loop on the current runtime. Blocks while the state is read.
pub fn start(parts: Start) -> Result<Handle, StartError> {
    let fatal = parts.fatal.clone();
    let machine = open(parts.states.table(), parts.options.open_timeout)?;
    let Parts { handle, mut driver, log_writer, log_storer, log_reading, applier, state_syncer } =
        assemble(parts, machine)?;
    let workers = &mut driver.workers;
    let run = move || log_writer.run();
    workers.log_writer.start("log-writer", "the log cannot be written", fatal.clone(), run)?;
    let run = move || log_storer.run();
    workers.log_storer.start("log-storer", "the log cannot be stored", fatal.clone(), run)?;
    let run = move || log_reading.run();
    workers.log_reading.start("log-reader", "the log cannot be read", fatal.clone(), run)?;
    let run = move || applier.run();
    workers.applier.start("applier", "the state cannot be kept", fatal.clone(), run)?;
    let run = move || state_syncer.run();
    workers.state_syncer.start("state-syncer", "the state cannot be kept", fatal.clone(), run)?;

    let silence_max = driver.options.disk_timeout;
    let clocks = driver.workers.clocks();
    let published = driver.published.clone();
    let running = tokio::spawn(driver.run());
    watchdog::start(fatal.clone(), &published, clocks, silence_max)?;
    tokio::spawn(async move {
        if running.await.is_err_and(|error| error.is_panic()) {
            fatal.fail("the loop failed", Remedy::Report);
        }
    });
    Ok(handle)
}

/// Makes the parts of a replica over the state machine that was opened from its state.
pub fn assemble(parts: Start, mut machine: Machine) -> Result<Parts, StartError> {
    let Start {
        cluster, node: id, founders, options, seed, log, storer, restored, states, transport, ..
    } = parts;
    if machine.members().is_empty() {
        machine.found(encode_members(&founders), options.founding_limits);
        machine.commit()?;
    }
    let reader = log.reader();
    let (base, stored) = (restored.base, restored.stored);
    let restored = restore::join(&machine, restored, states.installed(), &*reader, &options.raft)?;
    let retention = LogRetention::new(options.retention, base, &restored.entries);
    let mut node = Node::new(id, options.raft.clone(), seed, restored);
    node.stored(Mark::RESTORED, stored);
    let published = Arc::new(Published::new(machine.view(), machine.saver(), status(&node)));

    let (facts, facts_queue) = mpsc::unbounded_channel();
    let (messages, messages_queue) = mpsc::channel(options.messages_max);
    let (requests, requests_queue) = mpsc::channel(options.requests_max);
    let (log_worker, log_inbox) = Worker::new();
    let (store_worker, store_inbox) = Worker::new();
    let (reading_worker, reading_inbox) = Worker::new();
    let (apply_worker, apply_inbox) = Worker::new();
    let (sync_worker, sync_inbox) = Worker::new();
    let log_writer = LogWriter::new(log, log_inbox, options.log_write_bytes, facts.clone());
    let log_storer = LogStorer::new(storer, store_inbox.busy, published.clone(), facts.clone());
    let log_reading = LogReading::new(reader, reading_inbox, facts.clone());
    let applier = Applier::new(machine, published.clone(), apply_inbox, facts.clone());
    let state_syncer = StateSyncer {
        states: states.clone(),
        published: published.clone(),
        interval: options.state_sync_interval,
        disk_reserve: options.disk_reserve,
        inbox: sync_inbox,
        facts: facts.clone(),
        durable: Index(0),
        free: u64::MAX,
        vacuums: false,
    };
    let driver = Driver {
        running: Running(published.clone()),
        inbox: Inbox { facts: facts_queue, messages: messages_queue, requests: requests_queue },
        node,
        cluster,
        options,
        transport,
        workers: Workers {
            log_writer: log_worker,
            log_storer: store_worker,
            log_reading: reading_worker,
            applier: apply_worker,
            state_syncer: sync_worker,
        },
        published: published.clone(),
        pending: Pending::default(),
        reads: BTreeMap::new(),
        next_token: 0,
        transfers: Transfers::default(),
        install: None,
        retention,
        disk_pace: DiskPace::default(),
        batch: Vec::new(),
        answers: Vec::new(),
        state_durable: Index(0),
        stopped: None,
    };
    let receiving = Arc::new(Semaphore::new(1));
    let waiting_bytes = Budget::new(WAITING_BYTES_MAX);
    let inner = Inner { cluster, requests, messages, facts, published, states, receiving, waiting_bytes };
    let handle = Handle { inner: Arc::new(inner), side: Side::Loop };
    Ok(Parts { handle, driver, log_writer, log_storer, log_reading, applier, state_syncer })
}

/// Reads everything for the first time. The engine may hang or panic because of damage.
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
