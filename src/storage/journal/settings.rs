//! How large a journal is.

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalSettings {
    /// The bytes of a segment; a multiple of a sector.
    pub segment_bytes: usize,
    /// With how many it begins.
    pub segments_min: u32,
    /// To how many it may grow: a bound on what the store may be behind, and on what a start has to read.
    pub segments_max: u32,
}

impl Default for JournalSettings {
    fn default() -> Self {
        Self { segment_bytes: 2 << 20, segments_min: 2, segments_max: 8 }
    }
}
