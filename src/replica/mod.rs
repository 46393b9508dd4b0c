//! The loop.

mod error;
mod handle;
mod status;
mod transport;

pub use error::{InstallError, ReadError, TransferError, WriteError};
pub use handle::{Applied, Handle, SnapshotReceiver};
pub use status::{FollowerStatus, Status};
pub use transport::{SnapshotError, SnapshotStream, Transport};
