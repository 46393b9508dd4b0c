//! Nodes that stand still for a while, as a process does whose machine swaps, is moved or is put to sleep.

use super::arena::Arena;
use super::case::{Case, Ground, Innocents, Limits, Step};
use super::crowd::{At, Crowd, kv};
use super::innocent;
use super::tally::Tally;
use crate::cluster::harness::{Node, get, put, until};
use crate::faults::process::signal;
use futures_util::future::join_all;
use kontiki::proto::v1::ReadLevel;
use std::time::Duration;
use tonic::Request;

/// Far longer than an election takes.
const FROZEN: Duration = Duration::from_secs(4);
/// How long clients wait that give up.
const IMPATIENT: Duration = Duration::from_millis(500);
/// Until what innocent clients have asked for is answered.
const ANSWERED: Duration = Duration::from_millis(200);

const CROWD: Crowd = Crowd { clients: 16, connections: 4, time: FROZEN };

/// What a follower missed it gets while clients go on.
const STILL: Limits =
    Limits { slowest_put: Duration::from_millis(500), recovery: Duration::from_secs(5), ..Limits::USUAL };

const fn case(name: &'static str, fault: &'static str, what: &'static str, attack: Step<Tally>) -> Case {
    let ground = Ground { innocents: Innocents::Elsewhere, ..Ground::USUAL };
    Case { name, fault, what, ground, attack, limits: STILL, ..Case::USUAL }
}

pub const CASES: &[Case] = &[
    Case {
        quick: true,
        ..case("frozen-follower", "F14", "a follower stands still for 4 s while 16 clients put", |arena| {
            Box::pin(frozen_follower(arena))
        })
    },
    case(
        "frozen-and-thawed",
        "F14",
        "a follower stands still for 300 ms ten times while 16 clients put",
        |arena| Box::pin(frozen_and_thawed(arena)),
    ),
    case(
        "clients-of-a-frozen-follower",
        "F23",
        "200 clients put at a follower that stands still, give up after 0.5 s, and try again",
        |arena| Box::pin(impatient(arena, |channel, number| put_for(channel, number, IMPATIENT))),
    ),
    case(
        "readers-of-a-frozen-follower",
        "F23",
        "200 clients that read at a follower that stands still, and give up after 0.5 s",
        |arena| Box::pin(impatient(arena, |channel, _| get_for(channel, IMPATIENT))),
    ),
    Case {
        ground: Ground::USUAL,
        limits: Limits { elections: 1, ..STILL },
        ..case(
            "frozen-leader",
            "F14",
            "the leader stands still for 4 s; clients of the others come again",
            |arena| Box::pin(frozen_leader(arena)),
        )
    },
    Case {
        ground: Ground::USUAL,
        limits: Limits { slowest_put: Duration::from_millis(800), ..STILL },
        ..case("frozen-leader-briefly", "F14", "the leader stands still for 100 ms ten times", |arena| {
            Box::pin(briefly(arena))
        })
    },
    Case {
        ground: Ground::USUAL,
        limits: Limits { elections: 1, ..STILL },
        ..case("frozen-cluster", "F14", "all nodes stand still for 4 s", |arena| {
            Box::pin(frozen_cluster(arena))
        })
    },
];

/// Stops a process; it goes on when this is dropped, also if the case fails.
struct Ice(u32);

impl Ice {
    fn around(node: &Node) -> Self {
        signal::pause(node.pid());
        Self(node.pid())
    }
}

impl Drop for Ice {
    fn drop(&mut self) {
        signal::resume(self.0);
    }
}

async fn put_for(
    channel: tonic::transport::Channel,
    number: usize,
    time: Duration,
) -> Result<(), tonic::Status> {
    let mut request = Request::new(put(&format!("crowd/{number}"), "v"));
    request.set_timeout(time);
    kv(channel).put(request).await.map(drop)
}

async fn get_for(channel: tonic::transport::Channel, time: Duration) -> Result<(), tonic::Status> {
    let mut request = Request::new(get("k", ReadLevel::Linearizable));
    request.set_timeout(time);
    kv(channel).get(request).await.map(drop)
}

/// A crowd at the leader, whom nothing may happen to.
async fn crowd_at_leader(arena: &Arena, time: Duration) -> Tally {
    let ask = |channel, number| put_for(channel, number, FROZEN);
    let tally = Crowd { time, ..CROWD }.ask(arena, At::Leader, ask).await;
    assert_eq!(tally.count("ok"), tally.total(), "the leader did not serve all: {tally}");
    tally
}

async fn frozen_follower(arena: &mut Arena) -> Tally {
    let _ice = Ice::around(arena.follower());
    crowd_at_leader(arena, FROZEN).await
}

async fn frozen_and_thawed(arena: &mut Arena) -> Tally {
    let frozen = async {
        for _ in 0..10 {
            let ice = Ice::around(arena.follower());
            tokio::time::sleep(Duration::from_millis(300)).await;
            drop(ice);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::join!(frozen, crowd_at_leader(arena, Duration::from_secs(5))).1
}

/// A crowd that does not wait for the follower.
async fn impatient<R>(arena: &mut Arena, ask: fn(tonic::transport::Channel, usize) -> R) -> Tally
where
    R: Future<Output = Result<(), tonic::Status>> + Send + 'static,
{
    let _ice = Ice::around(arena.follower());
    let crowd = Crowd { clients: 200, connections: 20, ..CROWD };
    // The follower is asked for nothing that could wait for longer than the clients do.
    let hang_up = move |channel, number| async move {
        let asking = tokio::time::timeout(IMPATIENT, ask(channel, number));
        asking.await.unwrap_or_else(|_| Err(tonic::Status::cancelled("gave up")))
    };
    crowd.ask(arena, At::Follower, hang_up).await
}

/// The outcome of a put that is under way at the leader would be in doubt. So the innocents rest, and this one puts.
async fn frozen_leader(arena: &mut Arena) -> Tally {
    let _rest = innocent::rest();
    tokio::time::sleep(ANSWERED).await;
    let ice = Ice::around(arena.leader());
    let new = arena.cluster.leader_other_than(Some(arena.leader)).await;
    let others = arena.cluster.nodes.iter().enumerate().filter(|(place, _)| *place != arena.leader);
    let puts = others.map(|(_, node)| async {
        until(&format!("{} serves again", node.name), || async { node.kv().put(put("new", "v")).await.ok() })
            .await;
    });
    join_all(puts).await;
    tokio::time::sleep(FROZEN).await;
    drop(ice);
    arena.leader().ready().await;
    Tally::one(format!("led by {}", arena.cluster.nodes[new].name))
}

/// For less than followers wait for their leader.
async fn briefly(arena: &mut Arena) -> Tally {
    for _ in 0..10 {
        let ice = Ice::around(arena.leader());
        tokio::time::sleep(Duration::from_millis(100)).await;
        drop(ice);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    Tally::one("stood still")
}

async fn frozen_cluster(arena: &mut Arena) -> Tally {
    let _rest = innocent::rest();
    tokio::time::sleep(ANSWERED).await;
    let ice: Vec<Ice> = arena.cluster.nodes.iter().map(Ice::around).collect();
    tokio::time::sleep(FROZEN).await;
    drop(ice);
    Tally::one("stood still")
}
