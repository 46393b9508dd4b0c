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
        Self { segment_bytes: 2 << 20, segments_min: 2, segments_max: 32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::journal::record;
    use crate::storage::journal::sector::SECTOR;

    /// The fields of a group with one entry, beside the command. An entry counts as 32 bytes more than its command.
    const GROUP_HEAD: usize = 64;

    #[test]
    fn the_log_that_is_kept_by_default_has_room_even_with_a_group_for_each_entry() {
        // `--log-retain-entries` and `--log-retain-size`, and a piece of them, by which the log is compacted.
        let (entries, bytes) = (50_000 + 50_000 / 32, (32 << 20) + (1 << 20));
        let JournalSettings { segment_bytes, segments_max, .. } = JournalSettings::default();
        // One is being written, and the oldest is released only as a whole.
        let room = (segment_bytes - SECTOR) * (segments_max as usize - 2);
        for command in 0..4096 {
            let needed = entries.min(bytes / (32 + command)) * record::size(GROUP_HEAD + command);
            assert!(needed < room, "entries of {command} bytes take {needed} of {room} bytes");
        }
    }
}
