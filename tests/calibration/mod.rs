//! Do the tests find bugs? Each planted bug runs in simulated clusters until something objects.
//!
//! The bugs are changes to the sources (`plants.rs`, `plants/`). `make calibrate` puts all of them into a
//! copy (`assemble.rs`), and prints for each bug how many seeds it took and what was said. A bug that is not
//! found within [`SEEDS`] seeds is a gap in the tests, and so is a seed that objects although nothing is
//! planted.
//!
//! `KONTIKI_BUGS=VoteBeforeDurable,CommitsOldTerm make calibrate` looks for these alone.

mod choice;
mod plants;

use crate::faults::disk;
use crate::raft::random;
use crate::sim::{Failure, RunOptions, quietly, run_seed};
use choice::choose;
use plants::{Bug, Plants, Watch};
use std::cell::LazyCell;
use std::io::Seek as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// By then each bug must have been seen, unless `KONTIKI_SEEDS` says otherwise.
const SEEDS: u64 = 2000;

fn seeds() -> u64 {
    let asked = std::env::var("KONTIKI_SEEDS").ok().filter(|seeds| !seeds.is_empty());
    asked.map_or(SEEDS, |seeds| seeds.parse().expect("KONTIKI_SEEDS is a number"))
}

/// An objection: who made it, if that is known, and what was said.
#[derive(Debug, PartialEq)]
struct Objection {
    by: Option<Watch>,
    said: String,
}

/// What a seed found wrong, if anything.
type Detector = fn(seed: u64) -> Option<Objection>;

/// What became of one bug.
struct Finding {
    bug: Bug,
    /// How many seeds it took, and the objection.
    seen: Option<(u64, Objection)>,
}

/// A whole cluster, its disks, its clients and their answers.
fn cluster(seed: u64) -> Option<Objection> {
    let Failure { words, .. } = run_seed(seed, &RunOptions::default()).err()?;
    Some(Objection { by: Some(watch(words.place())), said: gist(&words.message) })
}

/// The core alone, in its own small world.
fn small_world(seed: u64) -> Option<Objection> {
    let said = quietly(|| random::failure(seed)).unwrap_or_else(|words| Some(words.message))?;
    Some(Objection { by: None, said: gist(&said) })
}

/// Who objected, by the source file of the objection.
fn watch(place: &str) -> Watch {
    const HISTORY: [&str; 5] = ["answers.rs", "reads.rs", "history.rs", "clients.rs", "front.rs"];
    // A node that refuses to start where it must not says so in `processes.rs`.
    const NODE: [&str; 1] = ["processes.rs"];
    let file = place.rsplit('/').next().unwrap_or_default();
    match file {
        _ if !place.starts_with("tests/") || NODE.contains(&file) => Watch::Node,
        "phases.rs" => Watch::Progress,
        _ if HISTORY.contains(&file) => Watch::History,
        _ => Watch::Cluster,
    }
}

/// The first line of what was said; a panic's first line only says where.
fn gist(said: &str) -> String {
    let line = said.lines().find(|line| !line.starts_with("panicked at"));
    line.unwrap_or_default().chars().take(120).collect()
}

fn look_for(bug: &Bug, detector: Detector, seeds: u64) -> Finding {
    choose(Some(&bug.name));
    let seen = (0..seeds).find_map(|seed| detector(seed).map(|said| (seed + 1, said)));
    choose(None);
    Finding { bug: bug.clone(), seen }
}

/// Looks for all of them, one on each core, since a bug is planted on one thread only.
fn look_for_all(bugs: &[Bug], detector: Detector, seeds: u64) -> Vec<Finding> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let findings = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(bug) = bugs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let finding = look_for(bug, detector, seeds);
                    println!("{}", row(&finding));
                    findings.lock().unwrap().push(finding);
                }
            });
        }
    });
    let mut findings = findings.into_inner().unwrap();
    let place = |finding: &Finding| bugs.iter().position(|bug| *bug == finding.bug);
    findings.sort_by_key(place);
    findings
}

fn row(Finding { bug, seen }: &Finding) -> String {
    let (name, expected) = (&bug.name, shown(&bug.watch));
    match seen {
        Some((seeds, Objection { by, said })) => {
            let by = by.as_ref().map_or("", shown);
            format!("{name:26} {seeds:>5}  {expected:8}  {by:8}  {said}")
        }
        None => format!("{name:26} {:>5}  {expected:8}  {:8}  {}", "-", "nobody", bug.about),
    }
}

