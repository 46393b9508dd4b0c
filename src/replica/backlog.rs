//! How long a write that is proposed now would wait until it is applied, because of those before it.
//!
//! A write that will not be applied before its deadline helps nobody: its caller is gone by then, and it holds up the
//! writes behind it. So a leader proposes only what the backlog leaves time for, and refuses the rest at once.
//!
//! The wait is the backlog divided by the speed at which it was worked off lately, but no longer than writes have in
//! fact been waiting (while the load grows the speed lags behind), and no shorter than nothing was applied at all. From
//! that goes the time that a write takes in any case: a slow disk or a long way to the followers is no queue.

use crate::types::{Index, Term};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// What a write costs besides its bytes: about as much as this many of them.
const COST_OF_ONE: u64 = 512;
/// A backlog below this is no reason to refuse anything: it is worked off in a few writes to the disk.
const FREE: u64 = 256 << 10;
/// The shortest time over which the speed is measured.
const SPAN: Duration = Duration::from_millis(50);
/// How long a measurement counts much.
const MEMORY: Duration = Duration::from_millis(250);
/// How long it counts at all, once there is no backlog by which to measure again.
const OBLIVION: Duration = Duration::from_secs(2);
/// The longest expected wait with which anything is taken.
const LONGEST: Duration = Duration::from_millis(30);

/// The longest expected wait with which a request is taken that has so much time left. A little, for everybody alike:
/// if those with more time might wait longer, they would keep a backlog that nobody else is let in behind. It keeps the
/// disk busy. A request waits in several places, before it is proposed and after; and while it does, a crowd of others
/// waits in its client for a stream on the same connection, where nobody can refuse them.
pub fn longest_wait(left: Duration) -> Duration {
    left.min(LONGEST)
}

/// The writes that this node has proposed as leader and not yet applied. Entries of earlier leaders are not counted:
/// they are few, since a leader proposes nothing before its own first entry.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    /// The term in which they were proposed.
    term: Term,
    /// The cost of all writes of the term so far…
    entered: u64,
    /// …and of those that were applied.
    left: u64,
    /// What waits, in the groups in which it was proposed.
    groups: VecDeque<Group>,
    /// The cost that leaves in a second while there is a backlog, and when that was last seen.
    speed: Option<(f64, Instant)>,
    /// When the current measurement began, and what had left by then.
    measuring: Option<(Instant, u64)>,
    /// How far the node has applied, and since when that is so.
    applied: (Index, Option<Instant>),
    /// How long the newest of those took that are applied.
    newest_took: Duration,
    /// How long a write takes before which nothing waits, lately.
    unhindered: Option<Duration>,
}

#[derive(Debug)]
struct Group {
    /// The entry before its first one.
    before: Index,
    last: Index,
    proposed: Instant,
    cost: u64,
    /// The cost of all writes of the term up to its last one.
    entered: u64,
    /// Whether there was hardly anything before it.
    is_unhindered: bool,
}

impl Backlog {
    /// What a command of so many bytes costs.
    pub(crate) fn cost(bytes: usize) -> u64 {
        COST_OF_ONE + bytes as u64
    }

    /// Writes of so much cost were proposed, up to this index.
    pub(crate) fn proposed(&mut self, term: Term, last: Index, cost: u64, now: Instant) {
        if term != self.term {
            // What became of earlier terms' writes does not delay this one's.
            *self = Self { term, applied: self.applied, ..Self::default() };
        }
        let is_unhindered = self.waiting() + cost < FREE;
        let before = self.groups.back().map_or(self.applied.0, |group| group.last);
        self.entered += cost;
        let entered = self.entered;
        self.groups.push_back(Group { before, last, proposed: now, cost, entered, is_unhindered });
    }

