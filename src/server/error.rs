//! Why a node could not be started, or had to end.

use crate::peers::{BadAddress, IntroduceError};
use crate::replica::StartError;
use crate::storage::{OpenError, StorageError};

/// A node could not be started, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The data directory cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A file of the data directory cannot be written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address} for {whom}: {source}; is another process using it?")]
    Listen {
        /// The address.
        address: String,
        /// For whom.
        whom: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// A member's address is no URL.
    #[error(transparent)]
    Address(#[from] BadAddress),
    /// The others refuse this node.
    #[error("this node may not take part: {0}")]
    Introduce(#[from] IntroduceError),
    /// The replica cannot be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A listener failed.
    #[error("the listener for {whom} failed: {source}")]
    Listener {
        /// For whom.
        whom: &'static str,
        /// Why.
        source: tonic::transport::Error,
    },
    /// The disk or the engine broke its word.
    #[error(
        "{0}. Nothing more was acknowledged. If the disk is healthy, start the node again; else replace it"
    )]
    Fatal(String),
}