fn shown(watch: &Watch) -> &'static str {
    match watch {
        Watch::Node => "Node",
        Watch::Cluster => "Cluster",
        Watch::History => "History",
        Watch::Progress => "Progress",
        Watch::Test(_) | Watch::Unit(_) => "a test",
    }
}

fn print(title: &str, findings: &[Finding]) {
    println!("\n{title}\n{:26} {:>5}  {:8}  {:8}  what was said", "bug", "seeds", "expected", "objected");
    for finding in findings {
        println!("{}", row(finding));
    }
    let mut seeds: Vec<u64> =
        findings.iter().filter_map(|finding| finding.seen.as_ref()).map(|(seeds, _)| *seeds).collect();
    seeds.sort_unstable();
    let as_expected = |finding: &&Finding| {
        finding.seen.as_ref().is_some_and(|(_, objection)| objection.by.as_ref() == Some(&finding.bug.watch))
    };
    println!(
        "{} of {} seen, {} of them first by whom we expected; seeds needed: median {}, at most {}",
        seeds.len(),
        findings.len(),
        findings.iter().filter(as_expected).count(),
        seeds.get(seeds.len() / 2).copied().unwrap_or_default(),
        seeds.last().copied().unwrap_or_default(),
    );
}

fn all_bugs() -> Vec<Bug> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/calibration/plants");
    Plants::load(&folder).unwrap().bugs
}

fn chosen_bugs() -> Vec<Bug> {
    let names = std::env::var("KONTIKI_BUGS").unwrap_or_default();
    let mut bugs = all_bugs();
    bugs.retain(|bug| names.is_empty() || names.split(',').any(|name| name == bug.name));
    assert!(!bugs.is_empty(), "KONTIKI_BUGS names no bug: {names}");
    bugs
}

#[test]
fn each_plant_fits_the_sources() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let plants = Plants::load(&root.join("tests/calibration/plants")).unwrap();
    let files = plants.apply(root).unwrap_or_else(|misfits| panic!("{misfits}"));
    assert!(plants.bugs.len() >= 70 && files.len() >= 20, "plants were lost");
    let mut names: Vec<&str> = plants.bugs.iter().map(|bug| bug.name.as_str()).collect();
    names.sort_unstable();
    assert!(names.is_sorted_by(|a, b| a < b), "two bugs have the same name: {names:?}");
}

/// The bugs that a simulated cluster should show.
fn for_the_simulator(mut bugs: Vec<Bug>) -> Vec<Bug> {
    bugs.retain(|bug| !matches!(bug.watch, Watch::Test(_) | Watch::Unit(_)));
    bugs
}

#[test]
#[ignore = "takes long: for `make calibrate`"]
fn every_planted_bug_is_seen() {
    let findings = look_for_all(&for_the_simulator(chosen_bugs()), cluster, seeds());
    print("Simulated clusters", &findings);
    let longest = findings.iter().filter_map(|finding| finding.seen.as_ref()).map(|(seeds, _)| *seeds).max();
    for seed in 0..longest.unwrap_or_default() {
        assert_eq!(cluster(seed), None, "seed {seed} objects to what has no planted bug");
    }
    let missed: Vec<&str> = findings
        .iter()
        .filter(|finding| finding.seen.is_none())
        .map(|finding| finding.bug.about.as_str())
        .collect();
    assert!(missed.is_empty(), "nobody saw these within {} seeds:\n{}", seeds(), missed.join("\n"));
}

/// Detects a simulator that has stopped finding bugs: this many of them never took more than ten seeds.
#[test]
#[ignore = "for `make calibrate-sample`, where bugs are planted"]
fn most_planted_bugs_are_seen_at_once() {
    const AT_ONCE: usize = 40;
    let findings = look_for_all(&for_the_simulator(all_bugs()), cluster, 10);
    print("Simulated clusters, ten seeds", &findings);
    let seen = findings.iter().filter(|finding| finding.seen.is_some()).count();
    assert!(seen >= AT_ONCE, "{seen} bugs were seen, not {AT_ONCE}");
}

