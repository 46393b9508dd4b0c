//! Long reads, kept off the threads that serve the network.
//!
//! The few microseconds of a get are not worth a thread switch; a page of ten thousand keys would hold up
//! everything else on its thread. Such work runs on blocking threads, a limited number at a time and in
//! bounded steps. The exception is the hash of a whole state, which has a limit of its own.

use crate::api::deadline::Deadline;
use crate::api::fault::Fault;
use crate::reason::Reason;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Where long reads wait for a thread.
#[derive(Clone, Debug)]
pub struct HeavyReads {
    permits: Arc<Semaphore>,
    /// What was happening when the deadline passed, for the message: while the work waited, and while it ran.
    waiting: &'static str,
    running: &'static str,
}

impl HeavyReads {
    /// At most `at_once` of them at a time.
    pub fn new(at_once: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(at_once)),
            waiting: "the read waited for a thread; run fewer long reads at a time",
            running: "the keys were read; ask for smaller pages",
        }
    }

    /// For hashes of a whole state, one at a time: they must not take up the places of other reads.
    pub fn of_hashes() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(1)),
            waiting: "another hash was being computed on this node; one is computed at a time",
            running: "the whole state was hashed; allow more time",
        }
    }

    /// Runs one step on a blocking thread, or gives up at the deadline. A step that has started runs to its
    /// end and keeps its place until then.
    pub async fn run<T: Send + 'static>(
        &self,
        deadline: &Deadline,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let waiting = || Fault::deadline(self.waiting);
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
            None => Err(Fault::deadline(self.running)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn one_too_many_waits_until_its_deadline() {
        let reads = HeavyReads::new(1);
        let (release, released) = std::sync::mpsc::channel::<()>();
        let first = tokio::spawn({
            let reads = reads.clone();
            async move {
                reads.run(&Deadline::after(Duration::from_secs(5)), move || released.recv().is_ok()).await
            }
        });
        while reads.permits.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let second = reads.run(&Deadline::after(Duration::from_millis(20)), || ()).await;
        assert_eq!(second.unwrap_err().reason(), Reason::Deadline);
        release.send(()).unwrap();
        assert_eq!(first.await.unwrap(), Ok(true));
    }

    #[tokio::test]
    async fn a_hash_that_waits_for_another_one_says_so() {
        let reads = HeavyReads::of_hashes();
        let _other = Arc::clone(&reads.permits).acquire_owned().await.unwrap();
        let fault = reads.run(&Deadline::after(Duration::from_millis(20)), || ()).await.unwrap_err();
        assert!(fault.message().contains("another hash"), "{fault}");
    }

    #[tokio::test]
    async fn a_panic_stays_an_error() {
        let reads = HeavyReads::new(1);
        let outcome = reads.run(&Deadline::after(Duration::from_secs(5)), || panic!("a bug")).await;
        assert_eq!(outcome.unwrap_err().reason(), Reason::Internal);
        assert_eq!(reads.permits.available_permits(), 1);
    }
}
