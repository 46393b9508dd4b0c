//! A thread that owns a disk, as the loop sees it.

use crate::replica::busy::Busy;
use crate::replica::fatal::{Deadly, Fatal};
use std::sync::{Arc, mpsc};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// A queue of jobs, and the thread that does them, if any. Dropping it ends the thread once its work is done.
#[derive(Debug)]
pub(crate) struct Worker<Job> {
    jobs: mpsc::Sender<Job>,
    busy: Arc<Busy>,
    thread: Option<JoinHandle<()>>,
}

/// The receiving end of the queue, for whatever does the work.
#[derive(Debug)]
pub(crate) struct Inbox<Job> {
    pub(crate) queue: mpsc::Receiver<Job>,
    pub(crate) busy: Arc<Busy>,
}

impl<Job> Worker<Job> {
    /// A queue without a thread.
    pub(crate) fn new() -> (Self, Inbox<Job>) {
        let (jobs, queue) = mpsc::channel();
        let busy = Arc::new(Busy::default());
        let clock = busy.clone();
        (Self { jobs, busy, thread: None }, Inbox { queue, busy: clock })
    }

    /// Starts the thread that does it. Its failure, or its panic, is `failure` and ends the node.
    pub(crate) fn start<E: Deadly>(
        &mut self,
        name: &str,
        failure: &'static str,
        fatal: Fatal,
        work: impl FnOnce() -> Result<(), E> + Send + 'static,
    ) -> std::io::Result<()> {
        let run = move || fatal.guard(failure, work);
        self.thread = Some(Builder::new().name(name.to_owned()).spawn(run)?);
        Ok(())
    }

    /// Queues a job. The core bounds what waits to be written, the loop what waits to be applied.
    pub(crate) fn submit(&self, job: Job) {
        // The thread ends early only when it has failed, and then the node ends.
        let _ = self.jobs.send(job);
    }

    /// How long the thread has been waiting for the disk.
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
        if self.thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("a worker panicked");
        }
    }
}
