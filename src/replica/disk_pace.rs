//! How much is written before the room on the disk is looked at again.
//!
//! The engine does not survive a full disk, and several times what is written to the log reaches the disk. So between two
//! looks only so much is taken that the reserve would hold even so.

/// How many bytes of disk one byte of the log may take: in the journal, in the log's store, and rewritten in the state.
const BYTES_PER_BYTE: u64 = 4;
/// How many nodes may share a disk: three on one machine. A leader's proposals reach all of them.
const NODES_PER_DISK: u64 = 3;

/// What a look at the disk found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// Which look it was.
    pub(crate) number: u64,
    /// How many bytes of the disk are free, and how many of them are to stay so.
    pub(crate) free: u64,
    pub(crate) reserve: u64,
}

/// What was written since the last look.
#[derive(Debug, Default)]
pub(crate) struct DiskPace {
    look: u64,
    written: u64,
}

impl DiskPace {
    /// The log was given so much to write.
    pub(crate) fn wrote(&mut self, look: Look, bytes: u64) {
        self.notice(look);
        self.written += bytes;
    }

    /// How many bytes a leader may propose now, so that three quarters of the reserve are left. The last command may be
    /// larger than that, and after a look something is always taken.
    pub(crate) fn proposable(&mut self, look: Look) -> u64 {
        self.notice(look);
        let room = look.free.saturating_sub(look.reserve / 4 * 3);
        (room / (BYTES_PER_BYTE * NODES_PER_DISK)).max(1).saturating_sub(self.written)
    }

    /// Whether entries of any origin may be taken now, so that a quarter of the reserve is left.
    pub(crate) fn takes_entries(&mut self, look: Look) -> bool {
        self.notice(look);
        let room = look.free.saturating_sub(look.reserve / 4);
        self.written == 0 || self.written < room / BYTES_PER_BYTE
    }

    fn notice(&mut self, look: Look) {
        if self.look != look.number {
            *self = Self { look: look.number, written: 0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn look(number: u64, free: u64) -> Look {
        Look { number, free, reserve: 64 * MIB }
    }

    #[test]
    fn the_less_room_the_less_is_proposed_until_the_next_look() {
        let mut pace = DiskPace::default();
        assert_eq!(pace.proposable(look(1, 648 * MIB)), 50 * MIB);
        pace.wrote(look(1, 648 * MIB), 49 * MIB);
        assert_eq!(pace.proposable(look(1, 648 * MIB)), MIB);
        pace.wrote(look(1, 648 * MIB), 2 * MIB);
        assert_eq!(pace.proposable(look(1, 648 * MIB)), 0);
        assert_eq!(pace.proposable(look(2, 72 * MIB)), 2 * MIB, "a new look");
    }

    #[test]
    fn something_is_taken_after_each_look() {
        let mut pace = DiskPace::default();
        assert_eq!(pace.proposable(look(1, 0)), 1);
        assert!(pace.takes_entries(look(1, 0)));
        pace.wrote(look(1, 0), 100);
        assert_eq!(pace.proposable(look(1, 0)), 0);
        assert!(!pace.takes_entries(look(1, 0)));
    }

    #[test]
    fn a_follower_takes_what_its_own_disk_holds() {
        let mut pace = DiskPace::default();
        pace.wrote(look(1, 56 * MIB), 10 * MIB - 1);
        assert!(pace.takes_entries(look(1, 56 * MIB)));
        pace.wrote(look(1, 56 * MIB), 1);
        assert!(!pace.takes_entries(look(1, 56 * MIB)));
        assert!(pace.takes_entries(look(2, 56 * MIB)));
    }
}
