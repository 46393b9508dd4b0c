//! Why a node could not be started, or had to end.

use crate::connections::descriptors::TooFewDescriptors;
use crate::peers::secret::SecretError;
use crate::peers::{BadAddress, IntroduceError};
use crate::replica::{Ending, StartError};
use crate::storage::{OpenError, StorageError};

/// A node could not be started, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Descriptors(#[from] TooFewDescriptors),
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A file of the data directory cannot be written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("cannot listen on {address} for {whom}: {source}{}", hint(source))]
    Listen { address: String, whom: &'static str, source: std::io::Error },
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A member's address is not a URL.
    #[error(transparent)]
    Address(#[from] BadAddress),
    #[error("this node may not take part: {0}")]
    Introduce(#[from] IntroduceError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("the listener for {whom} failed: {source}")]
    Listener { whom: &'static str, source: tonic::transport::Error },
    /// It cannot keep its promises any more.
    #[error("{0}")]
    Fatal(Ending),
}

fn hint(source: &std::io::Error) -> &'static str {
    match source.kind() {
        std::io::ErrorKind::AddrInUse => "; stop the other process, or choose another port",
        std::io::ErrorKind::AddrNotAvailable => "; it is not an address of this machine",
        _ => "",
    }
}
