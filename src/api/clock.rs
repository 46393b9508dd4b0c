//! Time, as the routing of requests sees it. The simulator has its own clock.

use std::future::Future;
use tokio::time::Instant;

/// A clock that can be waited for.
pub trait Clock: Send + Sync + 'static {
    /// Ready when its moment has come.
    type Sleep: Future<Output = ()> + Send;

    fn now(&self) -> Instant;

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

/// The result of the work, unless the moment comes first.
pub async fn until<C: Clock, T>(clock: &C, moment: Instant, work: impl Future<Output = T>) -> Option<T> {
    // In this order, so that work finished at the last moment counts.
    tokio::select! {
        biased;
        done = work => Some(done),
        () = clock.sleep_until(moment) => None,
    }
}
