//! Saving the state while the machine goes on.

use crate::kv::TableError;
use crate::machine::blocks::Store;
use crate::types::EntryId;
use std::fmt;
use std::sync::Arc;

/// Writes what a machine has committed to its table, while the machine goes on.
#[derive(Clone)]
pub struct Saver(pub(crate) Arc<Store>);

impl Saver {
    /// Writes it. Returns the last entry that the next sync of the table makes durable. Fails, from then on, if a
    /// reader has met damage.
    pub fn save(&self) -> Result<EntryId, TableError> {
        self.0.save()
    }

    /// How many bytes of records are in the table, about.
    pub fn bytes(&self) -> u64 {
        self.0.bytes()
    }
}

impl fmt::Debug for Saver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Saver").finish_non_exhaustive()
    }
}
