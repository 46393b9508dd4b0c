//! Clients that read, write and swap registers, each value written once.

use super::recorder::Recorder;
use kontiki::client::{
    Client, Compare, Error, Get, KeyValue, Keys, Options, Put, Relation, Target, Txn, TxnOp, TxnResult,
};
use kontiki::types::Revision;
use kontiki::verify;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// How many clients there are: as many as two cores can carry beside three servers.
const CLIENTS: u64 = 8;

/// Registers in use at a time: few, so that clients meet.
const REGISTERS: usize = 5;

/// After this time other registers are used. Operations of unknown outcome make the search for a register's
/// order longer from then on, so none is used forever.
const EPOCH: Duration = Duration::from_secs(20);

/// How long a call may take.
const TIMEOUT: Duration = Duration::from_millis(1500);

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(400);

/// How long a client rests after each operation, in milliseconds.
const THINK_MILLIS: std::ops::Range<u64> = 2..18;

/// How long it rests after a failure, in milliseconds.
const RECOVER_MILLIS: std::ops::Range<u64> = 10..60;

/// All clients of a run.
pub struct Workload {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

impl Workload {
    pub fn start(urls: &[String], recorder: &Arc<Recorder>, seed: u64, start: Instant) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let values = Arc::new(AtomicU64::new(1));
        let processes = Arc::new(AtomicU64::new(CLIENTS));
        let clients = (0..CLIENTS).map(|number| {
            let session = Session {
                process: number,
                routes: routes(urls),
                recorder: recorder.clone(),
                random: fastrand::Rng::with_seed(seed ^ (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
                start,
                known: HashMap::new(),
                values: values.clone(),
                processes: processes.clone(),
            };
            tokio::spawn(session.run(stop.clone()))
        });
        let clients = clients.collect();
        Self { stop, clients }
    }

    /// Waits until all clients have ended their last operations.
    pub async fn finish(self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.unwrap();
        }
    }
}

/// A client that may ask any node, and one for each node that asks only that node.
fn routes(urls: &[String]) -> Vec<Client> {
    let options = Options { timeout: TIMEOUT, connect_timeout: CONNECT_TIMEOUT, ..Options::default() };
    let any = Client::connect(urls, options).unwrap();
    let each: Vec<Client> = any.endpoints().iter().map(|node| any.only(node)).collect();
    std::iter::once(any).chain(each).collect()
}

/// One client: one thing at a time.
struct Session {
    /// Whom the history knows it as. Another one after each unknown outcome: that
    /// operation may still be going on.
    process: u64,
    routes: Vec<Client>,
    recorder: Arc<Recorder>,
    random: fastrand::Rng,
    start: Instant,
    /// What it last saw of each register.
    known: HashMap<Arc<str>, Option<KeyValue>>,
    values: Arc<AtomicU64>,
    processes: Arc<AtomicU64>,
}

impl Session {
    async fn run(mut self, stop: Arc<AtomicBool>) {
        while !stop.load(Ordering::Relaxed) {
            let key = self.register();
            let done = match self.random.u32(0..100) {
                0..45 => self.read(key).await,
                45..80 => self.write(key).await,
                _ => self.swap(key).await,
            };
            let rest = if done { THINK_MILLIS } else { RECOVER_MILLIS };
            tokio::time::sleep(Duration::from_millis(self.random.u64(rest))).await;
        }
    }

    fn register(&mut self) -> Arc<str> {
        let epoch = self.start.elapsed().as_secs() / EPOCH.as_secs();
        let key: Arc<str> = format!("r{epoch:04}-{}", self.random.usize(0..REGISTERS)).into();
        if !self.known.contains_key(&key) && self.known.len() >= REGISTERS * 2 {
            self.known.clear();
        }
        key
    }

    /// Half of the calls go where they are answered best, half to one certain node.
    fn route(&mut self) -> Client {
        let place = if self.random.bool() { 0 } else { self.random.usize(1..self.routes.len()) };
        self.routes[place].clone()
    }

    fn value(&self) -> String {
        format!("v{}", self.values.fetch_add(1, Ordering::Relaxed))
    }

