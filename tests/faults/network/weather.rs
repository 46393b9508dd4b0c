//! What a link does to the bytes in one direction.

use std::time::Duration;

/// How long the first retransmission of a lost packet takes, as Linux has it at least.
const RETRANSMISSION: Duration = Duration::from_millis(200);

/// The most losses of the same packet in a row: 200 ms, 400 ms, 800 ms.
const LOSSES_MAX: u32 = 3;

/// The weather in one direction of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Weather {
    /// Each chunk arrives this much later…
    pub delay: Duration,
    /// …and by up to this much later still. The order of bytes stays.
    pub jitter: Duration,
    /// The chance that a chunk is lost and comes when it is sent again; what
    /// follows waits behind it.
    pub loss: f64,
    /// Nothing passes, not even the end of a connection; what is under way waits.
    pub blackhole: bool,
    /// No more than this passes.
    pub bytes_per_second: Option<u64>,
}

impl Weather {
    /// Nothing arrives.
    pub fn blackhole() -> Self {
        Self { blackhole: true, ..Self::default() }
    }

    /// Everything arrives late.
    pub fn late(delay: Duration, jitter: Duration) -> Self {
        Self { delay, jitter, ..Self::default() }
    }

    /// Some of it is lost at first.
    pub fn lossy(loss: f64) -> Self {
        Self { loss, ..Self::default() }
    }

    /// It arrives drop by drop.
    pub fn narrow(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: Some(bytes_per_second), ..Self::default() }
    }

    /// How long a chunk is under way.
    pub(super) fn latency(&self, random: &mut fastrand::Rng) -> Duration {
        self.delay + self.jitter.mul_f64(random.f64()) + self.retransmissions(random)
    }

    /// How long a chunk of this many bytes keeps the line busy.
    pub(super) fn occupies(&self, bytes: usize) -> Duration {
        match self.bytes_per_second {
            Some(rate) => Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64),
            None => Duration::ZERO,
        }
    }

    fn retransmissions(&self, random: &mut fastrand::Rng) -> Duration {
        let mut wait = Duration::ZERO;
        for nth in 0..LOSSES_MAX {
            if random.f64() >= self.loss {
                break;
            }
            wait += RETRANSMISSION * (1 << nth);
        }
        wait
    }
}
