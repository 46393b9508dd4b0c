//! Connections that say nothing, or little, or slowly.

use super::arena::Arena;
use super::case::{Case, Ground, Limits};
use super::raw::{PREFACE, Raw};
use super::tally::Tally;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// More than a node has descriptors, if its soft limit is the usual one.
const CROWD: usize = 1_100;
/// Longer than a connection may stay silent on either port.
const PAST_THE_PREFACE: Duration = Duration::from_secs(12);

pub const CASES: &[Case] = &[
    Case {
        name: "silent-clients",
        fault: "F3",
        what: "1,100 connections to each client port without a byte, soft limit of 1,024 files",
        ground: Ground { ulimit: "-Sn 1024", ..Ground::USUAL },
        attack: |arena| Box::pin(async { silent(&arena.ports()[0]).await }),
        limits: CROWDED,
        quick: true,
        ..Case::USUAL
    },
    Case {
        name: "silent-peers",
        fault: "F3",
        what: "1,100 connections to each peer port without a byte, soft limit of 1,024 files",
        ground: Ground { ulimit: "-Sn 1024", ..Ground::USUAL },
        attack: |arena| Box::pin(async { silent(&arena.ports()[1]).await }),
        limits: CROWDED,
        ..Case::USUAL
    },
    Case {
        name: "silent-peers-with-secret",
        fault: "F3",
        what: "the same where a secret is asked for",
        ground: Ground { ulimit: "-Sn 1024", secret: true, ..Ground::USUAL },
        attack: |arena| Box::pin(async { silent(&arena.ports()[1]).await }),
        limits: CROWDED,
        ..Case::USUAL
    },
    Case {
        name: "silent-hard-limit",
        fault: "F3",
        what: "1,100 silent connections to all ports, hard limit of 700 files",
        ground: Ground { ulimit: "-n 700", ..Ground::USUAL },
        attack: |arena| Box::pin(async { silent(&arena.ports().concat()).await }),
        limits: Limits { descriptors: 700, ..CROWDED },
        ..Case::USUAL
    },
    Case {
        name: "half-a-preface",
        fault: "F3",
        what: "500 connections to all ports that send HTTP/2's preface a byte a second",
        attack: |arena| Box::pin(slow_preface(arena)),
        limits: CROWDED,
        ..Case::USUAL
    },
    Case {
        name: "half-open",
        fault: "F3",
        what: "connections that are opened and reset, as fast as possible, on all ports for 5 s",
        attack: |arena| Box::pin(open_and_reset(arena)),
        quick: true,
        ..Case::USUAL
    },
    Case {
        name: "idle-introduced",
        fault: "F3",
        what: "1,900 connections to each client port that begin HTTP/2 and fall silent",
        attack: |arena| Box::pin(introduced(arena, 1_900)),
        limits: Limits { descriptors: 2_300, ..CROWDED },
        ..Case::USUAL
    },
];

/// Silent connections cost descriptors, and little else.
const CROWDED: Limits = Limits { descriptors: 3_000, ..Limits::USUAL };

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

/// A crowd at each address, which stays until all its connections must have been closed.
async fn silent(addresses: &[SocketAddr]) -> Tally {
    let mut crowd = Vec::new();
    for address in addresses {
        for _ in 0..CROWD {
            crowd.push(connect(*address).await);
        }
    }
    tokio::time::sleep(PAST_THE_PREFACE).await;
    let mut tally = Tally::default();
    for connection in crowd {
        tally.add(match connection.try_read(&mut [0; 64]) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => "open",
            _ => "closed",
        });
    }
    assert_eq!(tally.count("open"), 0, "silent connections stand: {tally}");
    tally
}

async fn slow_preface(arena: &mut Arena) -> Tally {
    let mut crowd = Vec::new();
    for address in arena.ports().concat() {
        for _ in 0..500 {
            crowd.push(Raw::connect(address).await);
        }
    }
    for byte in &PREFACE[..PAST_THE_PREFACE.as_secs() as usize] {
        for connection in &mut crowd {
            connection.send(&[*byte]).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let mut tally = Tally::default();
    crowd.iter().for_each(|connection| tally.add(if connection.is_closed() { "closed" } else { "open" }));
    assert_eq!(tally.count("open"), 0, "connections without an introduction stand: {tally}");
    tally
}

async fn open_and_reset(arena: &mut Arena) -> Tally {
    let mut tally = Tally::default();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(5) {
        for address in arena.ports().concat() {
            let connection = connect(address).await;
            // Closing resets it instead of taking leave.
            connection.set_zero_linger().unwrap();
            tally.add("reset");
        }
    }
    tally
}

async fn introduced(arena: &mut Arena, count: usize) -> Tally {
    let mut crowd = Vec::new();
    for address in &arena.ports()[0] {
        for _ in 0..count {
            crowd.push(Raw::introduced(*address).await);
        }
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let mut tally = Tally::default();
    crowd.iter().for_each(|connection| tally.add(if connection.is_closed() { "closed" } else { "open" }));
    tally
}
