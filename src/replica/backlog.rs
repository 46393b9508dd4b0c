//! How long a write that is proposed now would wait until it is applied.
//!
//! A write that will not be applied before its deadline helps nobody: its caller is gone by then, and it holds up the
//! writes behind it. So a leader proposes only what the backlog leaves time for, and refuses the rest at once. The
//! wait is the backlog divided by the speed at which it was worked off lately, or the time for which its oldest
//! write has been waiting, whichever is longer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// What a write costs besides its bytes: about as much as this many of them.
const COST_OF_ONE: u64 = 512;
/// A backlog below this is no reason to refuse anything: it is worked off in a few writes to the disk.
const FREE: u64 = 256 << 10;
/// The shortest time over which the speed is measured.
const SPAN: Duration = Duration::from_millis(50);
/// How long a measurement counts.
const MEMORY: Duration = Duration::from_millis(250);

/// The writes that this node has proposed and that are neither applied nor lost.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    /// The cost of all writes that ever came in…
    entered: u64,
    /// …and of those that have left.
    left: Arc<AtomicU64>,
    /// When writes came in, and what had come in by then.
    groups: VecDeque<(Instant, u64)>,
    /// The cost that leaves in a second while there is a backlog.
    speed: Option<f64>,
    /// When the current measurement began, and what had left by then.
    measuring: Option<(Instant, u64)>,
}

/// A write's place in the backlog, which it leaves when this is dropped: not when its caller gives up.
#[derive(Debug)]
pub(crate) struct Place {
    cost: u64,
    left: Arc<AtomicU64>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.left.fetch_add(self.cost, Ordering::Relaxed);
    }
}

impl Backlog {
    /// Takes in a write of so many bytes, if it can be expected to be applied in a quarter of the time that it has left:
    /// the rest is for its way here and the answer's way back, which take longer too when there is much to do, and for a
    /// disk that becomes slower. Else returns the expected wait.
    pub(crate) fn enter(&mut self, bytes: usize, deadline: Instant, now: Instant) -> Result<Place, Duration> {
        let wait = self.wait(now);
        if wait > deadline.saturating_duration_since(now) / 4 {
            return Err(wait);
        }
        let cost = COST_OF_ONE + bytes as u64;
        self.entered += cost;
        match self.groups.back_mut() {
            Some((at, entered)) if *at == now => *entered = self.entered,
            _ => self.groups.push_back((now, self.entered)),
        }
        Ok(Place { cost, left: self.left.clone() })
    }

    /// How long what is here now will take.
    pub(crate) fn wait(&self, now: Instant) -> Duration {
        let waiting = self.waiting();
        if waiting < FREE {
            return Duration::ZERO;
        }
        let oldest = self.groups.front().map_or(Duration::ZERO, |(at, _)| now.saturating_duration_since(*at));
        let estimate = self.speed.map(|speed| Duration::try_from_secs_f64(waiting as f64 / speed));
        estimate.map_or(oldest, |estimate| estimate.unwrap_or(Duration::MAX).max(oldest))
    }

    /// Notes what has left meanwhile. To be called often.
    pub(crate) fn look(&mut self, now: Instant) {
        let left = self.left.load(Ordering::Relaxed);
        while self.groups.pop_front_if(|(_, entered)| *entered <= left).is_some() {}
        if self.waiting() < FREE {
            // Whatever limited it is over; how fast a small backlog is worked off says nothing about a large one.
            (self.speed, self.measuring) = (None, None);
            return;
        }
        let (since, before) = *self.measuring.get_or_insert((now, left));
        let span = now.saturating_duration_since(since);
        // While nothing leaves, the age of the oldest write tells how long it takes.
        if span < SPAN || left == before {
            return;
        }
        let measured = (left - before) as f64 / span.as_secs_f64();
        let weight = span.as_secs_f64() / (span + MEMORY).as_secs_f64();
        self.speed = Some(self.speed.map_or(measured, |speed| speed + (measured - speed) * weight));
        self.measuring = Some((now, left));
    }

    fn waiting(&self) -> u64 {
        self.entered.saturating_sub(self.left.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const STEP: Duration = Duration::from_millis(10);

    /// A store that works off `speed` writes in a second, and clients that offer `offered`, each ready to wait for a
    /// second. Returns the writes that were admitted, in order, with the time at which each was applied.
    struct World {
        backlog: Backlog,
        now: Instant,
        waiting: VecDeque<(Instant, Place)>,
        /// Applied, applied too late, refused.
        outcomes: [usize; 3],
    }

    impl World {
        fn new() -> Self {
            Self {
                backlog: Backlog::default(),
                now: Instant::now(),
                waiting: VecDeque::new(),
                outcomes: [0; 3],
            }
        }

        fn run(&mut self, time: Duration, offered: usize, speed: usize) {
            let steps = time.as_millis() / STEP.as_millis();
            for _ in 0..steps {
                self.now += STEP;
                for (deadline, place) in self.waiting.drain(..self.waiting.len().min(speed / 100)) {
                    self.outcomes[usize::from(deadline < self.now)] += 1;
                    drop(place);
                }
                self.backlog.look(self.now);
                for _ in 0..offered / 100 {
                    let deadline = self.now + SECOND;
                    match self.backlog.enter(512, deadline, self.now) {
                        Ok(place) => self.waiting.push_back((deadline, place)),
                        Err(_) => self.outcomes[2] += 1,
                    }
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
        assert!(admitted <= 2_000 * 3 / 10, "{admitted}: a quarter of a second of it, and a little");
        world.run(SECOND, 2_000, 10_000);
        world.outcomes = [0; 3];
        world.run(SECOND, 2_000, 10_000);
        assert_eq!(world.outcomes, [2_000, 0, 0], "normal again");
    }

    #[test]
    fn the_bytes_count() {
        let (mut backlog, now) = (Backlog::default(), Instant::now());
        let _large = backlog.enter(1 << 20, now + SECOND, now).unwrap();
        let later = now + SECOND;
        backlog.look(later);
        assert_eq!(backlog.enter(0, later + SECOND, later).unwrap_err(), SECOND);
        assert!(backlog.enter(0, later + 5 * SECOND, later).is_ok(), "others have more time");
    }
}
