//! The client library, for the command line and for other programs.
//!
//! A [`Client`] knows some nodes of a cluster and keeps one lazy connection to each that it talks to. Any
//! node answers any call, so a client needs no map of the cluster; it only remembers who led last, to avoid
//! the hop of forwarding.
//!
//! ```no_run
//! # async fn example() -> Result<(), kontiki::client::Error> {
//! use kontiki::client::{Client, Get, Options, Put};
//! let client = Client::connect(&["http://127.0.0.1:2379"], Options::default())?;
//! let written = client.put(Put::new("hello", "world")).await?;
//! let read = client.get(Get::new("hello").at_least(written.meta.revision)).await?;
//! assert_eq!(read.value.expect("just written").value, "world");
//! # Ok(())
//! # }
//! ```
//!
//! # What is retried
//!
//! Reads always, on another node if there is one. A write only when it was certainly not applied: the
//! connection was never made, or the server said `NOT_APPLIED` and that trying again may help. A write whose
//! outcome is unknown is never sent again, since Kontiki would apply it twice; the error says
//! [`Outcome::Unknown`] and the caller decides. Attempts are bounded by one deadline for the
//! whole call, which every attempt tells the server. A node that has not answered anything lately is asked for its
//! health before it gets a call, and if it takes its time, another one too: one that is frozen accepts connections, a read
//! would wait for it, and a write sent to it would be in doubt.
//!
//! # Modules
//!
//! ```text
//! model, txn      what is asked and answered, free of protobuf
//! wire            model <-> protobuf
//! error, classify what went wrong, in which layer
//! retry           whether and where to try again: pure
//! nodes, call     connections; one call with its retries
//! greet           whom a call goes to: a node that answers
//! kv, scan, cluster, maintenance   the calls
//! ```
//!
//! # What is missing
//!
//! TLS, authentication, watches, leases, and exactly-once writes.

mod action;
mod call;
mod classify;
mod cluster;
mod error;
mod greet;
mod kv;
mod maintenance;
mod model;
mod nodes;
mod retry;
mod scan;
mod txn;
mod wire;

pub use crate::reason::{Outcome, Reason};
pub use crate::types::FollowerState;
pub use action::Action;
pub use call::{Client, Options};
pub use classify::classify;
pub use error::{Error, Failure, Layer, ServerError, ServerReason, WRONG_CLUSTER};
pub use maintenance::{HealthState, Snapshot, StateHash};
pub use model::{
    Answer, ClusterStatus, Delete, Deleted, Durability, Follower, Get, KeyValue, Keys, Leader, Member, Meta,
    NodeStatus, Order, Page, Put, Range, ReadLevel, RequestLimits, Role, ScanOptions,
};
pub use scan::Scan;
pub use txn::{Compare, Relation, Target, Txn, TxnAnswer, TxnOp, TxnResult};
