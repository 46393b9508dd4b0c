//! Cuts under one data directory at random operations of its file system, one after the other; and fsyncs that fail.

use super::check::Promised;
use super::worker::{self, Line, Task};
use crate::faults::disk::{self, Disk, Loss};
use fastrand::Rng;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

/// How many cuts hit one directory before an empty one replaces it.
const CUTS_PER_DISK: u64 = 40;

/// After this many failures it stops.
const FAILURES_MAX: usize = 50;

/// What came of many cuts.
#[derive(Debug, Default)]
struct Summary {
    cuts: u64,
    with_loss: u64,
    during_open: u64,
    steps: u64,
    written_bytes: u64,
    failed_fsyncs: u64,
    slowest_open: Duration,
    failures: Vec<String>,
}

/// What happens to a directory again and again.
#[derive(Clone, Copy, Debug)]
struct Trouble {
    loss: Loss,
    fsync: bool,
    /// Every second process loses an fsync, of a file or of a directory, and not its power, below the kernel's page
    /// cache.
    failed_fsyncs: bool,
}

#[test]
fn what_is_lost_is_lost_in_order() {
    assert_promises_kept(Trouble { loss: Loss::Ordered, fsync: true, failed_fsyncs: false });
}

#[test]
fn any_subset_is_lost() {
    assert_promises_kept(Trouble { loss: Loss::Subset, fsync: true, failed_fsyncs: false });
}

/// What the cache shows after a failed fsync, and the disk never got, is neither promised nor built upon: the next
/// process reads the disk. The power cuts in between are the judges of that.
#[test]
fn fsyncs_fail() {
    let trouble = Trouble { loss: Loss::Everything, fsync: true, failed_fsyncs: true };
    if let Some(summary) = assert_promises_kept(trouble) {
        assert!(summary.failed_fsyncs > summary.cuts / 4, "{summary}");
    }
}

/// The test of the test: it sees what `--unsafe-no-fsync` gives up.
#[test]
fn without_fsync_promises_are_broken() {
    if disk::available() {
        let summary = survey(Trouble { loss: Loss::Everything, fsync: false, failed_fsyncs: false }, 8);
        // The journal says that it was durable, which without fsync is not so: the loss is noticed at the start.
        let tells =
            |failure: &&String| ["promised was", "is damaged"].iter().any(|text| failure.contains(text));
        let lost = summary.failures.iter().filter(tells).count();
        assert!(lost > 0, "in {} cuts nothing was seen to be lost: {:?}", summary.cuts, summary.failures);
    }
}

fn assert_promises_kept(trouble: Trouble) -> Option<Summary> {
    // A failed fsync comes with each.
    let ordinary = if trouble.failed_fsyncs { 4 } else { 12 };
    let summary = disk::available().then(|| survey(trouble, super::cuts(ordinary)))?;
    assert!(
        summary.failures.is_empty(),
        "{trouble:?}: {} of {} cuts broke a promise (again: KONTIKI_POWER_SEED=seed KONTIKI_POWER_CUTS={CUTS_PER_DISK}):\n{}",
        summary.failures.len(),
        summary.cuts,
        summary.failures.join("\n")
    );
    Some(summary)
}

/// Makes `cuts` cuts, going on with another disk after a failure.
fn survey(trouble: Trouble, cuts: u64) -> Summary {
    let started = Instant::now();
    let mut summary = Summary::default();
    let mut seed = super::first_seed();
    // A disk that cannot be had makes no cuts.
    while summary.cuts < cuts && summary.failures.len() < FAILURES_MAX {
        let left = cuts - summary.cuts;
        if let Err(failure) = one_disk(trouble, seed, left.min(CUTS_PER_DISK), &mut summary) {
            eprintln!("{trouble:?}, seed {seed}: {failure}");
            summary.failures.push(format!("seed {seed}: {failure}"));
        }
        seed += 1;
    }
    eprintln!("{trouble:?}: {summary} in {:.0?}", started.elapsed());
    summary
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            cuts,
            with_loss,
            during_open,
            steps,
            written_bytes,
            failed_fsyncs,
            slowest_open,
            failures,
        } = self;
        write!(
            f,
            "{cuts} cuts ({with_loss} lost something, {during_open} during open) and {failed_fsyncs} failed fsyncs \
             in {steps} steps and {} MiB, slowest open {slowest_open:?}, {} failures",
            written_bytes >> 20,
            failures.len()
        )
    }
}

