//! `kontiki serve`

use crate::cli::exit::{CliError, Exit};
use crate::config::ServeArgs;
use crate::dev::parent_gone;
use crate::server;
use crate::telemetry;
use std::io;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

const EXAMPLES: &str = "\
Examples:
  kontiki serve                                    one node, on 127.0.0.1:2379
  kontiki serve --config /etc/kontiki.toml
  kontiki serve --name n1 --listen-client 0.0.0.0:2379 --advertise-client http://10.0.0.1:2379 \\
      --listen-peer 0.0.0.0:2380 \\
      --initial-cluster n1=http://10.0.0.1:2380,n2=http://10.0.0.2:2380,n3=http://10.0.0.3:2380

Each flag may also be set by its environment variable, or in the file by its name without the dashes:
  listen-client = \"0.0.0.0:2379\"
  timing = \"wan\"
A flag wins over the environment, that over the file. `kontiki config show` tells what comes from where.
Presets of --timing (heartbeat, election timeout):
  lan   50 ms, 300 to 600 ms     one data center
  fast  20 ms, 100 to 200 ms     one rack with idle machines and fast disks
  wan   250 ms, 1.5 to 3 s       between regions
";

/// Run one node of a cluster.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct ServeCommand {
    #[command(flatten)]
    args: ServeArgs,
}

pub(super) fn run(command: &ServeCommand) -> Result<Exit, CliError> {
    let config = command.args.load()?;
    telemetry::init(&config.log).map_err(|error| CliError::local("set up logging", error))?;
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for variable in ServeArgs::unknown_variables(names) {
        tracing::warn!(%variable, "this environment variable is not a setting and has no effect; see `kontiki serve --help`");
    }
    use_small_pages();
    let runtime = runtime().map_err(|error| CliError::local("start the runtime", error))?;
    let name = config.name.clone();
    let served =
        runtime.block_on(async { Ok::<_, ServeFailure>(server::run(config, stop_signal()?).await?) });
    // After a disk failure, parts of the node may hang in a system call forever, even when dropped. The
    // process is ending, so nothing needs them.
    std::mem::forget(runtime);
    served.map_err(|error| CliError::local(format!("serve as {name}"), error))?;
    Ok(Exit::Ok)
}

/// The kernel may back memory with huge pages of 2 MiB. A node's allocations are small and scattered, so each
/// such page holds little: they were a quarter of an idle node's memory. A kernel without huge pages needs no
/// telling.
fn use_small_pages() {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "huge pages cannot be switched off");
    }
}

/// Why a node did not run, or ended.
#[derive(Debug, thiserror::Error)]
enum ServeFailure {
    #[error(transparent)]
    Serve(#[from] server::ServeError),
    #[error("signals cannot be handled: {0}")]
    Signals(#[from] io::Error),
}

/// Resolves when the process should end: on a signal or, for a child of `kontiki dev`, at the end of its parent.
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = parent_gone() => {}
        }
    })
}

/// For the loop and the peers; the clients have threads of their own.
fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().thread_name("kontiki").build()
}
