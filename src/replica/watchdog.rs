//! A thread that ends a node whose disk hangs.
//!
//! A separate thread, since a read may hang on the loop's own thread, and an orderly end of the process may
//! wait for the same disk. It counts its own checks and trusts no clock, since a process that was paused for
//! an hour (SIGSTOP, a paused machine) has a disk that was silent for an hour and is fine.
//!
//! A command that takes long is not a disk that hangs. All nodes apply the same one: if they ended, they would
//! meet it again at the next start, and end again. So it is reported, and the node goes on.

use crate::replica::busy::Busy;
use crate::replica::fatal::{Fatal, Remedy};
use crate::replica::published::Published;
use std::sync::{Arc, Weak};
use std::time::Duration;

const INTERVAL: Duration = Duration::from_millis(500);
/// How long an orderly end may take after a fatal error.
const GRACE: Duration = Duration::from_secs(3);
/// The exit code of a process that could not end in order (EX_IOERR).
const EXIT_CODE: i32 = 74;

/// Starts the thread. It ends with the replica.
pub(crate) fn start(
    fatal: Fatal,
    published: &Arc<Published>,
    clocks: Vec<Arc<Busy>>,
    silence_max: Duration,
) -> std::io::Result<()> {
    let mut watchdog = Watchdog {
        fatal,
        published: Arc::downgrade(published),
        workers: clocks.into_iter().map(|clock| (clock, WorkerWatch::default())).collect(),
        the_loop: Stuck::default(),
        silence_max,
    };
    let run = move || while watchdog.look() {};
    std::thread::Builder::new().name("watchdog".into()).spawn(run)?;
    Ok(())
}

struct Watchdog {
    fatal: Fatal,
    published: Weak<Published>,
    workers: Vec<(Arc<Busy>, WorkerWatch)>,
    the_loop: Stuck<u64>,
    silence_max: Duration,
}

/// For how many checks in a row something has stayed the same.
struct Stuck<T> {
    at: Option<T>,
    looks: u32,
}

impl<T> Default for Stuck<T> {
    fn default() -> Self {
        Self { at: None, looks: 0 }
    }
}

impl<T: PartialEq> Stuck<T> {
    fn look(&mut self, at: Option<T>) -> Duration {
        self.looks = if at.is_some() && at == self.at { self.looks + 1 } else { 0 };
        self.at = at;
        INTERVAL * self.looks
    }
}

/// What to think of a worker.
#[derive(Debug, PartialEq)]
enum Verdict {
    Fine,
    /// It has been at one piece of work for too long, but moves on in it. Said once for each.
    Slow,
    /// It stands still.
    Silent,
}

/// How patient to be with one worker.
#[derive(Default)]
struct WorkerWatch {
    /// The piece of work.
    piece: Stuck<u64>,
    /// The piece and what was computed.
    progress: Stuck<(u64, u64)>,
    complained_of: Option<u64>,
}

impl WorkerWatch {
    fn look(&mut self, progress: Option<(u64, u64)>, silence_max: Duration) -> Verdict {
        let piece = progress.map(|(piece, _)| piece);
        let (at_it, silent) = (self.piece.look(piece), self.progress.look(progress));
        if silent >= silence_max {
            return Verdict::Silent;
        }
        if at_it < silence_max || self.complained_of == piece {
            return Verdict::Fine;
        }
        self.complained_of = piece;
        Verdict::Slow
    }
}

impl Watchdog {
    /// Checks once. False: there is nothing to watch any more.
    fn look(&mut self) -> bool {
        std::thread::sleep(INTERVAL);
        let Some(published) = self.published.upgrade().filter(|published| !published.is_stopping()) else {
            return false; // Whoever stops a replica bounds the time itself.
        };
        if let Some(ending) = self.fatal.ending() {
            // Must not keep alive what it waits for.
            drop(published);
            std::thread::sleep(GRACE);
            if self.published.strong_count() == 0 {
                return false; // All its threads have ended; so will the process.
            }
            eprintln!("error: {ending}. The process could not end in order and ends now");
            std::process::exit(EXIT_CODE);
        }
        let silence_max = self.silence_max;
        for (clock, patience) in &mut self.workers {
            match patience.look(clock.progress(), silence_max) {
                Verdict::Fine => {}
                Verdict::Slow => tracing::error!(
                    "one command has been applied for {silence_max:?}, and everything else waits for it; it moves on, so \
                     this is not the disk, and the node goes on, too; commands are limited so that this cannot happen: \
                     please report it"
                ),
                Verdict::Silent => self.fatal.fail(
                    format!("the disk has not answered for {silence_max:?}; the last writes may be lost"),
                    Remedy::Disk,
                ),
            }
        }
        if self.the_loop.look(Some(published.turns())) >= self.silence_max {
            self.fatal.fail(format!("the loop has not turned for {:?}", self.silence_max), Remedy::Report);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of a worker whose piece of work and progress are these at each check.
    fn verdicts(progress: impl IntoIterator<Item = Option<(u64, u64)>>) -> Vec<Verdict> {
        let mut patience = WorkerWatch::default();
        progress.into_iter().map(|progress| patience.look(progress, INTERVAL * 3)).collect()
    }

    #[test]
    fn a_disk_that_does_not_answer_is_silent() {
        let last = verdicts([Some((7, 40)); 4]).pop();
        assert_eq!(last, Some(Verdict::Silent));
        assert!(verdicts([None; 9]).iter().all(|verdict| *verdict == Verdict::Fine), "idle");
        let busy = verdicts((0..9).map(|piece| Some((piece, 40))));
        assert!(busy.iter().all(|verdict| *verdict == Verdict::Fine), "each piece of work is short");
    }

    #[test]
    fn a_command_that_moves_on_is_slow_and_is_reported_once() {
        let verdicts = verdicts((0..9).map(|computed| Some((7, computed))));
        assert!(!verdicts.contains(&Verdict::Silent), "{verdicts:?}");
        assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Slow).count(), 1);
    }

    #[test]
    fn a_command_that_stops_moving_waits_for_the_disk() {
        let moving = (0..9).map(|computed| Some((7, computed)));
        let standing = [Some((7, 8)); 4];
        assert_eq!(verdicts(moving.chain(standing)).pop(), Some(Verdict::Silent));
    }
}
