//! Why a read failed.

use crate::kv::model::Refusal;
use crate::kv::table_error::TableError;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The request cannot be answered from this state.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Whoever asked does not wait for it any more.
    #[error("the read was given up: its caller is gone, or its time has passed")]
    Abandoned,
    /// The engine broke its promise.
    #[error(transparent)]
    Table(#[from] TableError),
}
