//! What one command may do.

/// Limits that decide what is applied. They are part of the state: were they a node's own, one would refuse what another does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandLimits {
    /// The most bytes that a command may answer.
    pub reply_bytes: u64,
    /// The most keys that one command may change: everything else waits for it. A transaction's puts are far fewer.
    pub changes: u64,
    /// The most bytes of records in one command that removes keys, for the same reason. What a command
    /// puts has been bounded with the request that brought it.
    pub changed_bytes: u64,
}

impl CommandLimits {
    /// Those of a new cluster.
    pub const FOUNDING: Self = Self { reply_bytes: 4 << 20, changes: 16_384, changed_bytes: 4 << 20 };
}
