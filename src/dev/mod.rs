//! `kontiki dev`: a cluster on this machine with one command.
//!
//! The nodes are real: child processes that run this same program, each with its own data directory and log,
//! and talk over loopback. So `kill -9` and `kill -STOP` do to them what a crash and a frozen machine do.
//! This command starts them, shows what they report, and stops them. It restarts nothing: what a cluster does
//! without a node is worth seeing.
//!
//! * [`args`]: the flags.
//! * [`layout`]: names, ports, and how `kontiki serve` is called for each node.
//! * [`directory`]: the data directory, temporary or kept, and its marker.
//! * [`ports`]: whether they are free, and who uses them if not.
//! * [`child`]: a node as a process.
//! * [`parent`]: the other side: how a node notices that `kontiki dev` is gone.
//! * [`observe`]: what the nodes report, and who leads.
//! * [`logs`], [`words`]: what the user reads.
//! * [`session`]: all of it in order.

pub mod args;
pub mod child;
pub mod directory;
pub mod layout;
pub mod logs;
pub mod observe;
pub mod parent;
pub mod ports;
pub mod session;
pub mod words;

pub use crate::dev::args::DevArgs;
pub use crate::dev::parent::parent_gone;
pub use crate::dev::session::DevError;

/// Runs the command until the user stops it or no node is left.
///
/// # Errors
/// If the cluster cannot be started or does not survive.
pub fn run(args: DevArgs) -> Result<(), DevError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(DevError::Runtime)
        .and_then(|runtime| runtime.block_on(session::run(args)))
}
