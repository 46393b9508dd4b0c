//! The same bytes again and again, on connections that are opened anew when they are closed.

use super::raw::Raw;
use super::tally::Tally;
use futures_util::future::join_all;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What is poured.
#[derive(Clone)]
pub struct Liquid {
    /// Sent when a connection is new.
    pub begin: Vec<u8>,
    /// Sent until the connection is closed.
    pub again: Vec<u8>,
}

/// Between two attempts: who is closed at once must not spend all of the machine on being it.
const REST: Duration = Duration::from_millis(2);

/// Pours at each address on so many connections, for so long. Tells how many connections were closed by the other end,
/// how many still stood, and the MiB that were sent.
pub async fn pour(addresses: &[SocketAddr], connections: usize, liquid: &Liquid, time: Duration) -> Tally {
    let end = Instant::now() + time;
    let each = addresses.iter().flat_map(|address| std::iter::repeat_n(*address, connections));
    let poured = join_all(each.map(|address| pour_at(address, liquid, end))).await;
    let bytes: u64 = poured.iter().map(|(bytes, _)| bytes).sum();
    let closed: u64 = poured.iter().map(|(_, closed)| closed).sum();
    let mut tally = Tally::one("poured");
    tally.add_many("MiB", bytes >> 20);
    tally.add_many("closed", closed);
    tally
}

async fn pour_at(address: SocketAddr, liquid: &Liquid, end: Instant) -> (u64, u64) {
    let (mut bytes, mut closed) = (0, 0);
    while Instant::now() < end {
        let Some(mut raw) = Raw::try_connect(address).await else {
            tokio::time::sleep(REST).await;
            continue;
        };
        raw.send(&liquid.begin).await;
        while Instant::now() < end {
            // One that reads nothing more keeps the sender waiting; the attack is over all the same.
            match tokio::time::timeout_at(end.into(), raw.send(&liquid.again)).await {
                Ok(true) => bytes += liquid.again.len() as u64,
                Ok(false) => {
                    closed += 1;
                    break;
                }
                Err(_) => break,
            }
        }
        tokio::time::sleep(REST).await;
    }
    (bytes, closed)
}
