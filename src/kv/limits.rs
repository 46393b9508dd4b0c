//! The limits on one command.

/// Limits that decide whether a command is applied. They are part of the state: if each node had its own, one
/// would refuse what another applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandLimits {
    /// The most bytes of a command's answer.
    pub reply_bytes: u64,
    /// The most keys that one command may change: everything else waits for it. A transaction always has far
    /// fewer puts.
    pub changes: u64,
    /// The most bytes of records in one command that removes keys, for the same reason. What a command puts
    /// is bounded by the limit on requests.
    pub changed_bytes: u64,
    /// The most work of one command, in the units of `work.rs`: what it looks at, reads, removes
    /// and puts.
    pub work: u64,
}

impl CommandLimits {
    /// The limits of a new cluster.
    pub const FOUNDING: Self =
        Self { reply_bytes: 4 << 20, changes: 16_384, changed_bytes: 4 << 20, work: 131_072 };
}
