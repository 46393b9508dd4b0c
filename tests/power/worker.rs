//! The process that loses its disk: it opens a directory, reports what it found, and takes step after step.

use super::model::{Digest, Known, Log, Records, Step, digest};
use bytes::Bytes;
use fastrand::Rng;
use kontiki::raft::{HardState, Members};
use kontiki::storage::journal::JournalSettings;
use kontiki::storage::snapshot::{SnapshotHeader, encode};
use kontiki::storage::{self, LogSettings, Options, Storage, VacuumSettings};
use kontiki::types::{ClusterId, EntryId, NodeId, Revision, Term};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Write as _;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What a worker does; handed over in an environment variable.
#[derive(Clone, Serialize, Deserialize)]
pub struct Task {
    pub dir: PathBuf,
    /// Where it reports what it does: a file on another disk.
    pub report: PathBuf,
    pub seed: u64,
    pub steps: u64,
    pub fsync: bool,
}

/// A line of the report.
#[derive(Serialize, Deserialize)]
pub enum Line {
    Opened {
        milliseconds: u64,
        busy_milliseconds: u64,
        log: FoundLog,
        records: Vec<(Vec<u8>, Digest)>,
    },
    /// The step was taken and has returned.
    Done,
    Failed(String),
    /// There are no more steps; the directory is still open.
    Waiting,
}

/// A log as it was found.
#[derive(Serialize, Deserialize)]
pub struct FoundLog {
    term: u64,
    vote: Option<u64>,
    base: (u64, u64),
    entries: Vec<(u64, u64, Digest)>,
}

const TASK: &str = "KONTIKI_TEST_POWER_TASK";

/// Starts a worker: this same program, running a single test.
pub fn start(task: &Task) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["power::worker::work", "--exact", "--nocapture"])
        .env(TASK, serde_json::to_string(task).unwrap())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(task.report.with_extension("stderr")).unwrap())
        .spawn()
        .unwrap()
}

/// Does nothing unless it was started as a worker.
#[test]
fn work() {
    let Ok(task) = std::env::var(TASK) else { return };
    let task: Task = serde_json::from_str(&task).unwrap();
    let mut report = Report(File::create(&task.report).unwrap());
    let error = match run(&task, &mut report) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    report.tell(&Line::Failed(error));
    // Nothing is closed in good order.
    std::process::exit(3);
}

struct Report(File);

impl Report {
    fn tell(&mut self, line: &Line) {
        let mut text = serde_json::to_vec(line).unwrap();
        text.push(b'\n');
        self.0.write_all(&text).unwrap();
    }
}

fn run(task: &Task, report: &mut Report) -> Result<std::convert::Infallible, String> {
    let started = Instant::now();
    let mut storage = storage::open(&options(task)).map_err(|error| error.to_string())?;
    let milliseconds = started.elapsed().as_millis() as u64;
    // The process has done nothing else yet.
    let busy = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let busy_milliseconds = busy.tv_sec as u64 * 1000 + busy.tv_nsec as u64 / 1_000_000;
    let mut records = Vec::new();
    for record in storage.states.table().scan(Bound::Unbounded, Bound::Unbounded) {
        let (key, value) = record.map_err(|error| error.to_string())?;
        records.push((key.to_vec(), digest(&value)));
    }
    let mut known = Known { log: whole_log(&storage)?, changes: changes(&storage)? };
    report.tell(&Line::Opened { milliseconds, busy_milliseconds, log: FoundLog::of(&known.log), records });
    let mut rng = Rng::with_seed(task.seed);
    for number in 0..task.steps {
        let step = known.next(&mut rng);
        take(&mut storage, &step)?;
        store(&mut storage, number)?;
        vacuum(&storage, number)?;
        known.follow(&step);
        report.tell(&Line::Done);
    }
    report.tell(&Line::Waiting);
    loop {
        std::thread::sleep(Duration::from_secs(60));
    }
}

/// The log: the end of it was loaded, the rest is read as it would be for a follower.
fn whole_log(storage: &Storage) -> Result<Log, String> {
    let restored = &storage.restored;
    let mut log = Log::of(restored);
    let reader = storage.log.reader();
    let mut next = restored.base.index.next();
    while next <= restored.tail_base.index {
        let slice = reader.read(next, 1 << 20).map_err(|error| error.to_string())?;
        let entries = slice.map(|slice| slice.entries).unwrap_or_default();
        let last = entries.last().ok_or_else(|| format!("entry {next} is not in the store"))?;
        next = last.id.index.next();
        log.add(entries.iter().filter(|entry| entry.id.index <= restored.tail_base.index));
    }
    Ok(log)
}

