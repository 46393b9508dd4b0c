//! The connections to the other nodes.
//!
//! The core sends messages that may be lost; gRPC has calls. This module maps one to the other, with a
//! [`link`] for each peer:
//!
//! | the core sends | carried by |
//! |---|---|
//! | append, heartbeat | our outbound `AppendEntries` stream to the peer ([`dialer`], [`append_stream`]) |
//! | accepted, rejected, heartbeat ack | the way back on the peer's newest inbound `AppendEntries` stream |
//! | request vote, vote | a unary call and its answer ([`calls`], [`votes`]) |
//! | timeout now | a unary call ([`calls`]) |
//! | (the api asks the leader) | our outbound `Forward` stream of questions and answers ([`questions`], [`forward_dialer`], [`forward_service`]) |
//! | a snapshot | a client stream on a separate connection, at a limited rate ([`snapshot_sender`], [`snapshot_receiver`]) |
//!
//! The links are those of the members that the log says ([`follow`]), and so are the addresses that are dialled
//! ([`routes`]).
//!
//! A peer has up to four connections, so that nothing small waits behind something large, and no load by
//! clients can affect consensus: one for the append stream, one for votes and transfers, one for questions,
//! and one for a snapshot while it is sent.
//!
//! *Nothing waits in the loop.* [`Transport::send`](crate::replica::Transport::send) queues or drops. Each
//! [`lane`] is bounded in messages and bytes and lives as long as its stream:
//! what a broken stream still held is dropped, since the core will send it
//! again when it learns of the loss. Heartbeats overtake the queue.
//!
//! *Losses are reported.* A stream that ends is reported at once
//! ([`PeerEvents::peer_lost`]): a follower whose leader's process was killed sees the end of its stream
//! within a millisecond and need not wait out the election timeout. A peer that falls silent without closing
//! is detected by the connection's keepalive. A loss is reported once, although it breaks both directions.
//!
//! *Strangers are refused.* Where the cluster has a [`secret`], both ends prove that they know it before anything else is
//! said on a connection ([`handshake`], [`gate`]). Then both ends check the other's [`identity`] before any message may reach the core. A
//! new data directory first [`introduce`]s itself. Before a [`caller`] has said who it is, no more than 64 KiB are
//! read from its connection, which is closed after some seconds or when another needs its place
//! ([`connections`](crate::connections)).
//!
//! The listener may be served before there is a replica: until
//! [`Peers::start`], `Introduce` is answered and everything else refused with
//! `NOT_READY`.

pub mod append_stream;
pub mod caller;
pub mod calls;
pub mod connection;
pub mod dialer;
pub mod events;
pub mod follow;
pub mod forward_dialer;
pub mod forward_service;
pub mod gate;
mod handshake;
pub mod identity;
pub mod introduce;
pub mod lane;
pub mod link;
pub mod links;
pub mod patience;
pub mod questions;
pub mod raft_service;
pub mod read_index;
pub mod refusal;
pub mod routes;
pub mod secret;
pub mod settings;
mod short_lock;
pub mod sizes;
pub mod snapshot_receiver;
pub mod snapshot_sender;
pub mod transport;
pub mod votes;
pub mod wire;

pub use events::{PeerEvents, SnapshotSink};
pub use identity::{Identity, KnownDirectories, RememberError};
pub use introduce::IntroduceError;
pub use links::BadAddress;
pub use refusal::{PeerRefusal, RefusalKind};
pub use settings::PeerSettings;
pub use transport::Peers;
