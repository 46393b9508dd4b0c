//! How long what a client sends waits until it is read.
//!
//! What nobody has read yet lies in the connection's socket. As long as that runs empty now and then, nothing waits. If
//! it does not, what lies there divided by the speed at which it is read is how long a request waits that arrives now.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long is looked at the speed before it counts.
const SPAN: Duration = Duration::from_millis(5);

/// The expected wait on a connection, for those who decide on its requests.
#[derive(Debug, Default)]
pub struct Wait(AtomicU32);

impl Wait {
    fn set(&self, wait: Duration) {
        let micros = u32::try_from(wait.as_micros()).unwrap_or(u32::MAX);
        // Nearly always it was and is nothing.
        if self.0.load(Ordering::Relaxed) != micros {
            self.0.store(micros, Ordering::Relaxed);
        }
    }

    /// None unless the socket has not run empty lately.
    pub fn get(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed).into())
    }
}

/// What is noted of the reading of one connection.
#[derive(Debug, Default)]
pub struct Reading {
    /// Since when, without its having run empty, and how much was read since then.
    since: Option<(Instant, usize)>,
}

impl Reading {
    /// So many bytes were read. `lying` tells how many more lie in the socket.
    pub fn read(&mut self, bytes: usize, now: Instant, lying: impl FnOnce() -> Option<u64>, wait: &Wait) {
        let (since, before) = self.since.unwrap_or((now, 0));
        let read = before + bytes;
        let time = now.saturating_duration_since(since);
        if time < SPAN {
            self.since = Some((since, read));
            return;
        }
        self.since = Some((now, 0));
        let lying = lying().unwrap_or(0) as f64;
        // Never negative, nor infinite: something was read.
        wait.set(
            Duration::try_from_secs_f64(time.as_secs_f64() * lying / read.max(1) as f64)
                .unwrap_or(Duration::MAX),
        );
    }

    /// There was nothing to be read.
    pub fn ran_empty(&mut self, wait: &Wait) {
        self.since = None;
        wait.set(Duration::ZERO);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Reads 1,000 bytes every millisecond, for so many of them, while so much lies there.
    fn read(reading: &mut Reading, now: &mut Instant, wait: &Wait, milliseconds: usize, lying: u64) {
        for _ in 0..milliseconds {
            *now += MS;
            reading.read(1000, *now, || Some(lying), wait);
        }
    }

    #[test]
    fn the_wait_is_what_lies_there_by_the_speed() {
        let (mut reading, mut now, wait) = (Reading::default(), Instant::now(), Wait::default());
        read(&mut reading, &mut now, &wait, 3, 50_000);
        assert_eq!(wait.get(), Duration::ZERO, "too short to tell");
        read(&mut reading, &mut now, &wait, 20, 50_000);
        let told = wait.get();
        assert!(told > 40 * MS && told < 60 * MS, "{told:?}");
        read(&mut reading, &mut now, &wait, 20, 0);
        assert_eq!(wait.get(), Duration::ZERO);
    }

    #[test]
    fn nothing_waits_where_the_socket_runs_empty() {
        let (mut reading, mut now, wait) = (Reading::default(), Instant::now(), Wait::default());
        read(&mut reading, &mut now, &wait, 20, 50_000);
        reading.ran_empty(&wait);
        assert_eq!(wait.get(), Duration::ZERO);
        for _ in 0..20 {
            read(&mut reading, &mut now, &wait, 3, 50_000);
            reading.ran_empty(&wait);
        }
        assert_eq!(wait.get(), Duration::ZERO);
    }
}