/// The counter in the table.
fn changes(storage: &Storage) -> Result<u64, String> {
    let counter = storage.states.table().get(super::model::COUNTER).map_err(|error| error.to_string())?;
    Ok(counter.map_or(0, |bytes| u64::from_be_bytes(bytes[..].try_into().expect("eight bytes"))))
}

fn take(storage: &mut Storage, step: &Step) -> Result<(), String> {
    match step {
        Step::Log(jobs) => storage.log.write(jobs).map_err(|error| error.to_string()),
        Step::Compact(through) => storage.log.compact(*through).map_err(|error| error.to_string()),
        Step::Table(changes) => {
            let table = storage.states.table();
            let written = changes.iter().try_for_each(|(key, value)| match value {
                Some(value) => table.set(key, value),
                None => table.remove(key),
            });
            written.map_err(|error| error.to_string())
        }
        Step::Sync => storage.states.table().sync().map_err(|error| error.to_string()),
        Step::Install(records) => install(storage, records),
    }
}

/// Now and then the log goes into its store, all of it or a little: nobody waits for that.
fn store(storage: &mut Storage, number: u64) -> Result<(), String> {
    let steps = [0, 1, 0, 0, 2, 0, 1000][number as usize % 7];
    for _ in 0..steps {
        if storage.storer.step().map_err(|error| error.to_string())?.is_none() {
            break;
        }
    }
    Ok(())
}

/// Sometimes the state moves one little step per step, sometimes several, so that it is cut at all of them.
fn vacuum(storage: &Storage, number: u64) -> Result<(), String> {
    let steps = [1, 1, 0, 8, 1, 0][number as usize / 10 % 6];
    (0..steps)
        .try_for_each(|_| storage.states.vacuum(0, u64::MAX).map(drop))
        .map_err(|error| error.to_string())
}

fn install(storage: &Storage, records: &[(Bytes, Bytes)]) -> Result<(), String> {
    let members = Members::of([NodeId(1)], [], []);
    let header =
        SnapshotHeader { cluster: ClusterId(7), last: EntryId::new(1, 1), members, revision: Revision(1) };
    let mut staged = storage.states.stage().map_err(|error| error.to_string())?;
    for piece in encode(&header, records.iter().cloned().map(Ok)) {
        let piece = piece.map_err(|error| error.to_string())?;
        staged.push(&piece).map_err(|error| error.to_string())?;
    }
    let verified = staged.finish().map_err(|error| error.to_string())?;
    verified.activate().map_err(|error| error.to_string())
}

/// A small journal, so that its segments are used many times, and a short tail, so that most logs are longer. What waits
/// for compaction goes into the store at once, late, or hardly ever.
fn log_settings(seed: u64) -> LogSettings {
    let backlogs = [0, 400 << 10, 1 << 20];
    let backlog_bytes = backlogs[seed as usize % backlogs.len()];
    let journal = JournalSettings { segment_bytes: 128 << 10, segments_min: 2, segments_max: 24 };
    LogSettings { journal, backlog_bytes, sync_bytes: 256 << 10, tail_bytes: 256 << 10 }
}

fn options(task: &Task) -> Options {
    Options {
        dir: task.dir.clone(),
        cluster: ClusterId(7),
        founders: Default::default(),
        cluster_token: "test".into(),
        node: NodeId(1),
        name: "n1".into(),
        fsync: task.fsync,
        log: log_settings(task.seed),
        cache_bytes: 8 << 20,
        // In nearly every life the state moves, a little after each step.
        vacuum: VacuumSettings { times: 0, bytes: 0, step: Duration::ZERO },
        open_timeout: Duration::from_secs(30),
    }
}

/// Whether a worker has opened its directory: the first line is whole.
pub fn has_opened(report: &Path) -> bool {
    std::fs::read(report).is_ok_and(|text| text.contains(&b'\n'))
}

/// What a worker has reported so far; the last line may be cut short.
pub fn read_report(path: &Path) -> Vec<Line> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map_while(|line| serde_json::from_str(line).ok()).collect()
}

impl FoundLog {
    fn of(log: &Log) -> Self {
        let entries = log.entries.iter().map(|(index, (term, digest))| (*index, *term, *digest));
        Self {
            term: log.hard_state.term.get(),
            vote: log.hard_state.vote.map(NodeId::get),
            base: (log.base.term.get(), log.base.index.get()),
            entries: entries.collect(),
        }
    }

    pub fn into_log(self) -> Log {
        let entries = self.entries.into_iter().map(|(index, term, digest)| (index, (term, digest)));
        Log {
            hard_state: HardState { term: Term(self.term), vote: self.vote.map(NodeId) },
            base: EntryId::new(self.base.0, self.base.1),
            entries: entries.collect(),
        }
    }
}

/// The records as a map.
pub fn into_records(records: Vec<(Vec<u8>, Digest)>) -> Records {
    records.into_iter().collect()
}
