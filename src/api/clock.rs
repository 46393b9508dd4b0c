//! Time, as the routing of requests sees it. The simulator has a clock of its own.

use std::future::Future;
use tokio::time::Instant;

/// A clock that can be waited for.
pub trait Clock: Send + Sync + 'static {
    /// Ready when its moment has come.
    type Sleep: Future<Output = ()> + Send;

    /// The moment.
    fn now(&self) -> Instant;

    /// Waits for a moment.
    fn sleep_until(&self, moment: Instant) -> Self::Sleep;
}

/// The clock of the runtime.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    type Sleep = tokio::time::Sleep;

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep_until(&self, moment: Instant) -> Self::Sleep {
        tokio::time::sleep_until(moment)
    }
}

/// What the work gives, unless the moment comes first.
pub async fn until<C: Clock, T>(clock: &C, moment: Instant, work: impl Future<Output = T>) -> Option<T> {
    // In this order: work that is done at the last moment is done.
    tokio::select! {
        biased;
        done = work => Some(done),
        () = clock.sleep_until(moment) => None,
    }
}
