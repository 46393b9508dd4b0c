//! What a check may cost.

use crate::verify::search::Budget;

/// How much may be spent before the answer is "undecided".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many configurations of one key may be remembered, some 40 bytes each.
    pub configurations: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { configurations: 20_000_000 }
    }
}

impl Limits {
    /// The budget of the search for one key. A configuration usually costs some tens of looks; where it costs
    /// thousands, time is what runs out.
    pub(super) fn budget(&self) -> Budget {
        let configurations = self.configurations;
        Budget { configurations, looks: (configurations as u64).saturating_mul(1 << 10) }
    }
}
