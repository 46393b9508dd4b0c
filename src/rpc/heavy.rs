//! Reads that take long, kept off the threads that serve the network.
//!
//! The few microseconds of a get are not worth a thread switch; a page of ten
//! thousand keys would hold up everything else on its thread. Such work runs on
//! the blocking threads, only so many at a time, and in bounded steps; the one
//! exception is the hash of a whole state.

use crate::rpc::deadline::Deadline;
use crate::rpc::error::Fault;
use crate::rpc::reason::Reason;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// The desk where long reads wait for a thread.
#[derive(Clone, Debug)]
pub struct HeavyReads {
    permits: Arc<Semaphore>,
}

impl HeavyReads {
    /// At most so many at a time.
    pub fn new(at_once: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(at_once)) }
    }

    /// Runs one step on a thread of its own, or gives up at the deadline. A
    /// step that has begun runs to its end and keeps its place until then.
    pub async fn run<T: Send + 'static>(
        &self,
        deadline: &Deadline,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let waiting = || Fault::deadline("the read waited for a thread; fewer long reads at a time help");
        let permit = deadline.bound(Arc::clone(&self.permits).acquire_owned()).await.ok_or_else(waiting)?;
        let permit = permit.map_err(|_| Fault::new(Reason::Stopping, "the node is stopping"))?;
        let work = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        match deadline.bound(work).await {
            Some(Ok(result)) => Ok(result),
            Some(Err(error)) => {
                tracing::error!(%error, "a read panicked; this is a bug");
                Err(Fault::new(Reason::Internal, "the read failed inside the server; see its log"))
            }
            None => Err(Fault::deadline("the keys were read; ask for smaller pages")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn one_too_many_waits_until_its_deadline() {
        let desk = HeavyReads::new(1);
        let (release, held) = std::sync::mpsc::channel::<()>();
        let first = tokio::spawn({
            let desk = desk.clone();
            async move { desk.run(&Deadline::after(Duration::from_secs(5)), move || held.recv().is_ok()).await }
        });
        while desk.permits.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let second = desk.run(&Deadline::after(Duration::from_millis(20)), || ()).await;
        assert_eq!(second.unwrap_err().reason(), Reason::Deadline);
        release.send(()).unwrap();
        assert_eq!(first.await.unwrap(), Ok(true));
    }

    #[tokio::test]
    async fn a_panic_stays_an_error() {
        let desk = HeavyReads::new(1);
        let outcome = desk.run(&Deadline::after(Duration::from_secs(5)), || panic!("a bug")).await;
        assert_eq!(outcome.unwrap_err().reason(), Reason::Internal);
        assert_eq!(desk.permits.available_permits(), 1);
    }
}
