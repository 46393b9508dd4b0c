//! Seeds, one by one or on all cores.

use crate::sim::clock::Time;
use crate::sim::report::Summary;
use crate::sim::world::World;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// How to run a seed.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunOptions {
    /// Whether to print what happens.
    pub tells: bool,
    /// Faults end after this many steps, if not before.
    pub steps: Option<u64>,
}

/// A seed found something.
#[derive(Clone, Debug)]
pub struct Failure {
    pub seed: u64,
    pub step: u64,
    pub at: Time,
    pub words: Words,
}

/// What a panic said; its first line says where.
#[derive(Clone, Debug, Default)]
pub struct Words {
    pub message: String,
}

impl Words {
    /// The source file that it said it in.
    pub fn place(&self) -> &str {
        let place = self.message.strip_prefix("panicked at ").and_then(|rest| rest.split(':').next());
        place.unwrap_or_default()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, step, at, words } = self;
        writeln!(f, "seed {seed} failed at step {step}, {:.3} s: {}", at.as_secs_f64(), words.message)?;
        write!(f, "its story: make sim SEED={seed}")
    }
}

/// Runs one seed, in this thread alone. A panic, wherever it comes from, is a failure.
pub fn run_seed(seed: u64, options: &RunOptions) -> Result<Summary, Failure> {
    let mut world = World::new(seed, options.tells);
    let outcome = caught(!options.tells, || world.run(options.steps));
    match outcome {
        Ok(()) => Ok(std::mem::take(&mut world.summary)),
        Err(words) => {
            let (step, at) = (world.steps, world.now);
            // The state that a panic leaves behind may not be fit to be dropped.
            std::mem::forget(world);
            Err(Failure { seed, step, at, words })
        }
    }
}

/// Runs something whose panics are findings, and are not to be printed by the default hook.
pub fn quietly<T>(run: impl FnOnce() -> T) -> Result<T, Words> {
    caught(true, run)
}

fn caught<T>(quiet: bool, run: impl FnOnce() -> T) -> Result<T, Words> {
    catch_words();
    WORDS.take();
    let before = QUIET.replace(quiet);
    let outcome = catch_unwind(AssertUnwindSafe(run));
    QUIET.set(before);
    outcome.map_err(|_| WORDS.take())
}

thread_local! {
    /// Whether a panic in this thread is a finding, which the runner of the seed reports.
    static QUIET: Cell<bool> = const { Cell::new(false) };
    /// What the last panic said.
    static WORDS: RefCell<Words> = RefCell::default();
}

/// Records panic messages. There is one hook per process, and it is set once.
fn catch_words() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let first = WORDS.replace(Words { message: panic.to_string() });
            if !QUIET.get() {
                before(panic);
            } else if !first.message.is_empty() {
                // The process ends here: nobody would see the first one.
                eprintln!("{}\nand, while that was cleaned up, {panic}", first.message);
            }
        }));
    });
}

/// Runs many seeds on all cores: what they did, and which failed.
pub fn run_many(seeds: std::ops::Range<u64>, options: RunOptions) -> (Summary, Vec<Failure>) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicU64::new(seeds.start);
    let work = || {
        let (mut summary, mut failures) = (Summary::default(), Vec::new());
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return (summary, failures);
            }
            match run_seed(seed, &options) {
                Ok(done) => summary.add(&done),
                Err(failure) => {
                    eprintln!("{failure}\n");
                    failures.push(failure);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut all = (Summary::default(), Vec::new());
        for worker in workers {
            let (summary, failures) = worker.join().expect("a seed's panic is caught");
            all.0.add(&summary);
            all.1.extend(failures);
        }
        all.1.sort_by_key(|failure| failure.seed);
        all
    })
}

fn variable(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} must be a number, it is '{value}'")))
}

/// What `cargo test` runs by default.
const SEEDS: u64 = 40;

