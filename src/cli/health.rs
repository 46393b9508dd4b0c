//! `kontiki health`

use crate::address::{DEFAULT_CLIENT_PORT, HostPort, NodeUrl};
use crate::cli::clusters;
use crate::cli::exit::{CliError, Exit};
use crate::cli::global::Context;
use crate::client::{Client, HealthState, Options};
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  kontiki health                        is there a node that can serve?
  kontiki health --local                can the node on this machine serve?
  kontiki health --local --liveness     does it run? (never depends on the others)
";

/// A slow health check is not a health check.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Check whether nodes are alive or ready
///
/// Exits with 0 if so, with 1 if not. Without --local, one such node is enough.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct HealthArgs {
    /// Ask the node on this machine, at the port of KONTIKI_LISTEN_CLIENT, else 2379
    #[arg(long)]
    local: bool,
    /// Check whether it can serve linearizable requests now; the default
    #[arg(long, conflicts_with = "liveness")]
    readiness: bool,
    /// Check whether it runs at all, whatever the state of the others
    #[arg(long)]
    liveness: bool,
}

pub(super) async fn run(args: &HealthArgs, context: &Context) -> Result<Exit, CliError> {
    let service = if args.liveness { "liveness" } else { "readiness" };
    let timeout = context.client.options().timeout.min(TIMEOUT);
    let nodes = if args.local { vec![local_node()?] } else { context.client.endpoints().to_vec() };
    // All at once: one that is frozen holds up nobody.
    let checks = nodes.iter().map(|node| async move {
        let options = Options { timeout, attempts: 1, ..Options::default() };
        let client = Client::connect(&[node.to_string()], options)?;
        let (ok, words) = match client.health(service).await {
            Ok(HealthState::Serving) => (true, "ok".to_owned()),
            Ok(HealthState::NotServing) if args.liveness => (false, "not alive".to_owned()),
            Ok(HealthState::NotServing) => (false, "not ready".to_owned()),
            Ok(HealthState::Unknown) => (false, format!("does not know what {service} is")),
            Err(error) => (false, format!("{} ({})", error.failure, error.layer().as_str())),
        };
        Ok::<_, CliError>((node, ok, words))
    });
    let one_cluster = async { if args.local { Ok(()) } else { clusters::check(&context.client).await } };
    let (checks, one_cluster) = tokio::join!(try_join_all(checks), one_cluster);
    let checks = checks?;
    one_cluster?;
    let healthy = checks.iter().any(|(_, ok, _)| *ok);
    if context.output.is_json() {
        let nodes: Vec<Value> = checks
            .iter()
            .map(|(node, ok, words)| json!({"endpoint": node.to_string(), "healthy": ok, "message": words}))
            .collect();
        context.output.json(&json!({"check": service, "healthy": healthy, "nodes": nodes}))?;
    } else {
        for (node, _, words) in &checks {
            context.output.line(format!("{node}\t{words}"))?;
        }
    }
    Ok(if healthy { Exit::Ok } else { Exit::No })
}

/// Where the node on this machine listens: in a container the environment tells.
fn local_node() -> Result<NodeUrl, CliError> {
    let listen = std::env::var("KONTIKI_LISTEN_CLIENT").unwrap_or_default();
    reachable(&listen).map_err(|message| CliError::Usage(format!("KONTIKI_LISTEN_CLIENT: {message}")))
}

fn reachable(listen: &str) -> Result<NodeUrl, String> {
    if listen.is_empty() {
        return Ok(NodeUrl(HostPort { host: "127.0.0.1".to_owned(), port: DEFAULT_CLIENT_PORT }));
    }
    let mut address = HostPort::parse(listen)?;
    if address.is_wildcard() {
        address.host = if address.host.contains(':') { "::1".to_owned() } else { "127.0.0.1".to_owned() };
    }
    Ok(NodeUrl(address))
}

#[cfg(test)]
mod tests {
    use super::reachable;

    #[test]
    fn the_local_node_is_asked_where_it_listens() {
        let url = |listen| reachable(listen).unwrap().to_string();
        assert_eq!(url(""), "http://127.0.0.1:2379");
        assert_eq!(url("0.0.0.0:9000"), "http://127.0.0.1:9000");
        assert_eq!(url("[::]:9000"), "http://[::1]:9000");
        assert_eq!(url("10.0.0.1:2379"), "http://10.0.0.1:2379");
        assert!(reachable("nonsense").is_err());
    }
}
