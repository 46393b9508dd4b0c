//! `kontiki hash`

use crate::address::NodeUrl;
use crate::cli::clusters::{self, Answering};
use crate::cli::exit::{CliError, Exit};
use crate::cli::global::Context;
use crate::cli::output::{Format, Grid, Output, Tone};
use crate::cli::text;
use crate::client::Meta;
use crate::client::{Action, Client, Error, Get, Member, Reason, ServerError, StateHash};
use crate::types::Revision;
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::fmt;
use std::time::Duration;

/// How long an endpoint may take to say which node it is. Without, the node's advertised address is asked.
const NAME_TIMEOUT: Duration = Duration::from_secs(1);

const EXAMPLES: &str = "\
Examples:
  kontiki hash                 hash the state of all nodes at the newest revision, and compare
  kontiki hash --rev 1000      at revision 1000
";

/// Compare the state of all nodes
///
/// Each node reads it from its disk. Exits with 1 if they differ, or if one cannot be asked.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct HashArgs {
    /// Hash up to this revision [default: the newest]
    #[arg(long = "rev", value_name = "REVISION", value_parser = text::revision)]
    revision: Option<u64>,
}

struct NodeHash {
    name: String,
    result: Result<StateHash, Problem>,
}

/// Why a node told no hash.
enum Problem {
    Client(Error),
    /// It has no address that can be asked.
    Address(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(error) => error.fmt(f),
            Self::Address(words) => f.write_str(words),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    Differ,
    /// Compacted at different revisions, so that the hashes cover different things.
    NotComparable,
    Incomplete,
}

pub(super) async fn run(args: &HashArgs, context: &Context) -> Result<Exit, CliError> {
    let members = context.client.members().await?;
    let known = clusters::answering(&context.client, NAME_TIMEOUT).await;
    clusters::must_be_one(&known)?;
    // All at once, at one revision: a node that is frozen holds up nobody.
    let revision = Some(args.revision.map_or(members.meta.revision, Revision));
    let rows = members.value.iter().map(|member| async {
        let result = match client_of(member, &known, &context.client) {
            Ok(client) => match client.hash(revision).await {
                Ok(answer) => told_by(&answer.meta, member, &members.meta).map(|()| answer.value),
                Err(error) => Err(Problem::Client(error)),
            },
            Err(words) => Err(Problem::Address(words)),
        };
        NodeHash { name: member.name.clone(), result }
    });
    // A node waits for a revision that it has not reached: only the cluster knows that there is none.
    let mut rows = tokio::select! {
        rows = join_all(rows) => rows,
        refusal = refusal_by_cluster(args.revision, &context.client) => return Err(refusal.into()),
    };
    if let Some(refusal) = refusal_by_all(&mut rows) {
        return Err(refusal.into());
    }
    let comparison = judge(&rows);
    show(&rows, comparison, &context.output)?;
    Ok(if comparison == Comparison::Equal { Exit::Ok } else { Exit::No })
}

/// The refusal of the revision by the cluster as a whole; waits forever if there is none.
async fn refusal_by_cluster(revision: Option<u64>, client: &Client) -> Error {
    if let Some(revision) = revision
        && let Err(mut error) = client.get(Get::new("any").at(Revision(revision))).await
        && is_of_revision(&error)
    {
        error.action = Action::Hash;
        return error;
    }
    std::future::pending().await
}

fn is_of_revision(error: &Error) -> bool {
    let reason = error.server_error().and_then(ServerError::known);
    matches!(reason, Some(Reason::FutureRevision | Reason::Compacted))
}

/// The refusal of the revision, if there is one and no node told a hash: it is not written yet, or compacted.
fn refusal_by_all(rows: &mut Vec<NodeHash>) -> Option<Error> {
    if rows.iter().any(|row| row.result.is_ok()) {
        return None;
    }
    let refused = rows
        .iter()
        .position(|row| matches!(&row.result, Err(Problem::Client(error)) if is_of_revision(error)))?;
    match rows.swap_remove(refused).result {
        Err(Problem::Client(error)) => Some(error),
        _ => None,
    }
}

fn client_of(member: &Member, known: &[Answering], client: &Client) -> Result<Client, String> {
    if let Some(answering) = known.iter().find(|answering| answering.node == member.id) {
        return Ok(client.only(&answering.endpoint));
    }
    match member.client_urls.first() {
        Some(url) => NodeUrl::parse(url).map(|url| client.only(&url)),
        None => Err("it has not advertised yet where clients reach it".to_owned()),
    }
}

/// Whether it was this member of the same cluster that answered: an address may have gone to another.
fn told_by(meta: &Meta, member: &Member, cluster: &Meta) -> Result<(), Problem> {
    if (meta.cluster_id, meta.node_id) == (cluster.cluster_id, member.id) {
        return Ok(());
    }
    let words = format!("at {} answers another node, {}", meta.endpoint, meta.served_by);
    Err(Problem::Address(words))
}

fn judge(rows: &[NodeHash]) -> Comparison {
    let hashes: Vec<&StateHash> = rows.iter().filter_map(|row| row.result.as_ref().ok()).collect();
    let Some(first) = hashes.first() else {
        return Comparison::Incomplete;
    };
    let comparable =
        |hash: &StateHash| (hash.revision, hash.compact_revision) == (first.revision, first.compact_revision);
    if hashes.iter().any(|hash| comparable(hash) && hash.hash != first.hash) {
        Comparison::Differ
    } else if !hashes.iter().all(|hash| comparable(hash)) {
        Comparison::NotComparable
    } else if hashes.len() < rows.len() {
        Comparison::Incomplete
    } else {
        Comparison::Equal
    }
}

fn show(rows: &[NodeHash], comparison: Comparison, output: &Output) -> Result<(), CliError> {
    if output.format() == Format::Json {
        let nodes: Vec<Value> = rows
            .iter()
            .map(|row| match &row.result {
                Ok(hash) => json!({
                    "name": row.name, "revision": hash.revision.get(), "hash": hash.hash,
                    "compact_revision": hash.compact_revision.get(), "records": hash.records, "error": null,
                }),
                Err(problem) => json!({"name": row.name, "error": problem.to_string()}),
            })
            .collect();
        let comparison = match comparison {
            Comparison::Equal => "equal",
            Comparison::Differ => "differ",
            Comparison::NotComparable => "not_comparable",
            Comparison::Incomplete => "incomplete",
        };
        return output.json(&json!({"comparison": comparison, "nodes": nodes}));
    }
    let mut grid = Grid::new(&["NODE", "REVISION", "COMPACTED", "RECORDS", "HASH"]);
    for row in rows {
        match &row.result {
            Ok(hash) => grid.row(vec![
                row.name.clone(),
                hash.revision.to_string(),
                hash.compact_revision.to_string(),
                hash.records.to_string(),
                hash.hash.clone(),
            ]),
            Err(problem) => grid.toned_row(
                [&row.name, "-", "-", "-", &problem.to_string()]
                    .map(|cell| (cell.to_owned(), Tone::Bad))
                    .to_vec(),
            ),
        }
    }
    let sentence = match comparison {
        Comparison::Equal => "All nodes hold the same state.",
        Comparison::Differ => "The nodes DIFFER: stop writing, keep the data directories, and find out why.",
        Comparison::NotComparable => "Not comparable: a compaction came in between. Try again.",
        Comparison::Incomplete => "Not all nodes could be asked.",
    };
    output.line(format!("{sentence}\n{}", grid.render(output.format(), output.color())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(revision: u64, compact: u64, hash: &str) -> NodeHash {
        let hash = StateHash {
            revision: Revision(revision),
            compact_revision: Revision(compact),
            hash: hash.to_owned(),
            records: 1,
        };
        NodeHash { name: String::new(), result: Ok(hash) }
    }

    #[test]
    fn only_hashes_of_the_same_thing_are_compared() {
        let down = || NodeHash { name: String::new(), result: Err(Problem::Address("down".to_owned())) };
        assert_eq!(judge(&[row(9, 1, "a"), row(9, 1, "a")]), Comparison::Equal);
        assert_eq!(judge(&[row(9, 1, "a"), row(9, 1, "b")]), Comparison::Differ);
        assert_eq!(judge(&[row(9, 1, "a"), row(9, 2, "b")]), Comparison::NotComparable);
        assert_eq!(judge(&[row(9, 1, "a"), down()]), Comparison::Incomplete);
        assert_eq!(judge(&[row(9, 1, "a"), row(9, 1, "b"), down()]), Comparison::Differ);
        assert_eq!(judge(&[down()]), Comparison::Incomplete);
    }
}