    /// How long a write would wait that is proposed after what waits and `more`, beyond what it takes in any case.
    pub(crate) fn wait(&self, more: u64, now: Instant) -> Duration {
        let waiting = self.waiting() + more;
        if waiting < FREE {
            return Duration::ZERO;
        }
        let since = |at: Instant| now.saturating_duration_since(at);
        let oldest = self.groups.front().map_or(Duration::ZERO, |group| since(group.proposed));
        let stalled = oldest.min(self.applied.1.map_or(Duration::MAX, since));
        let in_fact = self.newest_took.max(oldest);
        let (queue, burst) = match self.speed {
            Some((speed, _)) => (time_of(waiting, speed).min(in_fact), time_of(more, speed)),
            None => (in_fact, Duration::ZERO),
        };
        stalled.max(queue).max(burst).saturating_sub(self.unhindered.unwrap_or_default())
    }

    /// Notes what was applied meanwhile. To be called often.
    pub(crate) fn look(&mut self, applied: Index, now: Instant) {
        if self.applied.0 != applied {
            self.applied = (applied, Some(now));
        }
        while let Some(group) = self.groups.pop_front_if(|group| group.last <= applied) {
            self.left = group.entered;
            self.newest_took = now.saturating_duration_since(group.proposed);
            if group.is_unhindered {
                let took = self.newest_took;
                self.unhindered = Some(self.unhindered.map_or(took, |before| (before * 7 + took) / 8));
            }
        }
        if let Some(group) = self.groups.front().filter(|group| applied > group.before) {
            // Of one that is applied in part, its part.
            let part = (applied.0 - group.before.0) as f64 / (group.last.0 - group.before.0) as f64;
            self.left = group.entered - group.cost + (group.cost as f64 * part) as u64;
        }
        if self.waiting() < FREE {
            // How fast a small backlog is worked off says nothing about a large one.
            self.measuring = None;
            self.speed = self.speed.filter(|(_, seen)| now.saturating_duration_since(*seen) < OBLIVION);
            return;
        }
        let (since, before) = *self.measuring.get_or_insert((now, self.left));
        let span = now.saturating_duration_since(since);
        // While nothing leaves, the age of the oldest write tells how long it takes.
        if span < SPAN || self.left == before {
            return;
        }
        let measured = (self.left - before) as f64 / span.as_secs_f64();
        let weight = span.as_secs_f64() / (span + MEMORY).as_secs_f64();
        let speed = self.speed.map_or(measured, |(speed, _)| speed + (measured - speed) * weight);
        self.speed = Some((speed, now));
        self.measuring = Some((now, self.left));
    }

    /// The node does not lead: nothing waits for it.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    fn waiting(&self) -> u64 {
        self.entered - self.left
    }
}

