//! The size of a journal.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalSettings {
    /// The size of a segment in bytes; a multiple of the sector size.
    pub segment_bytes: usize,
    /// The number of segments it begins with.
    pub segments_min: u32,
    /// The number of segments it may grow to: bounds how much of the log need not be in the store, and how much a start has to read.
    pub segments_max: u32,
}

impl Default for JournalSettings {
    fn default() -> Self {
        Self { segment_bytes: 2 << 20, segments_min: 2, segments_max: 24 }
    }
}
