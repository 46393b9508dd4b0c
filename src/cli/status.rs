//! `kontiki status`

use crate::cli::exit::{CliError, Exit};
use crate::cli::global::Context;
use crate::cli::output::{Format, Grid, Tone};
use crate::cli::{clusters, text};
use crate::client::{ClusterStatus, NodeStatus, RequestLimits, Role};
use serde_json::{Value, json};

const EXAMPLES: &str = "\
Examples:
  kontiki status
  kontiki status -o json | jq .healthy
  kontiki --endpoints http://127.0.0.1:2381 status --local     that node alone
";

/// Show the whole cluster, asking any node
///
/// Exits with 1 if it has no leader or no majority.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct StatusArgs {
    /// Show only the asked node
    #[arg(long)]
    local: bool,
}

pub(super) async fn run(args: &StatusArgs, context: &Context) -> Result<Exit, CliError> {
    let client = &context.client;
    let asked = async { if args.local { client.local_status().await } else { client.status().await } };
    let (answer, one_cluster) = tokio::join!(asked, clusters::check(client));
    one_cluster?;
    let answer = answer?;
    let output = &context.output;
    let cluster_health = ClusterHealth::of(&answer.value);
    match output.format() {
        Format::Json => {
            output.json(&text::answered(&answer.meta, as_json(&answer.value, &cluster_health)))?
        }
        format => output.line(render(&answer.value, &cluster_health, args.local, format, output.color()))?,
    }
    let healthy =
        if args.local { answer.value.nodes.iter().all(|node| node.ready) } else { cluster_health.serves() };
    Ok(if healthy { Exit::Ok } else { Exit::No })
}

/// The health of the cluster as a whole.
#[derive(Debug, PartialEq, Eq)]
struct ClusterHealth {
    /// The leader's name and term.
    leader: Option<(String, u64)>,
    voters: usize,
    /// How many of the voters answer.
    up: usize,
    /// What is not as it should be.
    complaints: Vec<String>,
}

impl ClusterHealth {
    fn of(status: &ClusterStatus) -> Self {
        let voters = || status.nodes.iter().filter(|node| !node.member.learner);
        // A leader that was cut off may not know yet that it was replaced: the higher term is right.
        let leader = voters()
            .filter(|node| node.error.is_none() && node.role == Role::Leader)
            .max_by_key(|node| node.term)
            .map(|node| (node.member.name.clone(), node.term));
        Self {
            leader,
            voters: voters().count(),
            up: voters().filter(|node| node.error.is_none()).count(),
            complaints: status.nodes.iter().filter_map(complaint).collect(),
        }
    }

    fn quorum(&self) -> usize {
        self.voters / 2 + 1
    }

    fn serves(&self) -> bool {
        self.leader.is_some() && self.up >= self.quorum()
    }

    /// One line about the whole: its health, who leads, how many more nodes it may lose.
    fn headline(&self) -> String {
        let complaints = self.complaints.join("; ");
        let Some((leader, term)) = &self.leader else {
            let Self { voters, up, .. } = self;
            let counted = format!("{up} of {voters} voters answer, {} are needed", self.quorum());
            return match complaints.as_str() {
                "" => format!("No leader. {counted}."),
                complaints => format!("No leader. {counted}: {complaints}."),
            };
        };
        let leads = format!("{leader} leads (term {term})");
        if !self.serves() {
            return format!("No majority. {leads}; {complaints}.");
        }
        let spare = match self.up - self.quorum() {
            0 if self.voters == 1 => "No other node could take over.".to_owned(),
            0 => "Cannot lose another node.".to_owned(),
            1 => "Can lose 1 more node.".to_owned(),
            n => format!("Can lose {n} more nodes."),
        };
        match complaints.as_str() {
            "" => format!("Healthy. {leads}. {spare}"),
            complaints => format!("Degraded. {leads}; {complaints}. {spare}"),
        }
    }
}

fn complaint(node: &NodeStatus) -> Option<String> {
    let name = &node.member.name;
    if node.error.is_some() {
        Some(format!("{name} does not answer"))
    } else if !node.ready {
        Some(format!("{name} is not ready"))
    } else if node.durability.is_unsafe() {
        Some(format!("{name} does not wait for its disk"))
    } else {
        None
    }
}

fn render(
    status: &ClusterStatus,
    cluster_health: &ClusterHealth,
    local: bool,
    format: Format,
    color: bool,
) -> String {
    const HEADINGS: [&str; 12] = [
        "NODE", "ROLE", "TERM", "COMMIT", "APPLIED", "BEHIND", "REVISION", "KEYS", "DISK", "UPTIME",
        "VERSION", "HEALTH",
    ];
    let mut grid = Grid::new(&HEADINGS);
    let commit = newest_commit(status);
    for node in &status.nodes {
        grid.toned_row(row(node, commit));
    }
    let table = grid.render(format, color);
    // One node alone says nothing about the whole.
    let shown = if local { table } else { format!("{}\n{table}", cluster_health.headline()) };
    match limits(&status.limits) {
        Some(limits) => format!("{shown}\n{limits}"),
        None => shown,
    }
}

