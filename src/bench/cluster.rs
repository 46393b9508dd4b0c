//! The cluster under load, as its nodes describe it.

use crate::bench::args::Target;
use crate::bench::error::BenchError;
use crate::bench::plan::Plan;
use serde::Serialize;
use std::collections::BTreeSet;
use std::time::Duration;

#[derive(Clone, Debug, Serialize)]
pub struct Cluster {
    /// Its id, in hexadecimal.
    pub id: String,
    /// The versions of the program on its nodes; more than one in the middle of an upgrade.
    pub versions: BTreeSet<String>,
    /// What its nodes promise of an acknowledged write.
    pub durability: BTreeSet<String>,
    pub leader: Option<Leader>,
    pub nodes: Vec<Node>,
    /// The longest that a state machine was busy with one entry since its node started, if the cluster tells; the
    /// report has it with each result.
    #[serde(skip)]
    pub longest_apply: Option<Duration>,
    /// The limits on requests; not part of the report.
    #[serde(skip)]
    pub limits: Limits,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Leader {
    pub name: String,
    /// The Raft term; another term means another election.
    pub term: u64,
    #[serde(skip)]
    pub url: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct Node {
    pub name: String,
    pub client_url: String,
    /// Its role, or why it did not answer.
    pub role: String,
}

/// The limits on requests; 0 if the cluster does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub key_bytes: u64,
    pub request_bytes: u64,
    pub txn_ops: u64,
}

impl Cluster {
    /// Where the load goes: connection `n` goes to the `n`th of these, cyclically.
    ///
    /// # Errors
    /// If the target is the leader and there is none.
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

    /// Checks that the cluster will accept what the plan sends.
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
            // A limit that the cluster does not tell cannot be checked.
            if limit > 0 && actual > limit {
                return Err(BenchError::Usage(format!(
                    "{what} is {actual}, and the cluster's limit is {limit}"
                )));
            }
        }
        Ok(())
    }
}

/// The approximate size of one put on the wire, in bytes.
pub fn request_size(plan: &Plan) -> u64 {
    (plan.key_size + plan.value_size + 24) as u64
}
