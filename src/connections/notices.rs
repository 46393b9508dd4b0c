//! What is refused is logged, one line for many: whoever attacks must not fill the log as well.

use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often a line is written at most.
const INTERVAL: Duration = Duration::from_secs(10);

/// Why connections were refused or closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// All places of the listener were taken.
    ListenerFull,
    /// All places of its address were taken.
    AddressFull,
    /// It had not introduced itself when somebody else needed its place.
    MadeRoom,
    /// It did not introduce itself in time.
    Silent,
    /// It could not be accepted: no descriptor, or no memory in the kernel.
    NotAccepted,
    /// It let an answer lie for too long.
    NotReading,
}

impl Notice {
    const ALL: [(Self, &str); 6] = [
        (Self::ListenerFull, "refused, all places of the listener taken"),
        (Self::AddressFull, "refused, all places of their address taken"),
        (Self::MadeRoom, "closed for others, not introduced yet"),
        (Self::Silent, "closed, not introduced in time"),
        (Self::NotAccepted, "not accepted, see `error`"),
        (Self::NotReading, "closed, their answers not read"),
    ];
}

/// The notices of one listener.
#[derive(Debug)]
pub struct Notices {
    whom: &'static str,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: [u64; Notice::ALL.len()],
    logged: [u64; Notice::ALL.len()],
    last: Option<Instant>,
}

impl Notices {
    /// Of a listener for `whom`.
    pub fn new(whom: &'static str) -> Self {
        Self { whom, counts: Mutex::default() }
    }

    /// Counts one, and writes a line if none was written for a while. `why`: the error, if there is one.
    pub fn note(&self, notice: Notice, why: &dyn std::fmt::Display) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.all[notice as usize] += 1;
        let now = Instant::now();
        if counts.last.is_some_and(|last| now.duration_since(last) < INTERVAL) {
            return;
        }
        let news = counts.news();
        counts.last = Some(now);
        counts.logged = counts.all;
        drop(counts);
        tracing::warn!(listener = self.whom, error = %why, "connections{news}");
    }

    /// How many there were since the start.
    pub fn count(&self, notice: Notice) -> u64 {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).all[notice as usize]
    }
}

impl Counts {
    /// In words, what was not logged yet.
    fn news(&self) -> String {
        let mut news = String::new();
        for (notice, words) in Notice::ALL {
            let place = notice as usize;
            let count = self.all[place] - self.logged[place];
            if count > 0 {
                let separator = if news.is_empty() { ':' } else { ';' };
                let _ = write!(news, "{separator} {count} {words}");
            }
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_share_a_line() {
        let notices = Notices::new("clients");
        for _ in 0..3 {
            notices.note(Notice::Silent, &"");
        }
        notices.note(Notice::ListenerFull, &"");
        assert_eq!(notices.count(Notice::Silent), 3);
        // The first was logged at once.
        let news = notices.counts.lock().unwrap().news();
        assert_eq!(news, ": 1 refused, all places of the listener taken; 2 closed, not introduced in time");
    }
}
