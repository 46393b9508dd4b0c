//! The replicated state machine.

mod model;
mod table;
mod view;

pub use model::*;
pub use table::{Batch, Scan, Table, TableError};
pub use view::{Export, ReadError, StateHash, View};
/// stub
pub struct MemoryTable;
