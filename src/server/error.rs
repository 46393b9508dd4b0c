//! Why a node could not be started, or had to end.

use crate::peers::{BadAddress, IntroduceError};
use crate::replica::StartError;
use crate::storage::{OpenError, StorageError};

/// A node could not be started, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A file of the data directory cannot be written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("cannot listen on {address} for {whom}: {source}; is another process using it?")]
    Listen { address: String, whom: &'static str, source: std::io::Error },
    /// A member's address is not a URL.
    #[error(transparent)]
    Address(#[from] BadAddress),
    #[error("this node may not take part: {0}")]
    Introduce(#[from] IntroduceError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("the listener for {whom} failed: {source}")]
    Listener { whom: &'static str, source: tonic::transport::Error },
    /// The disk or the engine broke its promise.
    #[error(
        "{0}. Nothing more was acknowledged. If the disk is healthy, start the node again; else replace it"
    )]
    Fatal(String),
}
