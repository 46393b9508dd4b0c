//! Records everything that a node's log is given.

use kontiki::raft::Persist;
use kontiki::storage::{LogReader, LogStore, StorageError};
use kontiki::types::EntryId;
use std::sync::{Arc, Mutex};

/// What was given to a log, in order, whether or not it got as far as the disk.
pub type Written = Arc<Mutex<Vec<Persist>>>;

struct Spied {
    log: Box<dyn LogStore>,
    written: Written,
}

/// The same log, and what will be written to it.
pub fn spy_on(log: Box<dyn LogStore>) -> (Box<dyn LogStore>, Written) {
    let written = Written::default();
    (Box::new(Spied { log, written: written.clone() }), written)
}

impl LogStore for Spied {
    fn write(&mut self, jobs: &[Persist]) -> Result<(), StorageError> {
        self.written.lock().expect("nobody panics while holding it").extend_from_slice(jobs);
        self.log.write(jobs)
    }

    fn compact(&mut self, through: EntryId) -> Result<(), StorageError> {
        self.log.compact(through)
    }

    fn reader(&self) -> Arc<dyn LogReader> {
        self.log.reader()
    }
}