    async fn read(&mut self, key: Arc<str>) -> bool {
        let client = self.route();
        let call = self.recorder.invoke(self.process, key.clone(), verify::Call::Read);
        match client.get(Get::new(key.to_string())).await {
            Ok(found) => {
                self.recorder.ok(call, verify::Answer::Read(value_of(found.value.as_ref())), &found.meta);
                self.known.insert(key, found.value);
                true
            }
            Err(error) => self.failed(call, &error),
        }
    }

    async fn write(&mut self, key: Arc<str>) -> bool {
        let client = self.route();
        let value = self.value();
        let put = Put::new(key.to_string(), value.clone());
        let call =
            self.recorder.invoke(self.process, key.clone(), verify::Call::Write(value.as_str().into()));
        match client.put(put).await {
            Ok(done) => {
                self.recorder.ok(call, verify::Answer::Written, &done.meta);
                self.known.insert(key.clone(), Some(kept(&key, value, done.meta.revision)));
                true
            }
            Err(error) => self.failed(call, &error),
        }
    }

    /// Writes if the register is as this client saw it last.
    async fn swap(&mut self, key: Arc<str>) -> bool {
        let client = self.route();
        let old = self.known.get(&key).cloned().flatten();
        let value = self.value();
        let txn = Txn {
            compares: vec![self.unchanged(&key, old.as_ref())],
            success: vec![TxnOp::Put(Put::new(key.to_string(), value.clone()))],
            failure: vec![TxnOp::Get(Get::new(key.to_string()))],
        };
        let what = verify::Call::Cas { old: value_of(old.as_ref()), new: value.as_str().into() };
        let call = self.recorder.invoke(self.process, key.clone(), what);
        match client.txn(txn).await {
            Ok(done) => {
                let swapped = done.value.succeeded;
                self.recorder.ok(call, verify::Answer::Swapped(swapped), &done.meta);
                let seen = match done.value.results.into_iter().next() {
                    Some(TxnResult::Get(found)) => found,
                    _ => Some(kept(&key, value, done.meta.revision)),
                };
                self.known.insert(key, seen);
                true
            }
            Err(error) => self.failed(call, &error),
        }
    }

    /// A value is written once, so to compare it or its revision means the same.
    fn unchanged(&mut self, key: &str, old: Option<&KeyValue>) -> Compare {
        let target = match old {
            None => Target::Version(0),
            Some(old) if self.random.bool() => Target::ModRevision(old.mod_revision),
            Some(old) => Target::Value(old.value.clone()),
        };
        Compare { keys: Keys::One(key.to_owned().into()), target, relation: Relation::Equal }
    }

    fn failed(&mut self, call: super::recorder::Call, error: &Error) -> bool {
        if self.recorder.failed(call, error) {
            self.process = self.processes.fetch_add(1, Ordering::Relaxed);
        }
        false
    }
}

/// Reads all these keys through one node, into the history, as a process of its own.
pub async fn scan(
    client: &Client,
    keys: impl Iterator<Item = Arc<str>>,
    recorder: &Recorder,
    process: u64,
) -> Result<HashMap<Arc<str>, Option<KeyValue>>, Error> {
    let mut found = HashMap::new();
    for key in keys {
        let call = recorder.invoke(process, key.clone(), verify::Call::Read);
        let answer = client.get(Get::new(key.to_string())).await;
        match answer {
            Ok(answer) => {
                recorder.ok(call, verify::Answer::Read(value_of(answer.value.as_ref())), &answer.meta);
                found.insert(key, answer.value);
            }
            Err(error) => {
                recorder.failed(call, &error);
                return Err(error);
            }
        }
    }
    Ok(found)
}

fn value_of(found: Option<&KeyValue>) -> verify::Value {
    found.map_or(verify::Value::ABSENT, |found| String::from_utf8_lossy(&found.value).as_ref().into())
}

fn kept(key: &str, value: String, revision: Revision) -> KeyValue {
    KeyValue {
        key: key.to_owned().into(),
        value: value.into(),
        create_revision: Revision(0),
        mod_revision: revision,
        version: 0,
    }
}
