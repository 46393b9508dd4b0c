//! A whole run.

use super::acts;
use super::arena::Arena;
use super::calm::{self, Calm};
use super::convergence;
use super::hostile::{Hostile, Hostility};
use super::nemesis::Nemesis;
use super::plan::Plan;
use super::recorder::Recorder;
use super::report::{self, Facts};
use super::workload::Workload;
use kontiki::client::{Client, Options};
use kontiki::verify::{self, History, Limits, Verdict};
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A run of less than this need not have done everything.
const WHOLE_ROUND: Duration = Duration::from_secs(180);

/// How long a cluster may take until it has a leader for the first time.
const START_PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: make chaos MINUTES=n"]
async fn survives() {
    let seed = number("KONTIKI_CHAOS_SEED").unwrap_or_else(fresh_seed);
    let minutes = number("KONTIKI_CHAOS_MINUTES").unwrap_or(3);
    let nodes = number("KONTIKI_CHAOS_NODES").unwrap_or(3);
    let trial = Trial::new(seed, minutes, usize::try_from(nodes).unwrap());
    println!(
        "chaos: seed {seed}, {nodes} nodes, {minutes} minutes; files under {}",
        trial.directory.display()
    );
    let problems = trial.run().await;
    assert!(problems.is_empty(), "{}", trial.complaint(&problems));
    trial.tidy();
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {text}")))
}

fn fresh_seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() % 1_000_000
}

struct Trial {
    seed: u64,
    minutes: u64,
    nodes: usize,
    /// Logs and data of the nodes.
    directory: PathBuf,
}

