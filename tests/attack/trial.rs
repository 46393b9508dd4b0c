//! One run of one case: the cluster, the innocent clients, the attack, and what is normal afterwards.

use super::arena::Arena;
use super::case::Case;
use super::figures::Figures;
use super::innocent::{Felt, Innocents};
use crate::cluster::harness::{Node, get, put, text};
use crate::faults::process::usage::{Usage, Watch};
use futures_util::future::join_all;
use kontiki::proto::v1;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// How long the innocent clients put before the attack begins.
const BEFORE: Duration = Duration::from_millis(500);
/// A put that is not slower than this is normal.
const NORMAL_PUT: Duration = Duration::from_millis(100);
/// A node may have so many more descriptors than before the attack, for its own purposes.
const NORMAL_DESCRIPTORS: usize = 32;
/// The longest that is waited for all to be normal again.
const PATIENCE: Duration = Duration::from_secs(30);

/// What became of a case.
pub enum Verdict {
    Held(Figures),
    /// With what was wrong; without figures if the frame or the attack itself said so.
    Fell(Option<Figures>, String),
}

/// Runs it in a runtime of its own: all that an attack leaves behind ends with that.
pub fn run(case: &Case) -> Verdict {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let outcome = catch_unwind(AssertUnwindSafe(|| runtime.block_on(measure(case))));
    runtime.shutdown_background();
    match outcome {
        Ok(figures) => {
            let objections = figures.objections(&case.limits);
            if objections.is_empty() {
                Verdict::Held(figures)
            } else {
                Verdict::Fell(Some(figures), objections.join("; "))
            }
        }
        Err(panic) => {
            let words = panic.downcast_ref::<String>().cloned();
            let words = words.or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).to_owned()));
            Verdict::Fell(None, words.unwrap_or_else(|| "it panicked".to_owned()))
        }
    }
}

async fn measure(case: &Case) -> Figures {
    let mut arena = Arena::build(&case.ground).await;
    (case.prepare)(&mut arena).await;
    let pids: Vec<u32> = arena.cluster.nodes.iter().map(Node::pid).collect();
    let urls: Vec<String> = arena.spared().into_iter().map(Node::client_url).collect();
    let clients = urls.len();
    let innocents = Innocents::start(urls);
    innocents.warm(clients).await;
    let before: Vec<Usage> = pids.iter().map(|pid| Usage::now(*pid)).collect();
    let term = arena.term().await;
    let watch = Watch::start(pids);
    tokio::time::sleep(BEFORE).await;

    let outcomes = (case.attack)(&mut arena).await;

    let over = Instant::now();
    let recovery = normal_again(&arena, &before, over).await;
    let usage = watch.finish();
    let felt = innocents.finish();
    let ended = last_words(&mut arena);
    let elections = arena.term().await.saturating_sub(term);
    if ended.is_empty() && recovery.is_some() {
        assert_kept(&arena, &felt).await;
        arena.cluster.assert_equal_states().await;
    }
    Figures { felt, usage, elections, ended, recovery, outcomes }
}

/// Waits until every node serves a newcomer's put quickly, and has let go of what the attack made it open.
async fn normal_again(arena: &Arena, before: &[Usage], over: Instant) -> Option<Duration> {
    while over.elapsed() < PATIENCE {
        let nodes = arena.cluster.nodes.iter().zip(before);
        if join_all(nodes.map(|(node, before)| is_normal(node, before))).await.into_iter().all(|one| one) {
            return Some(over.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    None
}

async fn is_normal(node: &Node, before: &Usage) -> bool {
    let asked = Instant::now();
    let answer = node.kv().put(put(&format!("normal/{}", node.name), "v")).await;
    answer.is_ok()
        && asked.elapsed() <= NORMAL_PUT
        && node.status().await.is_some_and(|status| status.ready)
        && Usage::now(node.pid()).descriptors <= before.descriptors + NORMAL_DESCRIPTORS
}

fn last_words(arena: &mut Arena) -> Vec<String> {
    let ended = arena.cluster.nodes.iter_mut().filter_map(|node| {
        node.has_ended().then(|| format!("{}, whose last words were\n{}", node.name, node.log_tail(8)))
    });
    ended.collect()
}

/// What innocent clients were told is stored is there, on every node.
async fn assert_kept(arena: &Arena, felt: &Felt) {
    for node in &arena.cluster.nodes {
        for (key, (_, json)) in &felt.newest {
            let answer = node.kv().get(get(key, v1::ReadLevel::Linearizable)).await.unwrap().into_inner();
            let found = text(answer.kv).map(|text| serde_json::Value::from(text).to_string());
            assert_eq!(found.as_ref(), Some(json), "{} lost {key}, which was acknowledged", node.name);
        }
    }
}