/// By then a test has ended that sees nothing.
const SOUND: Duration = Duration::from_secs(1800);
/// A test that takes so much longer with a bug than without waits for what never comes.
const HANGS: Duration = Duration::from_secs(90);

/// What a run of a test said.
struct Outcome {
    passed: bool,
    words: String,
}

/// Runs the tests of a program whose names begin so, with a bug in the whole process if one is named. One that does not
/// end has not passed.
fn run(program: &Path, test: &str, plant: Option<&str>, patience: Duration) -> Outcome {
    let mut words = tempfile::tempfile().unwrap();
    let mut command = Command::new(program);
    command.args([test, "--test-threads", "1"]).envs(plant.map(|name| ("KONTIKI_PLANT", name)));
    // Enough power cuts that some fall into the moment that matters: about one in forty does.
    command.env("KONTIKI_POWER_CUTS", "250").stdin(Stdio::null()).stderr(Stdio::null());
    let mut child = command.stdout(words.try_clone().unwrap()).spawn().unwrap();
    let began = Instant::now();
    let status = loop {
        match child.try_wait().unwrap() {
            None if began.elapsed() < patience => std::thread::sleep(Duration::from_millis(20)),
            None => {
                child.kill().unwrap();
                break child.wait().unwrap();
            }
            Some(status) => break status,
        }
    };
    words.rewind().unwrap();
    Outcome { passed: status.success(), words: std::io::read_to_string(words).unwrap() }
}

/// Builds the program of the tests that stand in the sources, in the profile of this one.
fn tests_in_the_sources(suite: &Path) -> PathBuf {
    let folder = suite.ancestors().nth(2).and_then(Path::file_name).unwrap().to_str().unwrap();
    let profile = if folder == "debug" { "dev" } else { folder };
    let mut cargo = Command::new(std::env::var_os("CARGO").expect("cargo runs this"));
    cargo.args(["test", "--locked", "--lib", "--no-run", "--message-format", "json", "--profile", profile]);
    let output = cargo.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "the tests in the sources do not build");
    let words = String::from_utf8(output.stdout).unwrap();
    let mut built = words.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    });
    built.next_back().expect("cargo names what it has built")
}

/// Bugs that are planted in a whole process, which runs nothing but the test that should see it.
#[test]
#[ignore = "for `make calibrate` and `make calibrate-sample`, where bugs are planted"]
fn tests_see_the_bugs_that_are_theirs() {
    let suite = std::env::current_exe().unwrap();
    let sources = LazyCell::new(|| tests_in_the_sources(&suite));
    let mut missed = Vec::new();
    for bug in chosen_bugs() {
        let (program, test) = match &bug.watch {
            Watch::Test(test) if test.starts_with("power::") && !disk::available() => continue,
            Watch::Test(test) => (&suite, test),
            Watch::Unit(test) => (&*sources, test),
            _ => continue,
        };
        let began = Instant::now();
        let outcome = run(program, test, None, SOUND);
        assert!(outcome.passed, "{test} fails although nothing is planted:\n{}", outcome.words);
        assert!(!outcome.words.contains("running 0 tests"), "{}: there is no test '{test}'", bug.name);
        let is_missed = run(program, test, Some(&bug.name), 3 * began.elapsed() + HANGS).passed;
        println!("{:26} {:7} {test}", bug.name, if is_missed { "missed by" } else { "seen by" });
        if is_missed {
            missed.push(bug.about);
        }
    }
    assert!(missed.is_empty(), "nobody saw these:\n{}", missed.join("\n"));
}

/// The consensus core alone, in its own small world: which of its bugs show there
/// already. No more than a picture: the small world knows neither state machine nor disk.
#[test]
#[ignore = "takes long: for `make calibrate`"]
fn what_the_small_world_sees() {
    let mut bugs = chosen_bugs();
    bugs.retain(|bug| match &bug.watch {
        Watch::Test(test) => test.starts_with("raft::"),
        watch => !matches!(watch, Watch::Unit(_)),
    });
    let findings = look_for_all(&bugs, small_world, seeds());
    let seen: Vec<Finding> = findings.into_iter().filter(|finding| finding.seen.is_some()).collect();
    print("The core's small world", &seen);
    let is_a_choice = chosen_bugs().len() < all_bugs().len();
    assert!(is_a_choice || seen.len() >= 30, "the small world has gone blind");
}
