//! What must hold once all faults have ended: all nodes are there, agree, and have forgotten nothing.

use super::arena::Arena;
use super::recorder::Recorder;
use super::workload::scan;
use kontiki::client::{Client, Get, Options, Put, StateHash};
use kontiki::types::Revision;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// All of it must be so within this time.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Processes of the final reads have numbers from here on.
const SCANNERS: u64 = 1 << 40;

/// What was found.
#[derive(Default)]
pub struct Found {
    /// How long it took until each node served a write and a read.
    pub served_after: Duration,
    /// How long it took until all hashes were equal.
    pub agreed_after: Duration,
    /// The revision at which they were.
    pub revision: Revision,
    /// The hash of all nodes.
    pub hash: String,
    /// How many registers were read on each node.
    pub registers: usize,
}

/// Waits for convergence. Fails with what did not hold at the deadline, or with what was lost.
pub async fn require(arena: &Arena, recorder: &Arc<Recorder>) -> Result<Found, String> {
    let healed = Instant::now();
    let clients = clients(&arena.urls());
    let mut found = Found::default();
    for (node, client) in arena.nodes.iter().zip(&clients) {
        let fresh = format!("fresh-{}", node.name);
        in_time(healed, &format!("{} serves a write and a read", node.name), || serves(client, &fresh))
            .await?;
    }
    found.served_after = healed.elapsed();
    let hash = in_time(healed, "all nodes have the same hash", || agree(&clients)).await?;
    found.agreed_after = healed.elapsed();
    found.revision = hash.revision;
    found.hash = hash.hash;
    found.registers = nothing_is_lost(arena, &clients, recorder).await?;
    Ok(found)
}

fn clients(urls: &[String]) -> Vec<Client> {
    let options = Options { timeout: Duration::from_secs(5), ..Options::default() };
    let any = Client::connect(urls, options).unwrap();
    any.endpoints().iter().map(|node| any.only(node)).collect()
}

/// Tries again until it works. Fails with the last error.
async fn in_time<T, F: Future<Output = Result<T, String>>>(
    healed: Instant,
    what: &str,
    attempt: impl Fn() -> F,
) -> Result<T, String> {
    loop {
        let why = match attempt().await {
            Ok(done) => return Ok(done),
            Err(why) => why,
        };
        if healed.elapsed() > DEADLINE {
            return Err(format!("{DEADLINE:?} after all was healed it is not so that {what}: {why}"));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn serves(client: &Client, key: &str) -> Result<(), String> {
    let written = client.put(Put::new(key.to_owned(), "fresh")).await.map_err(|error| error.to_string())?;
    let read = client.get(Get::new(key.to_owned())).await.map_err(|error| error.to_string())?;
    match read.value {
        Some(found) if found.mod_revision >= written.meta.revision => Ok(()),
        other => Err(format!("{key} was written at {:?} and read as {other:?}", written.meta.revision)),
    }
}

/// All hashes at the newest revision of the first node.
async fn agree(clients: &[Client]) -> Result<StateHash, String> {
    let newest = clients[0].hash(None).await.map_err(|error| error.to_string())?.value;
    for client in &clients[1..] {
        let other = client.hash(Some(newest.revision)).await.map_err(|error| error.to_string())?.value;
        if other != newest {
            return Err(format!("{newest:?} there and {other:?} at {}", client.endpoints()[0]));
        }
    }
    Ok(newest)
}

/// Reads all registers on all nodes, into the history, and compares them with what was
/// acknowledged. A newer revision is not a loss: an unacknowledged write may have followed.
async fn nothing_is_lost(
    arena: &Arena,
    clients: &[Client],
    recorder: &Arc<Recorder>,
) -> Result<usize, String> {
    let newest = recorder.newest();
    for (number, client) in clients.iter().enumerate() {
        let name = &arena.nodes[number].name;
        let process = SCANNERS + number as u64;
        let found = scan(client, newest.keys().cloned(), recorder, process)
            .await
            .map_err(|error| format!("the final scan on {name}: {error}"))?;
        for (key, (revision, value)) in &newest {
            let there = found[key].as_ref();
            let kept = there.is_some_and(|there| {
                let same = format!("\"{}\"", String::from_utf8_lossy(&there.value)) == *value;
                there.mod_revision.0 > *revision || (there.mod_revision.0 == *revision && same)
            });
            if !kept {
                return Err(format!(
                    "{name} lost an acknowledged write: {key} was {value} at revision {revision}, and is {there:?}"
                ));
            }
        }
    }
    Ok(newest.len())
}
