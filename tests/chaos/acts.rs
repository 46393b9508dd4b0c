//! Carries out hostile acts. A node that is not there, or that shuts the door, is no error here.

use super::arena::Seat;
use super::hostile::{Act, Hostility, Port};
use crate::attack::crowd::{Crowd, kv};
use crate::attack::expensive::{all, all_values, put_op, txn};
use crate::attack::floods::put_within;
use crate::attack::frames::{BATCH, introduced, resets};
use crate::attack::pour::{Liquid, pour};
use crate::attack::raw::{PING, Raw, SETTINGS, frame};
use crate::attack::tally::Tally;
use crate::cluster::harness::put;
use crate::grpc::hostile::{Hostile, framed};
use bytes::Bytes;
use kontiki::client::{Client, Options};
use kontiki::proto::v1;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tonic::Request;
use v1::txn_op;

/// Connections of a flood.
const FLOODERS: usize = 4;
/// Connections that say nothing.
const SILENT: usize = 300;
/// Answers that are asked for and not read.
const PAGES: usize = 100;
/// Puts that lack their last byte, and the bytes of each.
const BODIES: usize = 100;
const BODY: usize = 1_400_000;

/// Clients that want a put at once.
const IMPATIENT: usize = 200;
const NO_PATIENCE: Duration = Duration::from_millis(20);
/// Clients that have some time.
const CROWD: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(1);
/// Clients with expensive transactions.
const EXPENSIVE: usize = 4;

/// Keys that expensive transactions go through.
const KEYS: usize = 20_000;
/// How many of them one transaction puts.
const KEYS_AT_A_TIME: usize = 128;

/// How much reached the node: connections, requests or MiB.
pub async fn carry_out(act: &Act, seat: Seat) -> u64 {
    let Act { kind, time, .. } = *act;
    let address = if act.port == Port::Peer { seat.peer } else { seat.client };
    let url = format!("http://{}", seat.client);
    match kind {
        Hostility::Settings => flood(address, frame(SETTINGS, 0, 0, &[]).repeat(BATCH as usize), time).await,
        Hostility::Pings => flood(address, frame(PING, 0, 0, &[7; 8]).repeat(BATCH as usize), time).await,
        Hostility::Resets => flood(address, resets(), time).await,
        Hostility::Silent => silent(address, time).await,
        Hostility::Unread => unread(address, time).await,
        Hostility::Unfinished => unfinished(address, time).await,
        Hostility::Impatient => puts(url, IMPATIENT, NO_PATIENCE, time).await,
        Hostility::Crowd => puts(url, CROWD, PATIENCE, time).await,
        Hostility::Compares => expensive(url, txn(vec![all_values(); 128], vec![put_op("z")]), time).await,
        Hostility::Counts => expensive(url, counts(), time).await,
    }
}

/// The keys that make transactions expensive.
pub async fn load(client: &Client) -> Result<(), String> {
    use kontiki::client::{Put, Txn, TxnOp};
    let numbers: Vec<usize> = (0..KEYS).collect();
    for numbers in numbers.chunks(KEYS_AT_A_TIME) {
        let puts = numbers.iter().map(|number| TxnOp::Put(Put::new(format!("many/{number:06}"), "value")));
        let txn = Txn { compares: Vec::new(), success: puts.collect(), failure: Vec::new() };
        client.txn(txn).await.map_err(|error| error.to_string())?;
    }
    Ok(())
}

async fn flood(address: SocketAddr, again: Vec<u8>, time: Duration) -> u64 {
    let liquid = Liquid { begin: introduced(&[]), again };
    let tally = pour(&[address], FLOODERS, &liquid, time).await;
    tally.count("MiB") + tally.count("closed")
}

async fn silent(address: SocketAddr, time: Duration) -> u64 {
    let end = Instant::now() + time;
    let mut crowd = Vec::new();
    while crowd.len() < SILENT && Instant::now() < end {
        let Ok(Some(raw)) = tokio::time::timeout_at(end.into(), Raw::try_connect(address)).await else {
            break;
        };
        crowd.push(raw);
    }
    tokio::time::sleep_until(end.into()).await;
    crowd.len() as u64
}

/// Asks for everything, and has no room for any of it.
async fn unread(address: SocketAddr, time: Duration) -> u64 {
    let question = framed(&all());
    let mut answers = Vec::new();
    let ask = async {
        let Some(mut client) = Hostile::try_connect(address, 0).await else { return };
        while answers.len() < PAGES {
            let Some((answer, mut body)) = client.try_begin("KvService/Range").await else { return };
            if body.send_data(question.clone(), true).is_err() {
                return;
            }
            answers.push(answer);
        }
        std::future::pending::<()>().await;
    };
    let end = Instant::now() + time;
    let _ = tokio::time::timeout_at(end.into(), ask).await;
    tokio::time::sleep_until(end.into()).await;
    answers.len() as u64
}

async fn unfinished(address: SocketAddr, time: Duration) -> u64 {
    let message: Bytes = framed(&put("hostile/unfinished", &"x".repeat(BODY)));
    let mut bodies = Vec::new();
    let begin = async {
        let Some(mut client) = Hostile::try_connect(address, 65_535).await else { return };
        while bodies.len() < BODIES {
            let Some((answer, mut body)) = client.try_begin("KvService/Put").await else { return };
            if body.send_data(message.slice(..message.len() - 1), false).is_err() {
                return;
            }
            bodies.push((answer, body));
        }
        std::future::pending::<()>().await;
    };
    let end = Instant::now() + time;
    let _ = tokio::time::timeout_at(end.into(), begin).await;
    tokio::time::sleep_until(end.into()).await;
    bodies.len() as u64
}

/// Puts outside of the keys that are checked, and compacts them away: a long run's state stays small.
async fn puts(url: String, clients: usize, patience: Duration, time: Duration) -> u64 {
    let crowd = Crowd { clients, connections: 4, time };
    let tally = crowd.ask_at(vec![url.clone()], put_within(patience)).await;
    compact(&url).await;
    arrived(&tally)
}

/// If that is possible now; the next time is as good.
async fn compact(url: &str) {
    let options = Options { timeout: PATIENCE, ..Options::default() };
    let client = Client::connect(&[url], options).unwrap();
    if let Ok(written) = client.put(kontiki::client::Put::new("hostile/compacted", "v")).await {
        let _ = client.compact(written.meta.revision).await;
    }
}

async fn expensive(url: String, txn: v1::TxnRequest, time: Duration) -> u64 {
    let ask = move |channel, _| {
        let mut request = Request::new(txn.clone());
        request.set_timeout(PATIENCE);
        async move { kv(channel).txn(request).await }
    };
    arrived(&Crowd { clients: EXPENSIVE, connections: 2, time }.ask_at(vec![url], ask).await)
}

/// A put, and as many counts of all keys as a transaction may have beside it.
fn counts() -> v1::TxnRequest {
    let count = txn_op::Op::Range(v1::RangeRequest { count_only: true, ..all() });
    let mut ops = vec![v1::TxnOp { op: Some(count) }; 127];
    ops.push(put_op("z"));
    txn(Vec::new(), ops)
}

/// Without those that found nobody.
fn arrived(tally: &Tally) -> u64 {
    tally.total() - tally.count("Unavailable")
}