impl Trial {
    fn new(seed: u64, minutes: u64, nodes: usize) -> Self {
        let chaos = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/chaos");
        let directory = chaos.join(seed.to_string());
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).unwrap();
        Self { seed, minutes, nodes, directory }
    }

    fn file(&self, ending: &str) -> PathBuf {
        self.directory.with_extension(ending)
    }

    /// Returns what was wrong.
    async fn run(&self) -> Vec<String> {
        let mut arena = Arena::build(&self.directory, self.nodes, self.seed).await;
        arena.lacks.iter().for_each(|lack| println!("left out here: {lack}"));
        let started = SystemTime::now();
        arena.nodes.iter_mut().for_each(super::node::Node::start);
        wait_for_leader(&arena).await;
        load(&arena).await;

        let start = Instant::now();
        let recorder = Arc::new(Recorder::new(start));
        let workload = Workload::start(&arena.urls(), &recorder, self.seed, start);
        let kinds = Plan::kinds(arena.ground);
        let hostile = Hostile::start(self.seed, arena.seats(), start);
        let mut calm = Calm::default();
        let plan = Plan::new(self.seed, arena.ground);
        let mut nemesis = Nemesis::new(arena, start.into());
        let enough = Duration::from_secs(self.minutes * 60);
        for step in plan {
            if start.elapsed() >= enough {
                break;
            }
            nemesis.carry_out(&step).await;
            if step.number.is_multiple_of(calm::EVERY) {
                calm.watch(&nemesis.arena, start).await;
            }
        }
        let duration = start.elapsed();
        let hostile = hostile.finish().await;
        nemesis.heal("the end");
        workload.finish().await;
        let end = start.elapsed();

        // Where everything must be tested, nothing is left out.
        let lacks = if std::env::var_os("KONTIKI_TEST_ALL").is_some() {
            nemesis.arena.lacks.clone()
        } else {
            Vec::new()
        };
        let mut problems: Vec<String> =
            lacks.into_iter().map(|lack| format!("missing here: {lack}")).collect();
        let found = convergence::require(&nemesis.arena, &recorder).await;
        self.end(&mut nemesis, started, &mut problems).await;
        problems.append(&mut nemesis.deeds.offences);
        problems.extend(calm.offences(&hostile));
        let figures = recorder.figures();
        let verdict = self.judge(&recorder.take_history(), &mut problems);
        let facts = Facts {
            seed: self.seed,
            arena: &nemesis.arena,
            deeds: &nemesis.deeds,
            hostile: &hostile,
            calm: &calm,
            figures: &figures,
            duration,
            end,
            snapshots: snapshots(&nemesis.arena),
            found: found.as_ref().ok(),
            verdict: &verdict,
        };
        problems.extend(found.as_ref().err().cloned());
        if enough >= WHOLE_ROUND {
            problems.extend(report::missing(&facts, &kinds, &Hostility::ALL));
        }
        self.publish(&facts, &problems);
        problems
    }

    /// All nodes end in order, without a panic, and with the clocks they were given.
    async fn end(&self, nemesis: &mut Nemesis, started: SystemTime, problems: &mut Vec<String>) {
        for node in &mut nemesis.arena.nodes {
            if let Some(exit) = node.exited() {
                problems.push(format!(
                    "{} had ended by itself ({}):\n{}",
                    exit.node, exit.status, exit.last_words
                ));
                continue;
            }
            match node.terminate().await {
                Some(status) if status.success() => {}
                Some(status) => problems.push(format!("{} ended with {status}", node.name)),
                None => problems.push(format!("{} did not end when asked to", node.name)),
            }
            let log = node.log_text();
            let panics = log.lines().filter(|line| line.contains("panicked at"));
            problems.extend(panics.map(|line| format!("{} panicked: {line}", node.name)));
            let expected = node.clock.as_ref().map(|clock| date(started, clock.base()));
            if expected.is_some_and(|expected| !log.starts_with(&expected)) {
                problems.push(format!("{} does not see the clock that it was given", node.name));
            }
        }
    }

    fn judge(&self, history: &History, problems: &mut Vec<String>) -> String {
        let file = self.file("jsonl");
        verify::write(history, BufWriter::new(File::create(&file).unwrap())).unwrap();
        let began = Instant::now();
        let verdict = verify::check(history, &Limits::default());
        let took = began.elapsed().as_secs_f64();
        match verdict {
            Verdict::Linearizable => {
                format!("linearizable, {} operations checked in {took:.1} s", history.len())
            }
            Verdict::NotLinearizable(violation) => {
                let picture = self.file("html");
                std::fs::write(&picture, verify::picture::html(&violation)).unwrap();
                problems.push(format!(
                    "the history is not linearizable: {violation}\npicture {}",
                    picture.display()
                ));
                "NOT LINEARIZABLE".to_owned()
            }
            Verdict::Undecided(why) => {
                problems.push(format!("the history could not be judged: {why}"));
                "undecided".to_owned()
            }
        }
    }

    fn publish(&self, facts: &Facts<'_>, problems: &[String]) {
        let mut text = report::text(facts);
        for problem in problems {
            text.push_str(&format!("  PROBLEM: {problem}\n"));
        }
        std::fs::write(self.file("txt"), &text).unwrap();
        println!("\n{text}");
    }

    fn complaint(&self, problems: &[String]) -> String {
        let Self { seed, minutes, nodes, .. } = self;
        format!(
            "{}\nreport {}, history {}, logs and data {}\n\
             the same plan again: make chaos SEED={seed} MINUTES={minutes} NODES={nodes}",
            problems.join("\n"),
            self.file("txt").display(),
            self.file("jsonl").display(),
            self.directory.display()
        )
    }

    /// After a successful run everything but the data is kept.
    fn tidy(&self) {
        for entry in std::fs::read_dir(&self.directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                std::fs::remove_dir_all(path).unwrap();
            }
        }
    }
}

fn snapshots(arena: &Arena) -> u64 {
    let logs = arena.nodes.iter().map(super::node::Node::log_text);
    logs.map(|log| log.lines().filter(|line| line.contains(": installed the snapshot")).count() as u64).sum()
}

async fn wait_for_leader(arena: &Arena) {
    let began = Instant::now();
    while arena.leader().await.is_none() {
        assert!(began.elapsed() < START_PATIENCE, "no leader within {START_PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What hostile transactions go through.
async fn load(arena: &Arena) {
    let options = Options { timeout: START_PATIENCE, ..Options::default() };
    let client = Client::connect(&arena.urls(), options).unwrap();
    acts::load(&client).await.unwrap();
}

/// The day, as logs have it, on a clock that is off by this many seconds.
fn date(time: SystemTime, off: i64) -> String {
    let seconds = i64::try_from(time.duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap() + off;
    let output = Command::new("date").args(["-u", "-d", &format!("@{seconds}"), "+%F"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