/// The limits of requests in one line; none if the node does not tell them.
fn limits(limits: &RequestLimits) -> Option<String> {
    let RequestLimits { key_bytes, request_bytes, txn_ops, page_keys, page_bytes } = limits;
    (*limits != RequestLimits::default()).then(|| {
        format!(
            "Limits: key {}, request {}, transaction {txn_ops} operations, page {page_keys} keys or {}.",
            text::size(*key_bytes),
            text::size(*request_bytes),
            text::size(*page_bytes)
        )
    })
}

fn newest_commit(status: &ClusterStatus) -> u64 {
    status.nodes.iter().map(|node| node.commit_index).max().unwrap_or_default()
}

fn row(node: &NodeStatus, commit: u64) -> Vec<(String, Tone)> {
    let name = (node.member.name.clone(), Tone::Neutral);
    let (words, tone) = health(node);
    let mut cells = vec![name];
    if node.error.is_some() {
        cells.extend(std::iter::repeat_n(("-".to_owned(), Tone::Neutral), 10));
    } else {
        let facts = [
            node.role.as_str().to_owned(),
            node.term.to_string(),
            node.commit_index.to_string(),
            node.applied_index.to_string(),
            commit.saturating_sub(node.applied_index).to_string(),
            node.revision.to_string(),
            node.keys.to_string(),
            text::size(node.disk_bytes),
            text::uptime(node.uptime),
            node.version.clone(),
        ];
        cells.extend(facts.map(|fact| (fact, Tone::Neutral)));
    }
    cells.push((words, tone));
    cells
}

fn health(node: &NodeStatus) -> (String, Tone) {
    if let Some(error) = &node.error {
        (format!("down: {error}"), Tone::Bad)
    } else if !node.ready {
        let reason =
            if node.not_ready_reason.is_empty() { "no reason given" } else { &node.not_ready_reason };
        (format!("not ready: {reason}"), Tone::Bad)
    } else if node.durability.is_unsafe() {
        (node.durability.to_string(), Tone::Bad)
    } else {
        ("ok".to_owned(), Tone::Good)
    }
}

fn as_json(status: &ClusterStatus, cluster_health: &ClusterHealth) -> Value {
    let commit = newest_commit(status);
    let nodes: Vec<Value> = status.nodes.iter().map(|node| node_json(node, commit)).collect();
    let limits = &status.limits;
    json!({
        "healthy": cluster_health.serves() && cluster_health.complaints.is_empty(),
        "serves": cluster_health.serves(),
        "headline": cluster_health.headline(),
        "leader": cluster_health.leader.as_ref().map(|(name, _)| name),
        "voters": cluster_health.voters,
        "voters_up": cluster_health.up,
        "nodes": nodes,
        "limits": {
            "key_bytes": limits.key_bytes, "request_bytes": limits.request_bytes, "txn_ops": limits.txn_ops,
            "page_keys": limits.page_keys, "page_bytes": limits.page_bytes,
        },
    })
}

/// Ids are text in JSON: many readers keep only 53 bits of a number.
fn node_json(node: &NodeStatus, commit: u64) -> Value {
    let followers: Vec<Value> = node
        .followers
        .iter()
        .map(|follower| {
            let state = follower.state.map_or("unknown".into(), |state| state.to_string());
            json!({
                "id": follower.id.to_string(), "state": state,
                "match_index": follower.match_index, "next_index": follower.next_index,
            })
        })
        .collect();
    let answered = node.error.is_none();
    json!({
        "name": node.member.name,
        "id": node.member.id.to_string(),
        "peer_urls": node.member.peer_urls,
        "client_urls": node.member.client_urls,
        "learner": node.member.learner,
        "error": node.error,
        "role": node.role.as_str(),
        "term": node.term,
        "leader_id": node.leader_id.map(|id| id.to_string()),
        "commit_index": node.commit_index,
        "applied_index": node.applied_index,
        "behind": answered.then(|| commit.saturating_sub(node.applied_index)),
        "last_index": node.last_index,
        "durable_index": node.durable_index,
        "compacted_index": node.compacted_index,
        "revision": node.revision.get(),
        "compact_revision": node.compact_revision.get(),
        "keys": node.keys,
        "disk_bytes": node.disk_bytes,
        "longest_apply_micros": u64::try_from(node.longest_apply.as_micros()).unwrap_or(u64::MAX),
        "uptime_seconds": node.uptime.as_secs(),
        "version": node.version,
        "durability": node.durability.as_str(),
        "state_hash": node.state_hash,
        "ready": node.ready,
        "not_ready_reason": node.not_ready_reason,
        "followers": followers,
    })
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
