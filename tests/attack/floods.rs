//! Crowds of clients that ask for ordinary things, and some that do not wait for the answer.

use super::case::{Case, Limits, Step};
use super::crowd::{At, Crowd, kv};
use super::tally::Tally;
use crate::cluster::harness::{get, put};
use kontiki::proto::v1;
use kontiki::proto::v1::cluster_service_client::ClusterServiceClient;
use std::time::Duration;
use tonic::transport::Endpoint;
use tonic::{Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

const TIME: Duration = Duration::from_secs(5);
const SECOND: Duration = Duration::from_secs(1);

/// The crowd takes most of two cores, and an innocent put waits its turn among it.
const CROWDED: Limits = Limits {
    slowest_put: Duration::from_millis(750),
    // Told at once, and certainly not applied.
    refused: usize::MAX,
    memory_mib: 384,
    ..Limits::USUAL
};

const fn crowd(name: &'static str, fault: &'static str, what: &'static str, attack: Step<Tally>) -> Case {
    Case { name, fault, what, attack, limits: CROWDED, ..Case::USUAL }
}

pub const CASES: &[Case] = &[
    Case {
        quick: true,
        ..crowd(
            "crowd-leader",
            "F5",
            "4,000 clients with 1 s for a put, on 4 connections to the leader",
            |arena| {
                Box::pin(async {
                    puts(
                        Crowd { clients: 4_000, connections: 4, time: TIME }
                            .ask(arena, At::Leader, put_within(SECOND))
                            .await,
                    )
                })
            },
        )
    },
    crowd("crowd-follower", "F5", "the same at a follower, which forwards", |arena| {
        Box::pin(async {
            puts(
                Crowd { clients: 4_000, connections: 4, time: TIME }
                    .ask(arena, At::Follower, put_within(SECOND))
                    .await,
            )
        })
    }),
    crowd(
        "crowd-everywhere",
        "F5",
        "2,000 clients with 1 s for a put at each node, on 100 connections",
        |arena| {
            Box::pin(async {
                puts(
                    Crowd { clients: 2_000, connections: 100, time: TIME }
                        .ask(arena, At::Everywhere, put_within(SECOND))
                        .await,
                )
            })
        },
    ),
    Case {
        // The requests' room, the log's tail, and a state machine that has a few hundred of them to write.
        limits: Limits { memory_mib: 700, slowest_put: Duration::from_secs(2), ..CROWDED },
        ..crowd("crowd-large-puts", "F5", "100 clients that put 1.4 MiB each, at the leader", |arena| {
            let value = "x".repeat(1_400_000);
            Box::pin(async move {
                let ask = move |channel, number: usize| {
                    let request = put(&format!("large/{number}"), &value);
                    async move { kv(channel).put(request).await }
                };
                Crowd { clients: 100, connections: 4, time: TIME }.ask(arena, At::Leader, ask).await
            })
        })
    },
    Case {
        quick: true,
        ..crowd("impatient-follower", "F23", "500 clients of a follower that give a put 20 ms", |arena| {
            Box::pin(async {
                Crowd { clients: 500, connections: 4, time: TIME }
                    .ask(arena, At::Follower, put_within(20 * MS))
                    .await
            })
        })
    },
    crowd("impatient-leader", "F23", "500 clients of the leader that give a put 3 ms", |arena| {
        Box::pin(async {
            Crowd { clients: 500, connections: 4, time: TIME }
                .ask(arena, At::Leader, put_within(3 * MS))
                .await
        })
    }),
    crowd("impatient-reads", "F23", "500 clients of a follower that give a linearizable get 5 ms", |arena| {
        Box::pin(async {
            Crowd { clients: 500, connections: 4, time: TIME }
                .ask(arena, At::Follower, get_within(5 * MS))
                .await
        })
    }),
    crowd("no-time-at-all", "F23", "500 clients whose deadline is a microsecond, everywhere", |arena| {
        Box::pin(async {
            Crowd { clients: 500, connections: 4, time: TIME }
                .ask(arena, At::Everywhere, put_within(MS / 1000))
                .await
        })
    }),
    crowd("cancelled", "F23", "500 clients of a follower that hang up after 0 to 10 ms", |arena| {
        Box::pin(async {
            let ask = |channel, number: usize| async move {
                let call = async { kv(channel).put(put(&format!("gone/{number}"), "v")).await };
                let patience = Duration::from_micros(fastrand::u64(..10_000));
                tokio::time::timeout(patience, call)
                    .await
                    .unwrap_or_else(|_| Err(Status::cancelled("hung up")))
            };
            Crowd { clients: 500, connections: 4, time: TIME }.ask(arena, At::Follower, ask).await
        })
    }),
    crowd(
        "a-connection-each-time",
        "F3",
        "64 clients that connect anew for each put, at the leader",
        |arena| {
            Box::pin(async {
                let url = arena.leader().client_url();
                let ask = move |_, number: usize| {
                    let url = url.clone();
                    async move {
                        let channel = Endpoint::from_shared(url).unwrap().connect().await;
                        let channel = channel.map_err(|error| Status::unavailable(error.to_string()))?;
                        kv(channel).put(put(&format!("anew/{number}"), "v")).await
                    }
                };
                Crowd { clients: 64, connections: 1, time: TIME }.ask(arena, At::Leader, ask).await
            })
        },
    ),
    crowd("local-reads", "F5", "2,000 clients that read locally, at the leader", |arena| {
        Box::pin(async {
            let ask = |channel, _| async move { kv(channel).get(get("k", v1::ReadLevel::Local)).await };
            Crowd { clients: 2_000, connections: 4, time: TIME }.ask(arena, At::Leader, ask).await
        })
    }),
    crowd("linearizable-reads", "F5", "2,000 clients of a follower that read linearizably", |arena| {
        Box::pin(async {
            Crowd { clients: 2_000, connections: 4, time: TIME }
                .ask(arena, At::Follower, get_within(SECOND))
                .await
        })
    }),
    crowd("status", "F5", "200 clients that ask for the cluster's status, everywhere", |arena| {
        Box::pin(async {
            let ask = |channel, _| async move {
                ClusterServiceClient::new(channel).status(v1::StatusRequest::default()).await
            };
            Crowd { clients: 200, connections: 4, time: TIME }.ask(arena, At::Everywhere, ask).await
        })
    }),
    crowd("health", "F5", "1,000 clients that ask for the leader's health", |arena| {
        Box::pin(async {
            let ask = |channel, _| async move {
                HealthClient::new(channel).check(HealthCheckRequest::default()).await
            };
            Crowd { clients: 1_000, connections: 4, time: TIME }.ask(arena, At::Leader, ask).await
        })
    }),
    crowd(
        "health-watches",
        "F6",
        "1,000 clients that begin to watch the leader's health, again and again",
        |arena| {
            Box::pin(async {
                let ask = |channel, _| async move {
                    HealthClient::new(channel).watch(HealthCheckRequest::default()).await
                };
                Crowd { clients: 1_000, connections: 4, time: TIME }.ask(arena, At::Leader, ask).await
            })
        },
    ),
    crowd(
        "keys-too-long",
        "F5",
        "500 clients whose requests are refused for what is in them, everywhere",
        |arena| {
            let key = "k".repeat(1 << 20);
            Box::pin(async move {
                let ask = move |channel, _| {
                    let request = put(&key, "v");
                    async move { kv(channel).put(request).await }
                };
                Crowd { clients: 20, connections: 4, time: TIME }.ask(arena, At::Everywhere, ask).await
            })
        },
    ),
];

const MS: Duration = Duration::from_millis(1);

type Later<T> = std::pin::Pin<Box<dyn Future<Output = Result<T, Status>> + Send>>;

pub fn put_within(
    time: Duration,
) -> impl Fn(tonic::transport::Channel, usize) -> Later<()> + Send + Sync + 'static {
    move |channel, number| {
        let mut request = Request::new(put(&format!("crowd/{number}"), "value"));
        request.set_timeout(time);
        Box::pin(async move { kv(channel).put(request).await.map(drop) })
    }
}

fn get_within(
    time: Duration,
) -> impl Fn(tonic::transport::Channel, usize) -> Later<()> + Send + Sync + 'static {
    move |channel, number| {
        let mut request = Request::new(get(&format!("crowd/{number}"), v1::ReadLevel::Linearizable));
        request.set_timeout(time);
        Box::pin(async move { kv(channel).get(request).await.map(drop) })
    }
}

/// Of those that had enough time few are in doubt, and enough were done. (Some may be: a client gives up by its own
/// clock, and this one has thousands on half a core.)
fn puts(tally: Tally) -> Tally {
    let in_doubt = tally.total() - tally.count("ok") - tally.count("OVERLOADED");
    assert!(in_doubt * 5 <= tally.total(), "too many puts in doubt or late: {tally}");
    assert!(tally.count("ok") > 3_000, "hardly anything was done: {tally}");
    tally
}
