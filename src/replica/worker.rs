//! A thread that owns a disk, as the loop sees it.

use crate::replica::busy::Busy;
use crate::replica::fatal::Fatal;
use std::fmt::Display;
use std::sync::{Arc, mpsc};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// A thread with a queue of jobs. Dropping it ends the thread once its work is done.
#[derive(Debug)]
pub(crate) struct Worker<Job> {
    jobs: mpsc::Sender<Job>,
    busy: Arc<Busy>,
    thread: JoinHandle<()>,
}

impl<Job: Send + 'static> Worker<Job> {
    /// Starts the thread. Its failure, or its panic, is `failure` and ends the node.
    pub(crate) fn start<E: Display>(
        name: &str,
        failure: &'static str,
        fatal: Fatal,
        work: impl FnOnce(mpsc::Receiver<Job>, Arc<Busy>) -> Result<(), E> + Send + 'static,
    ) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel();
        let busy = Arc::new(Busy::default());
        let clock = busy.clone();
        let run = move || fatal.guard(failure, || work(queue, clock));
        let thread = Builder::new().name(name.to_owned()).spawn(run)?;
        Ok(Self { jobs, busy, thread })
    }

    /// Queues a job. The queue holds no more than the log's tail in memory, which is bounded.
    pub(crate) fn submit(&self, job: Job) {
        // The thread ends early only when it has failed, and then the node ends.
        let _ = self.jobs.send(job);
    }

    /// For how long the thread has waited for the disk.
    pub(crate) fn busy(&self) -> Duration {
        self.busy.elapsed()
    }

    /// For the watchdog.
    pub(crate) fn clock(&self) -> Arc<Busy> {
        self.busy.clone()
    }

    /// Lets the thread finish.
    pub(crate) fn stop(self) {
        drop(self.jobs);
        if self.thread.join().is_err() {
            tracing::error!("a worker panicked");
        }
    }
}