#[test]
fn no_seed_breaks_a_promise() {
    let options = RunOptions { tells: false, steps: variable("KONTIKI_STEPS") };
    if let Some(seed) = variable("KONTIKI_SEED") {
        let outcome = run_seed(seed, &RunOptions { tells: true, ..options });
        let summary = outcome.unwrap_or_else(|failure| panic!("{failure}"));
        return println!("{summary}trace {:016x}", summary.trace);
    }
    let start = variable("KONTIKI_SEED_START").unwrap_or(0);
    let count = variable("KONTIKI_SEEDS").unwrap_or(SEEDS);
    let begun = Instant::now();
    let (summary, failures) = run_many(start..start + count, options);
    let elapsed = begun.elapsed().as_secs_f64();
    println!("{summary}{:.1} seeds/s, {elapsed:.1} s", summary.seeds as f64 / elapsed);
    let failed: Vec<u64> = failures.iter().map(|failure| failure.seed).collect();
    assert!(failures.is_empty(), "{} of {count} seeds failed: {failed:?}", failed.len());
    if options.steps.is_none() && count >= SEEDS {
        assert_not_vacuous(&summary, count);
    }
}

/// These must happen, or they are not tested.
fn assert_not_vacuous(summary: &Summary, seeds: u64) {
    const ALWAYS: [&str; 13] = [
        "logs read for a follower",
        "read, ok",
        "write, ok",
        "write, unknown",
        "cas, ok",
        "snapshots installed",
        "leaders",
        "read indexes confirmed",
        "clusters that recovered",
        "power cut",
        "message lost",
        "crash",
        "long outage",
    ];
    /// Rarer ones, for longer runs.
    const OFTEN: [&str; 45] = [
        "all at once",
        "bit flip in a value",
        "bit flip in any frame",
        "bit flip in the last frame",
        "bit flip on read",
        "cache dropped",
        "clients cut off",
        "cloned directory",
        "clock too fast or too slow",
        "clogged link",
        "compact, ok",
        "death in an operation",
        "delete, ok",
        "disk full",
        "disk stall",
        "end of a file dropped",
        "failed sync that lost pages",
        "foreign node",
        "leadership transfer",
        "message clogged",
        "message overtaken",
        "message repeated",
        "message very late",
        "misdirected write",
        "no time given",
        "one-way partition",
        "partial partition",
        "pause",
        "restart storm",
        "slow client",
        "snapshot chunk lost",
        "snapshot chunk repeated",
        "snapshot stream broken",
        "split",
        "stray snapshot",
        "starts refused for damage",
        "states compared",
        "sync error",
        "txn, ok",
        "unreadable sector",
        "unsynced sector lost",
        "wiped member",
        "witness back in time",
        "witness lost",
        "write error",
    ];
    let often: &[&str] = if seeds >= 300 { &OFTEN } else { &[] };
    let missing: Vec<&&str> = ALWAYS.iter().chain(often).filter(|name| summary.of(name) == 0).collect();
    assert!(missing.is_empty(), "these never happened: {missing:?}");
}

/// One number decides everything.
#[test]
fn the_same_seed_does_the_same_twice() {
    for seed in 0..6 {
        let run = || run_seed(seed, &RunOptions::default()).unwrap_or_else(|failure| panic!("{failure}"));
        let (one, other) = (run(), run());
        assert_eq!((one.trace, one.steps), (other.trace, other.steps), "seed {seed}");
    }
}

/// For [`another_process_does_the_same`], which runs this in a process of its own.
#[test]
#[ignore = "a part of another test"]
fn tells_its_trace() {
    if let Some(seed) = variable("KONTIKI_TRACE_OF") {
        let summary = run_seed(seed, &RunOptions::default()).unwrap_or_else(|failure| panic!("{failure}"));
        println!("trace {:016x} of {} steps", summary.trace, summary.steps);
    }
}

/// Hash maps are in another order in each process: nothing may depend on it.
#[test]
fn another_process_does_the_same() {
    const SEED: u64 = 3;
    let own = run_seed(SEED, &RunOptions::default()).unwrap_or_else(|failure| panic!("{failure}"));
    let other = std::process::Command::new(std::env::current_exe().expect("this program"))
        .args(["sim::runner::tells_its_trace", "--exact", "--ignored", "--nocapture"])
        .env("KONTIKI_TRACE_OF", SEED.to_string())
        .output()
        .expect("this program runs");
    let said = String::from_utf8_lossy(&other.stdout);
    let expected = format!("trace {:016x} of {} steps", own.trace, own.steps);
    assert!(said.contains(&expected), "seed {SEED}: {expected} here, but there:\n{said}");
}
