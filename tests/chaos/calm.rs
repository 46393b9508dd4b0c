//! Times without any fault, in which there are only hostile clients: those must not cost the cluster its leader, nor
//! make an honest client wait for long.

use super::arena::Arena;
use super::hostile::Record;
use kontiki::client::{Client, NodeStatus, Options, Put, Role};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// So many steps with faults are between two of them.
pub const EVERY: u32 = 5;

/// How long one is.
const TIME: Duration = Duration::from_secs(8);

/// The longest that an honest put may be kept waiting, whatever the answer. Several times what was
/// measured where two cores carry the nodes, the crowd and all clients (0.4 s).
const LONGEST_WAIT: Duration = Duration::from_secs(3);

/// What the faults before have left behind must be over by then.
const SETTLING: Duration = Duration::from_secs(20);
/// The cluster has settled if so long after it seemed so it is still the same.
const STILL: Duration = Duration::from_secs(1);

/// Between two puts of an honest client.
const PERIOD: Duration = Duration::from_millis(20);
/// More than it may be kept waiting.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a node may take to say how it is.
const STATUS_TIMEOUT: Duration = Duration::from_secs(2);

/// An honest client's put that took longest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Wait {
    took: Duration,
    /// When it began.
    at: Duration,
}

/// What all of these times together showed.
#[derive(Default)]
pub struct Calm {
    /// How many there were, and how many not, because the cluster had not settled.
    pub times: u32,
    unsettled: u32,
    honest: u64,
    refused: u64,
    worst: Wait,
    /// New terms, in words.
    changes: Vec<String>,
}

impl Calm {
    /// Waits until the cluster has settled, and watches it.
    pub async fn watch(&mut self, arena: &Arena, start: Instant) {
        let Some(term) = settled(arena).await else {
            println!("{:>7.1} s no calm: the cluster has not settled", start.elapsed().as_secs_f64());
            self.unsettled += 1;
            return;
        };
        let began = start.elapsed();
        println!("{:>7.1} s calm for {TIME:?}, in term {term}", began.as_secs_f64());
        let until = Instant::now() + TIME;
        let honest =
            arena.urls().into_iter().enumerate().map(|(place, url)| put_until(place, url, until, start));
        for felt in futures_util::future::join_all(honest).await {
            self.honest += felt.puts;
            self.refused += felt.refused;
            self.worst = self.worst.max(felt.worst);
        }
        let newest = statuses(arena).await.into_iter().flatten().map(|node| node.term).max().unwrap_or(term);
        if newest != term {
            let (from, to) = (began.as_secs_f64(), start.elapsed().as_secs_f64());
            self.changes.push(format!("term {newest} after {term}, between {from:.1} s and {to:.1} s"));
        }
        self.times += 1;
    }

    pub fn offences(&self, hostile: &Record) -> Vec<String> {
        let mut offences: Vec<String> = self
            .changes
            .iter()
            .map(|change| format!("there was an election without a fault: {change}"))
            .collect();
        if self.worst.took > LONGEST_WAIT {
            offences.push(format!(
                "an honest put waited longer than {LONGEST_WAIT:?}: {}",
                self.slowest(hostile)
            ));
        }
        offences
    }

    fn slowest(&self, hostile: &Record) -> String {
        let Wait { took, at } = self.worst;
        let acts = hostile.during(at, at + took);
        format!("{:.2} s, at {:.1} s ({acts})", took.as_secs_f64(), at.as_secs_f64())
    }

    /// Its lines in the report.
    pub fn report(&self, text: &mut String, hostile: &Record) -> std::fmt::Result {
        writeln!(
            text,
            "  {} times of {TIME:?} without a fault, {} left out because the cluster had not settled",
            self.times, self.unsettled
        )?;
        writeln!(
            text,
            "  then {} elections, {} honest puts, {} of them refused;",
            self.changes.len(),
            self.honest,
            self.refused
        )?;
        writeln!(text, "  the slowest took {}", self.slowest(hostile))
    }
}

/// What an honest client felt.
#[derive(Default)]
struct Felt {
    puts: u64,
    refused: u64,
    worst: Wait,
}

/// One thing after the other, at one node. What is refused is not tried again: the time until then counts.
async fn put_until(place: usize, url: String, until: Instant, start: Instant) -> Felt {
    let options = Options { timeout: TIMEOUT, connect_timeout: TIMEOUT, attempts: 1 };
    let client = Client::connect(&[url], options).unwrap();
    let mut felt = Felt::default();
    while Instant::now() < until {
        let (asked, at) = (Instant::now(), start.elapsed());
        let answer = client.put(Put::new(format!("honest/{place}"), "v")).await;
        felt.puts += 1;
        felt.refused += u64::from(answer.is_err());
        felt.worst = felt.worst.max(Wait { took: asked.elapsed(), at });
        tokio::time::sleep(PERIOD).await;
    }
    felt
}

/// The term, once all nodes are ready and follow the same leader, and do so still a little later.
async fn settled(arena: &Arena) -> Option<u64> {
    let began = Instant::now();
    let mut before = None;
    while began.elapsed() < SETTLING {
        let term = agreed(&statuses(arena).await);
        if term.is_some() && term == before {
            return term;
        }
        before = term;
        tokio::time::sleep(STILL).await;
    }
    None
}

async fn statuses(arena: &Arena) -> Vec<Option<NodeStatus>> {
    let ask = |url: String| async move {
        let options = Options { timeout: STATUS_TIMEOUT, connect_timeout: STATUS_TIMEOUT, attempts: 1 };
        let answer = Client::connect(&[url], options).unwrap().local_status().await;
        answer.ok()?.value.nodes.into_iter().next()
    };
    futures_util::future::join_all(arena.urls().into_iter().map(ask)).await
}

/// The term, if all nodes are ready in it and one of them leads.
fn agreed(statuses: &[Option<NodeStatus>]) -> Option<u64> {
    let term = statuses.first()?.as_ref()?.term;
    let well = |node: &Option<NodeStatus>| node.as_ref().is_some_and(|node| node.ready && node.term == term);
    let leads = |node: &Option<NodeStatus>| node.as_ref().is_some_and(|node| node.role == Role::Leader);
    (statuses.iter().all(well) && statuses.iter().filter(|node| leads(node)).count() == 1).then_some(term)
}