fn one_disk(trouble: Trouble, seed: u64, cuts: u64, summary: &mut Summary) -> Result<(), String> {
    let mounted = if trouble.failed_fsyncs { Disk::mount_cached(seed) } else { Disk::mount(seed) };
    let disk = mounted.map_err(|error| error.to_string())?;
    let reports = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut rng = Rng::with_seed(seed);
    let mut promised = Promised::new();
    let enough = summary.cuts + cuts;
    for life in 0.. {
        // The last life only reads: what a cut has left is what the next one finds.
        let is_last = summary.cuts >= enough;
        let task = Task {
            dir: disk.join("data"),
            report: reports.path().join(format!("{life}")),
            seed: rng.u64(..),
            steps: if is_last { 0 } else { 400 },
            fsync: trouble.fsync,
        };
        let moment = match is_last {
            true => Moment::Never,
            false => Moment::random(&mut rng, trouble.failed_fsyncs && life % 2 == 0),
        };
        let before = disk.counters();
        let ended = until_cut(&disk, moment, trouble.loss, &task);
        let after = disk.counters();
        summary.cuts += u64::from(disk.is_cut());
        summary.with_loss += after.cuts_with_loss - before.cuts_with_loss;
        summary.written_bytes += after.written_bytes - before.written_bytes;
        summary.failed_fsyncs += after.failed_syncs - before.failed_syncs;
        if disk.is_cut() {
            disk.revive();
        }
        disk.heal();
        let result = ended.and_then(|()| judge(&task, &mut promised, summary));
        result.map_err(|reason| format!("life {life} ({moment:?}): {reason}"))?;
        if is_last {
            break;
        }
    }
    Ok(())
}

/// When the power fails, in operations of the file system.
#[derive(Clone, Copy, Debug)]
enum Moment {
    AfterStart(u64),
    AfterOpen(u64),
    /// Not at all: the process has nothing to do but open the directory.
    Never,
    /// Not at all: the process is killed this many milliseconds after it has opened the directory, and the
    /// system writes nothing back. The next one reads what was never synced, and may be cut before it syncs it.
    Killed(u64),
    /// Not at all: this many fsyncs after the start, one fails.
    FailedFsyncAfterStart(u64),
    FailedFsyncAfterOpen(u64),
    /// The same for the fsyncs of directories.
    FailedDirectoryFsyncAfterStart(u64),
    FailedDirectoryFsyncAfterOpen(u64),
}

impl Moment {
    /// Spread evenly over the orders of magnitude.
    fn random(rng: &mut Rng, failed_fsync: bool) -> Self {
        let operations = 2_f64.powf(rng.f64() * 11.0) as u64;
        match rng.u8(..8) {
            kind if failed_fsync => match kind {
                0 => Self::FailedFsyncAfterStart(operations / 64 + 1),
                // A start syncs directories about a dozen times; later that is done now and then.
                1 | 2 => Self::FailedDirectoryFsyncAfterStart(rng.u64(1..=24)),
                3 => Self::FailedDirectoryFsyncAfterOpen(rng.u64(1..=6)),
                _ => Self::FailedFsyncAfterOpen(operations / 8 + 1),
            },
            0..=1 => Self::AfterStart(operations / 4 + 1),
            2 => Self::Killed(rng.u64(..300)),
            _ => Self::AfterOpen(operations),
        }
    }
}

