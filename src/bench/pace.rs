//! When a workload is measured, and in the open loop when its requests are due.
//!
//! Requests are due at a fixed rate, however long the answers take. Request `k` of
//! all is due at `start + k / rate` and belongs to thread `k % threads`, where
//! the next free client takes it. If all are busy it waits, and its latency
//! counts from when it was due: that wait is what a user would feel.
//!
//! One plain thread releases requests as they become due. The runtime's own
//! timers tick in milliseconds, which is longer than many answers take.

use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};

/// The shortest nap of the pacer: it releases requests in groups rather than spend a core on precision.
const SHORTEST_NAP: Duration = Duration::from_micros(100);
/// The longest: it also checks whether it should stop.
const LONGEST_NAP: Duration = Duration::from_millis(20);

/// When a workload is measured.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// Requests are sent from here on, …
    pub start: Instant,
    /// … measured from here on, …
    pub measure: Instant,
    /// … and no more are sent from here on.
    pub end: Instant,
}

/// When each request is due.
#[derive(Clone, Copy, Debug)]
pub struct Timetable {
    /// When request 0 is due.
    pub start: Instant,
    /// No request is due at or after this.
    pub end: Instant,
    pub rate: f64,
    /// How many threads they are dealt out to.
    pub threads: u64,
}

impl Timetable {
    /// When request `k` of all is due.
    fn due(&self, k: u64) -> Instant {
        self.start + Duration::from_secs_f64(k as f64 / self.rate)
    }

    /// When the `nth` request of one thread is due.
    pub fn due_on(&self, thread: u64, nth: u64) -> Instant {
        self.due(nth * self.threads + thread)
    }

    /// How many requests of all are due before `now` (the first at the very start).
    fn count_before(&self, now: Instant) -> u64 {
        let passed = now.min(self.end).saturating_duration_since(self.start);
        (passed.as_secs_f64() * self.rate).ceil() as u64
    }

    /// How many requests of one thread are due before `now`.
    pub fn count_on(&self, thread: u64, now: Instant) -> u64 {
        self.count_before(now).saturating_sub(thread).div_ceil(self.threads)
    }
}

/// Releases requests to the threads as they become due: one permit each.
/// Returns at the end of the timetable or on `stop`; then all semaphores are closed.
pub fn release(timetable: &Timetable, gates: &[Arc<Semaphore>], stop: &watch::Receiver<bool>) {
    let mut released = vec![0_u64; gates.len()];
    loop {
        let now = Instant::now();
        for (thread, (gate, released)) in gates.iter().zip(&mut released).enumerate() {
            let due = timetable.count_on(thread as u64, now);
            gate.add_permits((due - *released) as usize);
            *released = due;
        }
        if now >= timetable.end || *stop.borrow() {
            break;
        }
        let next = timetable.due(timetable.count_before(now));
        let nap = next.min(timetable.end).saturating_duration_since(now);
        std::thread::sleep(nap.clamp(SHORTEST_NAP, LONGEST_NAP));
    }
    gates.iter().for_each(|gate| gate.close());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timetable(rate: f64, threads: u64) -> Timetable {
        let start = Instant::now();
        Timetable { start, end: start + Duration::from_secs(10), rate, threads }
    }

    #[test]
    fn all_threads_together_make_the_rate() {
        for (rate, threads) in [(1000.0, 1), (1000.0, 3), (7.5, 4)] {
            let table = timetable(rate, threads);
            let at = |seconds| {
                let now = table.start + Duration::from_secs(seconds);
                (0..threads).map(|thread| table.count_on(thread, now)).sum::<u64>()
            };
            assert_eq!(at(0), 0);
            assert_eq!(at(4), (4.0 * rate) as u64, "{rate} among {threads}");
            assert_eq!(at(99), (10.0 * rate) as u64, "and none after the end");
        }
    }

    #[test]
    fn a_request_is_counted_from_the_moment_it_is_due() {
        let table = timetable(100.0, 2);
        for (thread, nth) in [(0, 0), (1, 0), (0, 7), (1, 200)] {
            let due = table.due_on(thread, nth);
            assert_eq!(table.count_on(thread, due + Duration::from_micros(1)), nth + 1);
            assert_eq!(table.count_on(thread, due - Duration::from_micros(1).min(due - table.start)), nth);
        }
    }

    #[test]
    fn the_pacer_releases_all_and_closes_the_gates() {
        let start = Instant::now();
        let end = start + Duration::from_millis(60);
        let table = Timetable { start, end, rate: 5000.0, threads: 2 };
        let gates = [Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0))];
        let (_keep, stop) = watch::channel(false);
        release(&table, &gates, &stop);
        assert_eq!(gates.iter().map(|gate| gate.available_permits()).sum::<usize>(), 300);
        assert!(gates.iter().all(|gate| gate.is_closed()));
    }
}
