//! Long reads, kept off the threads that serve the network.
//!
//! The few microseconds of a get are not worth a thread switch; a page of ten thousand keys would hold up
//! everything else on its thread. Such work runs on blocking threads, as many at a time as there are cores. It looks up
//! now and then ([`Waiting`]), and stops when its caller is gone or its time has passed. The hash of a whole
//! state has a limit of its own.

use crate::api::deadline::Deadline;
use crate::api::fault::Fault;
use crate::kv::Caller;
use crate::reason::Reason;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Semaphore;

/// What a read may do on the thread that serves the network, in units of work: the values of 64 keys, or half a
/// millisecond. More has to be done elsewhere.
const NETWORK_THREAD_WORK: u64 = 4608;

/// The caller of a read on the network's thread: impatient, since everybody else waits meanwhile.
#[derive(Debug)]
pub struct NetworkThread {
    left: Cell<u64>,
}

impl Default for NetworkThread {
    fn default() -> Self {
        Self { left: Cell::new(NETWORK_THREAD_WORK) }
    }
}

impl Caller for NetworkThread {
    fn still_waits(&self, work: u64) -> bool {
        self.left.set(self.left.get().saturating_sub(work));
        self.left.get() > 0
    }
}

/// The caller of a read on a blocking thread.
#[derive(Debug)]
pub struct Waiting {
    deadline: Deadline,
    gone: Arc<AtomicBool>,
}

impl Caller for Waiting {
    fn still_waits(&self, _: u64) -> bool {
        !self.gone.load(Ordering::Relaxed) && !self.deadline.has_passed()
    }
}

/// Says so when whoever waits is dropped: the client has gone, or was answered.
struct Departure(Arc<AtomicBool>);

impl Drop for Departure {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Where long reads wait for a thread.
#[derive(Clone, Debug)]
pub struct HeavyReads {
    permits: Arc<Semaphore>,
    /// What was happening when the deadline passed, for the message: while the work waited, and while it ran.
    waiting: &'static str,
    running: &'static str,
}

/// However many cores there are, no more at a time: each holds a view, and what it answers.
const AT_ONCE_MAX: usize = 16;
impl HeavyReads {
    /// One for each core: more would only keep the loop and the log from running.
    pub fn of_this_machine() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self::new(cores.clamp(2, AT_ONCE_MAX))
    }

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

    /// Runs one step on a blocking thread, or gives up at the deadline. A step that has started keeps its place
    /// until it ends: it asks its caller now and then whether to go on.
    pub async fn run<T: Send + 'static>(
        &self,
        deadline: &Deadline,
        work: impl FnOnce(&Waiting) -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let waiting = || Fault::deadline(self.waiting);
        let permit = deadline.bound(Arc::clone(&self.permits).acquire_owned()).await.ok_or_else(waiting)?;
        let permit = permit.map_err(|_| Fault::new(Reason::Stopping, "the node is stopping"))?;
        let gone = Arc::new(AtomicBool::new(false));
        let _departure = Departure(Arc::clone(&gone));
        let caller = Waiting { deadline: *deadline, gone };
        let work = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work(&caller)
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
                reads.run(&Deadline::after(Duration::from_secs(5)), move |_| released.recv().is_ok()).await
            }
        });
        while reads.permits.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let second = reads.run(&Deadline::after(Duration::from_millis(20)), |_| ()).await;
        assert_eq!(second.unwrap_err().reason(), Reason::Deadline);
        release.send(()).unwrap();
        assert_eq!(first.await.unwrap(), Ok(true));
    }

    /// Works for as long as somebody waits.
    fn endless(caller: &Waiting) {
        while caller.still_waits(1) {
            std::thread::yield_now();
        }
    }

    async fn has_a_place(reads: &HeavyReads) -> bool {
        tokio::time::timeout(Duration::from_secs(10), reads.permits.acquire()).await.is_ok()
    }

    #[tokio::test]
    async fn work_stops_at_its_deadline() {
        let reads = HeavyReads::new(1);
        let fault = reads.run(&Deadline::after(Duration::from_millis(20)), endless).await;
        assert!(fault.is_ok() || fault.is_err_and(|fault| fault.reason() == Reason::Deadline));
        assert!(has_a_place(&reads).await);
    }

    #[tokio::test]
    async fn work_stops_when_its_caller_is_gone() {
        let reads = HeavyReads::new(1);
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let asked = tokio::spawn({
            let reads = reads.clone();
            async move {
                let work = move |caller: &Waiting| {
                    let _ = begun.send(());
                    endless(caller);
                };
                reads.run(&Deadline::after(Duration::from_secs(20)), work).await
            }
        });
        has_begun.await.unwrap();
        asked.abort();
        assert!(has_a_place(&reads).await);
    }

    #[test]
    fn the_network_thread_does_what_is_short() {
        let caller = NetworkThread::default();
        assert!(caller.still_waits(NETWORK_THREAD_WORK - 1));
        assert!(!caller.still_waits(1));
    }

    #[tokio::test]
    async fn a_hash_that_waits_for_another_one_says_so() {
        let reads = HeavyReads::of_hashes();
        let _other = Arc::clone(&reads.permits).acquire_owned().await.unwrap();
        let fault = reads.run(&Deadline::after(Duration::from_millis(20)), |_| ()).await.unwrap_err();
        assert!(fault.message().contains("another hash"), "{fault}");
    }

    #[tokio::test]
    async fn a_panic_stays_an_error() {
        let reads = HeavyReads::new(1);
        let outcome = reads.run(&Deadline::after(Duration::from_secs(5)), |_| panic!("a bug")).await;
        assert_eq!(outcome.unwrap_err().reason(), Reason::Internal);
        assert_eq!(reads.permits.available_permits(), 1);
    }
}