fn time_of(cost: u64, speed: f64) -> Duration {
    Duration::try_from_secs_f64(cost as f64 / speed).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const STEP: Duration = Duration::from_millis(10);

    /// A store that works off `speed` writes in a second, and clients that offer `offered`, each ready to wait for a
    /// second.
    struct World {
        backlog: Backlog,
        now: Instant,
        /// The deadlines of what waits.
        waiting: VecDeque<Instant>,
        applied: u64,
        /// Applied, applied too late, refused.
        outcomes: [usize; 3],
    }

    impl World {
        fn new() -> Self {
            Self {
                backlog: Backlog::default(),
                now: Instant::now(),
                waiting: VecDeque::new(),
                applied: 0,
                outcomes: [0; 3],
            }
        }

        fn run(&mut self, time: Duration, offered: usize, speed: usize) {
            let steps = time.as_millis() / STEP.as_millis();
            for _ in 0..steps {
                self.now += STEP;
                for deadline in self.waiting.drain(..self.waiting.len().min(speed / 100)) {
                    self.outcomes[usize::from(deadline < self.now)] += 1;
                    self.applied += 1;
                }
                self.backlog.look(Index(self.applied), self.now);
                let (mut cost, deadline) = (0, self.now + SECOND);
                for _ in 0..offered / 100 {
                    if self.backlog.wait(cost, self.now) <= longest_wait(SECOND) {
                        cost += Backlog::cost(512);
                        self.waiting.push_back(deadline);
                    } else {
                        self.outcomes[2] += 1;
                    }
                }
                if cost > 0 {
                    let last = Index(self.applied + self.waiting.len() as u64);
                    self.backlog.proposed(Term(1), last, cost, self.now);
                }
            }
        }
    }

    #[test]
    fn what_can_be_done_in_time_is_admitted() {
        let mut world = World::new();
        world.run(5 * SECOND, 10_000, 12_000);
        assert_eq!(world.outcomes[1..], [0, 0]);
    }

    #[test]
    fn of_many_times_too_much_as_much_is_done_as_can_be() {
        for (offered, speed) in [(20_000, 10_000), (100_000, 10_000), (2_000, 1_000)] {
            let mut world = World::new();
            world.run(5 * SECOND, offered, speed);
            let [in_time, late, refused] = world.outcomes;
            assert_eq!(late, 0, "{offered} offered, {in_time} in time, {refused} refused");
            assert!(in_time >= 5 * speed * 95 / 100, "only {in_time} of {speed} a second");
            // A second later it is as if nothing had been.
            world.outcomes = [0; 3];
            world.run(SECOND, speed / 2, speed);
            world.outcomes = [0; 3];
            world.run(SECOND, speed / 2, speed);
            assert_eq!(world.outcomes[1..], [0, 0], "normal again");
        }
    }

    #[test]
    fn a_store_that_stands_still_takes_no_more_than_it_had_time_for() {
        let mut world = World::new();
        world.run(SECOND, 2_000, 10_000);
        world.run(4 * SECOND, 2_000, 0);
        let admitted = world.waiting.len();
        assert!(admitted <= 600, "{admitted}: what waits for a moment, and a little");
        world.run(SECOND, 2_000, 10_000);
        world.outcomes = [0; 3];
        world.run(SECOND, 2_000, 10_000);
        assert_eq!(world.outcomes, [2_000, 0, 0], "normal again");
    }

    #[test]
    fn the_bytes_count_and_another_terms_do_not() {
        let (mut backlog, now) = (Backlog::default(), Instant::now());
        backlog.proposed(Term(1), Index(1), Backlog::cost(1 << 20), now);
        assert_eq!(backlog.wait(0, now + SECOND), SECOND);
        backlog.proposed(Term(2), Index(2), Backlog::cost(100), now + SECOND);
        assert_eq!(backlog.wait(0, now + 2 * SECOND), Duration::ZERO);
    }

    #[test]
    fn nobody_may_wait_longer_than_others_but_those_with_no_time() {
        let ms = Duration::from_millis;
        for (left, longest) in [(120_000, 30), (1_000, 30), (20, 20), (0, 0)] {
            assert_eq!(longest_wait(ms(left)), ms(longest), "{left} ms left");
        }
    }

    /// Groups of so many writes every 10 ms, each of which is applied `latency` later; the longest wait that was told.
    fn told_with_latency(latency: Duration, writes: u64, ramp: u64) -> Duration {
        let (mut backlog, mut now, mut last) = (Backlog::default(), Instant::now(), 0);
        let mut under_way = VecDeque::new();
        let mut told = Duration::ZERO;
        for number in 0..600 {
            now += STEP;
            while let Some((_, index)) = under_way.pop_front_if(|(at, _)| *at + latency <= now) {
                backlog.look(Index(index), now);
            }
            told = told.max(backlog.wait(0, now));
            // It begins with few.
            let writes = writes.min(1 + number / ramp);
            last += writes;
            backlog.proposed(Term(1), Index(last), writes * Backlog::cost(512), now);
            under_way.push_back((now, last));
        }
        told
    }

    #[test]
    fn latency_is_no_queue() {
        let ms = Duration::from_millis;
        for latency in [100, 300] {
            let told = told_with_latency(ms(latency), 100, 3);
            assert!(told <= ms(50), "{told:?} with a latency of {latency} ms and nothing that waits");
        }
    }

    #[test]
    fn what_was_slow_a_moment_ago_counts_for_the_next_burst() {
        let mut world = World::new();
        world.run(SECOND, 20_000, 1_000);
        world.run(SECOND, 0, 1_000);
        assert!(world.backlog.speed.is_some() && world.backlog.waiting() < FREE);
        world.run(3 * SECOND, 0, 1_000);
        assert!(world.backlog.speed.is_none(), "forgotten");
    }
}
