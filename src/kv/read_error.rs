//! Why a read has no answer.

use crate::kv::model::Refusal;
use crate::kv::table_error::TableError;

/// A read failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The request cannot be answered from this state.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The engine broke its word.
    #[error(transparent)]
    Table(#[from] TableError),
}
