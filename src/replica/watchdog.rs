//! A thread that ends a node whose disk hangs.
//!
//! A separate thread, since a read may hang on the loop's own thread, and an orderly end of the process may
//! wait for the same disk. It counts its own checks and trusts no clock, since a process that was paused for
//! an hour (SIGSTOP, a paused machine) has a disk that was silent for an hour and is fine.

use crate::replica::busy::Busy;
use crate::replica::fatal::Fatal;
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
        workers: clocks.into_iter().map(|clock| (clock, Stuck::default())).collect(),
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
    workers: Vec<(Arc<Busy>, Stuck)>,
    the_loop: Stuck,
    silence_max: Duration,
}

/// For how many checks in a row something has been at the same piece of work.
#[derive(Default)]
struct Stuck {
    at: Option<u64>,
    looks: u32,
}

impl Stuck {
    fn look(&mut self, at: Option<u64>) -> Duration {
        self.looks = if at.is_some() && at == self.at { self.looks + 1 } else { 0 };
        self.at = at;
        INTERVAL * self.looks
    }
}

impl Watchdog {
    /// Checks once. False: there is nothing to watch any more.
    fn look(&mut self) -> bool {
        std::thread::sleep(INTERVAL);
        let Some(published) = self.published.upgrade().filter(|published| !published.is_stopping()) else {
            return false; // Whoever stops a replica bounds the time itself.
        };
        if let Some(reason) = self.fatal.reason() {
            // Must not keep alive what it waits for.
            drop(published);
            std::thread::sleep(GRACE);
            if self.published.strong_count() == 0 {
                return false; // All its threads have ended; so will the process.
            }
            eprintln!("error: {reason}. The process could not end in order and ends now");
            std::process::exit(EXIT_CODE);
        }
        for (clock, stuck) in &mut self.workers {
            if stuck.look(clock.current()) >= self.silence_max {
                self.fatal.fail(format!(
                    "the disk has not answered for {:?}; the last writes may be lost",
                    self.silence_max
                ));
            }
        }
        if self.the_loop.look(Some(published.turns())) >= self.silence_max {
            self.fatal.fail(format!("the loop has not turned for {:?}", self.silence_max));
        }
        true
    }
}
