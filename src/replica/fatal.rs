//! The end of a node that cannot keep its promises any more.

use crate::kv::TableError;
use crate::machine::MachineError;
use crate::storage::StorageError;
use std::fmt;
use tokio::sync::watch;

/// Why a node must end, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    reason: String,
    remedy: Remedy,
}

/// What helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// The disk or the engine broke its promise.
    Disk,
    /// What the reason says: another start of the same program would end alike.
    AsSaid,
    /// A bug.
    Report,
}

/// An error that ends a node.
pub(crate) trait Deadly: fmt::Display {
    fn remedy(&self) -> Remedy {
        Remedy::Disk
    }
}

impl Deadly for StorageError {}

impl Deadly for TableError {}

impl Deadly for MachineError {
    fn remedy(&self) -> Remedy {
        match self {
            Self::Table(error) => error.remedy(),
            Self::Unknown { .. } => Remedy::AsSaid,
        }
    }
}

impl Ending {
    pub fn bug(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), remedy: Remedy::Report }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}. Nothing more was acknowledged", self.reason)?;
        f.write_str(match self.remedy {
            Remedy::Disk => {
                ". If the disk is healthy, start the node again; else see \"A member has lost its data\" in \
                 docs/operations.md"
            }
            Remedy::AsSaid => "",
            Remedy::Report => {
                ". This is a bug in Kontiki: please report it with the lines above, and start the node again"
            }
        })
    }
}

/// Tells the process that it must end. The first reason counts.
#[derive(Clone, Debug)]
pub struct Fatal {
    ending: watch::Sender<Option<Ending>>,
}

impl Default for Fatal {
    fn default() -> Self {
        Self { ending: watch::Sender::new(None) }
    }
}

impl Fatal {
    /// Ends the node: nothing more may be acknowledged. A failed fsync is
    /// never tried again, since the kernel may have dropped what it could not write.
    pub fn fail(&self, reason: impl Into<String>, remedy: Remedy) {
        let ending = Ending { reason: reason.into(), remedy };
        tracing::error!(reason = ending.reason, "the node cannot go on");
        self.ending.send_if_modified(|first| {
            let news = first.is_none();
            first.get_or_insert(ending);
            news
        });
    }

    /// Runs a worker to its end. Its failure or panic ends the node: otherwise the other parts would go on
    /// and serve wrong answers.
    pub(crate) fn guard<E: Deadly>(&self, what: &str, work: impl FnOnce() -> Result<(), E>) {
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.fail(format!("{what}: {error}"), error.remedy()),
            Err(_) => self.fail(what, Remedy::Report),
        }
    }

    /// Why the node must end, if it must.
    pub(crate) fn ending(&self) -> Option<Ending> {
        self.ending.borrow().clone()
    }

    /// Waits for the end, and says why.
    pub async fn wait(&self) -> Ending {
        let mut ending = self.ending.subscribe();
        match ending.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(ending)) => ending.clone(),
            // The sender is ours and lives as long as we do.
            _ => std::future::pending().await,
        }
    }
}