/// Runs a worker until the power fails, or it is killed, or has nothing left to do; it is dead afterwards.
fn until_cut(disk: &Disk, moment: Moment, loss: Loss, task: &Task) -> Result<(), String> {
    match moment {
        Moment::AfterStart(operations) => disk.cut_after(operations, loss),
        Moment::FailedFsyncAfterStart(fsyncs) => disk.fail_fsync_after(fsyncs),
        Moment::FailedDirectoryFsyncAfterStart(fsyncs) => disk.fail_directory_fsync_after(fsyncs),
        Moment::AfterOpen(_)
        | Moment::Never
        | Moment::Killed(_)
        | Moment::FailedFsyncAfterOpen(_)
        | Moment::FailedDirectoryFsyncAfterOpen(_) => {}
    }
    let failed_fsyncs = disk.counters().failed_syncs;
    let mut worker = worker::start(task);
    let ended = watch(disk, moment, loss, task, &mut worker);
    let for_a_reason = disk.is_cut() || disk.counters().failed_syncs > failed_fsyncs;
    if matches!(moment, Moment::AfterStart(_) | Moment::AfterOpen(_)) {
        disk.cut(loss);
    }
    // An error only says that it is dead already.
    let _ = worker.kill();
    let _ = worker.wait();
    let Some(status) = ended? else { return Ok(()) };
    let said = worker::read_report(&task.report).into_iter().find_map(|line| match line {
        Line::Failed(reason) => Some(reason),
        _ => None,
    });
    if for_a_reason && said.is_some() {
        return Ok(());
    }
    let stderr = std::fs::read_to_string(task.report.with_extension("stderr")).unwrap_or_default();
    Err(format!("the worker ended by itself ({status}): {}", said.unwrap_or(stderr)))
}

/// Answers how the worker ended, if it did.
fn watch(
    disk: &Disk,
    moment: Moment,
    loss: Loss,
    task: &Task,
    worker: &mut Child,
) -> Result<Option<ExitStatus>, String> {
    let started = Instant::now();
    let mut opened = None;
    while !disk.wait_for_cut(Duration::from_millis(5)) {
        if opened.is_none() && worker::has_opened(&task.report) {
            opened = Some(Instant::now());
            match moment {
                Moment::AfterOpen(operations) => disk.cut_after(operations, loss),
                Moment::FailedFsyncAfterOpen(fsyncs) => disk.fail_fsync_after(fsyncs),
                Moment::FailedDirectoryFsyncAfterOpen(fsyncs) => disk.fail_directory_fsync_after(fsyncs),
                _ => {}
            }
        }
        if let (Moment::Killed(milliseconds), Some(opened)) = (moment, opened)
            && opened.elapsed() > Duration::from_millis(milliseconds)
        {
            break;
        }
        if let Some(status) = worker.try_wait().map_err(|error| error.to_string())? {
            return Ok(Some(status));
        }
        if started.elapsed() > Duration::from_secs(2)
            && matches!(worker::read_report(&task.report).last(), Some(Line::Waiting))
        {
            break;
        }
        if started.elapsed() > Duration::from_secs(120) {
            return Err("the worker hangs".into());
        }
    }
    Ok(None)
}

fn judge(task: &Task, promised: &mut Promised, summary: &mut Summary) -> Result<(), String> {
    let mut lines = worker::read_report(&task.report).into_iter();
    let Some(Line::Opened { milliseconds, busy_milliseconds, log, records }) = lines.next() else {
        summary.during_open += 1;
        return Ok(());
    };
    let open = Duration::from_millis(milliseconds);
    summary.slowest_open = summary.slowest_open.max(open);
    let busy = Duration::from_millis(busy_milliseconds);
    if busy > super::OPEN_LIMIT || (open > super::OPEN_LIMIT && super::wall_time_counts()) {
        return Err(format!("opening took {open:?}, {busy:?} of it computing"));
    }
    promised.found(log.into_log(), worker::into_records(records))?;
    let mut rng = Rng::with_seed(task.seed);
    let mut left = task.steps;
    for line in lines {
        if matches!(line, Line::Done) {
            let step = promised.known().next(&mut rng);
            promised.done(&step);
            summary.steps += 1;
            left -= 1;
        }
    }
    if left > 0 {
        let step = promised.known().next(&mut rng);
        promised.begun(&step);
    }
    Ok(())
}
