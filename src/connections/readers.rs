//! Connections whose clients do not read their answers.
//!
//! Whoever reads nothing holds a bounded number of bytes, but not forever. A stream cannot be given up from this
//! side while its client takes nothing of it: what was handed to the transport stays there. So the connection goes.
//! A connection that is read is left alone, even if one of its streams is not: what counts is that within its
//! time it takes as much as it let lie.

use crate::budget::Budget;
use crate::connections::notices::Notice;
use crate::connections::places::Places;
use crate::connections::unread::Unread;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::{Duration, Instant};

/// How often is looked for those who do not read.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long a client has to take what it let lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadingTime {
    /// In any case.
    pub longest: Duration,
    /// While others need the room.
    pub crowded: Duration,
}

impl ReadingTime {
    /// Longer than a scan waits for its reader: that one says in words why it ends.
    pub const USUAL: Self = Self { longest: Duration::from_secs(120), crowded: Duration::from_secs(5) };
}

/// What a connection had to take since when.
#[derive(Clone, Copy, Debug)]
struct Due {
    since: Instant,
    bytes: usize,
    written: usize,
}

impl Due {
    fn of(unread: &Unread, now: Instant) -> Self {
        Self { since: now, bytes: unread.lying(), written: unread.written() }
    }

    fn was_taken(&self, unread: &Unread) -> bool {
        unread.written().wrapping_sub(self.written) >= self.bytes
    }
}

/// Closes connections of a listener that do not take their answers in time. Never ends.
pub async fn watch(places: &Places, answers: &Budget, time: ReadingTime) -> Infallible {
    let mut dues = BTreeMap::new();
    loop {
        tokio::time::sleep(INTERVAL).await;
        let patience = if answers.is_crowded() { time.crowded } else { time.longest };
        look(places, &mut dues, patience, Instant::now());
    }
}

fn look(places: &Places, dues: &mut BTreeMap<u64, Due>, patience: Duration, now: Instant) {
    let before = std::mem::take(dues);
    for standing in places.with_unread() {
        let unread = standing.unread();
        let due = match before.get(&standing.number()) {
            Some(due) if !due.was_taken(unread) => *due,
            _ => Due::of(unread, now),
        };
        if now.duration_since(due.since) >= patience {
            standing.close(Notice::NotReading);
        } else {
            dues.insert(standing.number(), due);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn who_takes_nothing_is_closed_and_who_reads_is_not() {
        let places = Places::new("clients", 10, 10);
        let connect = || places.take(IpAddr::V4(Ipv4Addr::LOCALHOST)).unwrap();
        let (idle, reader, stuck) = (connect(), connect(), connect());
        let mut dues = BTreeMap::new();
        let start = Instant::now();
        for place in [&reader, &stuck] {
            place.standing().unread().add(1000);
        }
        for seconds in 0..20 {
            // One of its streams is never read, others are.
            reader.standing().unread().wrote(250);
            stuck.standing().unread().wrote(50);
            look(&places, &mut dues, 5 * SECOND, start + seconds * SECOND);
            assert_eq!(stuck.standing().is_closed(), seconds >= 5, "after {seconds} s");
        }
        assert!(!reader.standing().is_closed() && !idle.standing().is_closed());
        drop(stuck);
        reader.standing().unread().sub(1000);
        look(&places, &mut dues, 5 * SECOND, start + 20 * SECOND);
        assert!(dues.is_empty());
    }
}
