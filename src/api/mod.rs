//! What a node does with requests, whichever protocol they come by.
//!
//! A protocol layer (`grpc` for clients, `peers` for the other nodes) turns a message into a domain value,
//! calls one method of [`Api`](context::Api), and turns the result into its own form. Nothing here knows gRPC
//! or protobuf.
//!
//! ```text
//! writes ─┐
//! status ─┼─▶ router ─▶ this node's replica, if it leads
//! views ──┘     └─────▶ remote: the leader, over the connection between nodes
//!   ▲
//!   └── reads, scan, snapshot: on this node, once its state is as fresh as asked
//! ```
//!
//! * [`router`]: all requests that only the leader can answer: find the leader, wait for an election
//!   ([`patience`]), ask it, try again what was certainly not done. Other nodes get checked commands and
//!   questions ([`remote`]), never a client's message.
//! * [`views`]: from a [read level](read_level) to a view of the state.
//! * [`deadline`]: each request has one, and is answered a little before it.
//! * [`heavy`]: long reads leave the threads that serve the network.
//! * [`paging`], [`page_token`], [`answer_stream`]: long answers in bounded pieces.
//! * [`fault`]: every refusal has a reason and, for a write, an outcome; [`refusals`] maps the errors of the
//!   layers below.
//!
//! The simulator drives the router with its own [`clock`], in virtual time.
//!
//! What is missing: there is no authentication yet, so listeners belong on trusted networks; there are no
//! sessions, so a client cannot safely repeat a write whose outcome is unknown.

pub mod answer_stream;
pub mod call;
pub mod clock;
pub mod context;
pub mod deadline;
pub mod fault;
pub mod heavy;
pub mod members;
pub mod node_status;
pub mod page_token;
pub mod paging;
pub mod patience;
pub mod read_level;
pub mod readiness;
pub mod reads;
pub mod refusals;
pub mod remote;
pub mod responder;
pub mod router;
pub mod scan;
pub mod served;
pub mod snapshot;
pub mod status;
pub mod views;
pub mod writes;
