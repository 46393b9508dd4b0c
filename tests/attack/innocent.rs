//! Clients that do nothing wrong: one at each node, putting at a steady rate. What they feel is what counts.
//!
//! They have a thread of their own, so that it is not the attacker in this process that holds them up.

use crate::chaos::recorder::Recorder;
use kontiki::client::{Client, Options, Put};
use kontiki::verify::{Call, Completion};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::time::MissedTickBehavior;

/// Between two puts of one client.
const PERIOD: Duration = Duration::from_millis(20);
/// More than any put may take by the limits.
const TIMEOUT: Duration = Duration::from_secs(10);

pub struct Innocents {
    stop: Arc<AtomicBool>,
    recorder: Arc<Recorder>,
    thread: JoinHandle<()>,
}

/// What they felt.
#[derive(Clone, Debug, Default)]
pub struct Felt {
    pub acknowledged: u64,
    /// Certainly not applied.
    pub refused: u64,
    /// In doubt.
    pub unknown: u64,
    /// Of those that were acknowledged.
    pub slowest: Duration,
    /// What was said to the others, and how often.
    pub errors: BTreeMap<String, u64>,
    /// Of each key the newest acknowledged revision and value.
    pub newest: BTreeMap<Arc<str>, (u64, String)>,
}

impl Innocents {
    pub fn start(urls: Vec<String>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let recorder = Arc::new(Recorder::new(Instant::now()));
        let (stopped, records) = (stop.clone(), recorder.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let clients = urls.into_iter().enumerate().map(|(place, url)| {
                let (stop, recorder) = (stopped.clone(), records.clone());
                async move { put_steadily(place, &url, &recorder, &stop).await }
            });
            let _guard = runtime.enter();
            runtime.block_on(futures_util::future::join_all(clients));
        });
        Self { stop, recorder, thread }
    }

    /// Waits until each has put something.
    pub async fn warm(&self, clients: usize) {
        while self.recorder.newest().len() < clients {
            tokio::time::sleep(PERIOD).await;
        }
    }

    pub fn finish(self) -> Felt {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        let figures = self.recorder.figures();
        let [acknowledged, refused, unknown] = figures.operations.get("write").copied().unwrap_or_default();
        let history = self.recorder.take_history();
        let took = history.operations().iter().filter_map(|one| match &one.outcome {
            Completion::Ok { completed_ns, .. } => Some(completed_ns - one.invoked_ns),
            _ => None,
        });
        let slowest = Duration::from_nanos(took.max().unwrap_or_default());
        let errors = figures.errors.into_iter().map(|((_, what, _), count)| (what, count)).collect();
        Felt { acknowledged, refused, unknown, slowest, errors, newest: self.recorder.newest() }
    }
}

async fn put_steadily(place: usize, url: &str, recorder: &Recorder, stop: &AtomicBool) {
    // What is refused counts, so nothing is tried again.
    let options = Options { timeout: TIMEOUT, connect_timeout: TIMEOUT, attempts: 1 };
    let client = Client::connect(&[url], options).unwrap();
    let key: Arc<str> = format!("innocent/{place}").into();
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0_u64.. {
        ticks.tick().await;
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let value = number.to_string();
        let call = recorder.invoke(place as u64, key.clone(), Call::Write(value.as_str().into()));
        match client.put(Put::new(key.to_string(), value)).await {
            Ok(answer) => recorder.ok(call, kontiki::verify::Answer::Written, &answer.meta),
            Err(error) => {
                recorder.failed(call, &error);
            }
        }
    }
}
