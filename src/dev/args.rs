//! The flags of `kontiki dev`.

use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  kontiki dev                                    three nodes, gone at the end
  kontiki dev --nodes 5 --data-dir cluster       five nodes, to be resumed the next time
  kontiki dev --base-port 4000                   beside another cluster
";

/// Start a cluster on this machine: real server processes, for trying out Kontiki and for development
///
/// All nodes listen on 127.0.0.1: for clients on the base port and every second port after it, for each other
/// on the ports in between. Ctrl-C stops them all.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct DevArgs {
    /// How many nodes: 1 to 9, preferably an odd number [default: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=9))]
    pub nodes: Option<u16>,

    /// Where to keep the nodes' data and logs, to be resumed the next time [default: a temporary directory,
    /// removed at the end]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// The first node's client port [default: 2379]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub base_port: Option<u16>,

    /// Do not wait for the disk: faster, but a crash of the machine loses acknowledged writes
    #[arg(long)]
    pub unsafe_no_fsync: bool,

    /// How fast the nodes notice that another is gone [default: lan]
    #[arg(long, value_name = "PRESET", value_parser = ["lan", "fast", "wan"])]
    pub timing: Option<String>,
}
