//! Why a benchmark did not take place.

/// Why a benchmark could not be run. Failed requests are not among these: they are counted in the report.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// Flags that contradict each other or the cluster's limits.
    #[error("{0}")]
    Usage(String),
    /// No endpoint answered.
    #[error(
        "no node answered a status request:{0}\nIs the cluster running? `kontiki dev` starts one here; --endpoints names another."
    )]
    Unreachable(String),
    /// The target cannot be connected to.
    #[error(
        "cannot connect to {url}: {reason}\nThe cluster gave this address. If it cannot be reached from here, name one that can with --target URL."
    )]
    Connect { url: String, reason: String },
    /// `--target leader`, but there is none.
    #[error(
        "no node leads at the moment. Wait for an election, look at `kontiki status`, or choose --target any."
    )]
    NoLeader,
    /// The keys could not be written beforehand.
    #[error("--preload stopped at key {key} of {of}: {reason}")]
    Preload {
        /// How many keys had been written.
        key: u64,
        /// How many keys there are.
        of: u64,
        reason: String,
    },
    /// A thread could not be started, or signals not be handled.
    #[error("the operating system refused what is needed to run: {0}")]
    System(#[from] std::io::Error),
}
