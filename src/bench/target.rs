//! What is measured: the cluster as it says it is, and the way to it.

use crate::bench::args::Target;
use crate::bench::error::BenchError;
use crate::bench::plan::Plan;
use crate::proto::v1::cluster_service_client::ClusterServiceClient;
use crate::proto::v1::{Limits, NodeRole, NodeStatus, StatusRequest};
use serde::Serialize;
use std::collections::BTreeSet;
use std::error::Error as _;
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};

const CONNECT_PATIENCE: Duration = Duration::from_secs(3);
const STATUS_PATIENCE: Duration = Duration::from_secs(5);
/// Large enough for 64 values of 16 KiB under way on a connection; the
/// defaults of HTTP/2 (64 KiB) would measure flow control.
const STREAM_WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;

/// The cluster when it was asked.
#[derive(Clone, Debug, Serialize)]
pub struct Cluster {
    /// Its id, in hexadecimal.
    pub id: String,
    /// The program's version on its nodes; more than one in the middle of an upgrade.
    pub versions: BTreeSet<String>,
    /// What an acknowledged write is worth on its nodes.
    pub durability: BTreeSet<String>,
    /// Who led.
    pub leader: Option<Leader>,
    /// Its nodes, ordered by name.
    pub nodes: Vec<Node>,
    /// The limits that requests must keep; not part of the report.
    #[serde(skip)]
    pub limits: Limits,
}

/// Who leads, and since which term.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Leader {
    /// The node's name.
    pub name: String,
    /// The Raft term; another term means another election.
    pub term: u64,
    /// Its address for clients.
    #[serde(skip)]
    url: String,
}

/// One node.
#[derive(Clone, Debug, Serialize)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its address for clients.
    pub client_url: String,
    /// Its role, or why it did not answer.
    pub role: String,
}

impl Cluster {
    /// Asks the endpoints in turn until one answers.
    ///
    /// # Errors
    /// [`BenchError::Unreachable`] with each endpoint's reason.
    pub async fn ask(endpoints: &[String]) -> Result<Self, BenchError> {
        let mut reasons = String::new();
        for url in endpoints {
            match ask_one(url).await {
                Ok(cluster) => return Ok(cluster),
                Err(reason) => reasons += &format!("\n  {url}: {reason}"),
            }
        }
        Err(BenchError::Unreachable(reasons))
    }

    /// Where the load goes: connection `n` goes to the `n`th of these, round and round.
    ///
    /// # Errors
    /// If it should go to the leader and there is none.
    pub fn urls(&self, plan: &Plan) -> Result<Vec<String>, BenchError> {
        match &plan.target {
            Target::Url(url) => Ok(vec![url.clone()]),
            Target::Leader => {
                let leader = self.leader.as_ref().ok_or(BenchError::NoLeader)?;
                Ok(vec![leader.url.clone()])
            }
            Target::Any => {
                let known = self.nodes.iter().map(|node| node.client_url.clone());
                let urls: Vec<_> = known.filter(|url| !url.is_empty()).collect();
                Ok(if urls.is_empty() { plan.endpoints.clone() } else { urls })
            }
        }
    }

    /// Checks that the cluster will take what the plan sends.
    ///
    /// # Errors
    /// [`BenchError::Usage`] with the limit and the actual value.
    pub fn check_limits(&self, plan: &Plan) -> Result<(), BenchError> {
        let Limits { key_bytes, request_bytes, txn_ops, .. } = self.limits;
        let request = request_size(plan) * u64::from(plan.batch);
        for (what, actual, limit) in [
            ("--key-size in bytes", plan.key_size as u64, key_bytes),
            ("--batch", u64::from(plan.batch), txn_ops),
            (
                "a request with --value-size, --key-size and --batch as given, in bytes,",
                request,
                request_bytes,
            ),
        ] {
            // A cluster that tells no limit has none that we know of.
            if limit > 0 && actual > limit {
                return Err(BenchError::Usage(format!(
                    "{what} is {actual}, and the cluster's limit is {limit}"
                )));
            }
        }
        Ok(())
    }
}

/// About the bytes of one put on the wire.
pub fn request_size(plan: &Plan) -> u64 {
    (plan.key_size + plan.value_size + 24) as u64
}

async fn ask_one(url: &str) -> Result<Cluster, String> {
    let question = async {
        let channel = endpoint(url)?.connect().await.map_err(|error| causes(&error))?;
        let request = StatusRequest { local_only: false };
        let answer = ClusterServiceClient::new(channel).status(request).await;
        answer.map_err(|status| format!("{:?}: {}", status.code(), status.message()))
    };
    let answer = match tokio::time::timeout(STATUS_PATIENCE, question).await {
        Ok(answer) => answer?.into_inner(),
        Err(_) => return Err(format!("no answer within {} s", STATUS_PATIENCE.as_secs())),
    };
    let header = answer.header.unwrap_or_default();
    let answered = || answer.nodes.iter().filter(|node| node.error.is_empty());
    Ok(Cluster {
        id: format!("{:016x}", header.cluster_id),
        versions: answered().map(|node| node.version.clone()).collect(),
        durability: answered().map(|node| node.durability.clone()).collect(),
        leader: answered()
            .filter(|node| node.role() == NodeRole::Leader)
            .max_by_key(|node| node.raft_term)
            .map(|node| Leader { name: name(node), term: node.raft_term, url: client_url(node) }),
        nodes: answer
            .nodes
            .iter()
            .map(|node| Node { name: name(node), client_url: client_url(node), role: role(node) })
            .collect(),
        limits: answer.limits.unwrap_or_default(),
    })
}

fn name(node: &NodeStatus) -> String {
    node.member.as_ref().map(|member| member.name.clone()).unwrap_or_default()
}

fn client_url(node: &NodeStatus) -> String {
    node.member.as_ref().map(|member| member.client_url.clone()).unwrap_or_default()
}

fn role(node: &NodeStatus) -> String {
    if !node.error.is_empty() {
        return format!("did not answer: {}", node.error);
    }
    match node.role() {
        NodeRole::Unspecified => "unknown",
        NodeRole::Follower => "follower",
        NodeRole::PreCandidate | NodeRole::Candidate => "candidate",
        NodeRole::Leader => "leader",
        NodeRole::Learner => "learner",
    }
    .to_owned()
}

/// Opens a channel of its own, on the runtime that will use it.
///
/// # Errors
/// [`BenchError::Connect`].
pub async fn connect(url: &str) -> Result<Channel, BenchError> {
    let failed = |reason| BenchError::Connect { url: url.to_owned(), reason };
    endpoint(url).map_err(failed)?.connect().await.map_err(|error| failed(causes(&error)))
}

fn endpoint(url: &str) -> Result<Endpoint, String> {
    let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|error| causes(&error))?;
    Ok(endpoint
        .connect_timeout(CONNECT_PATIENCE)
        // Nagle's algorithm would add 40 ms to what it delays, and that is all one would measure.
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW))
}

/// An error with what caused it: "transport error" alone helps nobody.
fn causes(error: &tonic::transport::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}
