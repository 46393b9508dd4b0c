//! A summary of a run, for people.

use super::arena::Arena;
use super::calm::Calm;
use super::convergence::Found;
use super::gaps;
use super::hostile::{Hostility, Record};
use super::nemesis::Deeds;
use super::plan::Kind;
use super::recorder::Figures;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

/// Everything the report is made of.
pub struct Facts<'a> {
    pub seed: u64,
    pub arena: &'a Arena,
    pub deeds: &'a Deeds,
    pub hostile: &'a Record,
    pub calm: &'a Calm,
    pub figures: &'a Figures,
    /// How long faults were done.
    pub duration: Duration,
    /// When the clients ended.
    pub end: Duration,
    /// Snapshots that nodes have installed, by their logs.
    pub snapshots: u64,
    pub found: Option<&'a Found>,
    pub verdict: &'a str,
}

/// The whole report.
pub fn text(facts: &Facts<'_>) -> String {
    let mut text = String::new();
    let _ = head(&mut text, facts);
    let _ = operations(&mut text, facts.figures);
    let _ = errors(&mut text, facts.figures);
    let _ = faults(&mut text, facts);
    let _ = hostile(&mut text, facts);
    let _ = evidence(&mut text, facts);
    let _ = ending(&mut text, facts);
    text
}

fn head(text: &mut String, facts: &Facts<'_>) -> std::fmt::Result {
    let minutes = facts.duration.as_secs_f64() / 60.0;
    let all: u64 = facts.figures.operations.values().flatten().sum();
    let ground = if facts.arena.ground.namespaces {
        "network namespaces, proxies between them"
    } else {
        "loopback, proxies between the nodes"
    };
    writeln!(
        text,
        "Chaos, seed {}: {} nodes ({ground}), {minutes:.1} minutes",
        facts.seed,
        facts.arena.nodes.len()
    )?;
    for lack in &facts.arena.lacks {
        writeln!(text, "Left out here: {lack}")?;
    }
    writeln!(text, "{all} operations, {:.0} a minute", all as f64 / minutes)
}

fn operations(text: &mut String, figures: &Figures) -> std::fmt::Result {
    writeln!(text, "\n{:<26}{:>10}{:>14}{:>10}", "operations", "ok", "not executed", "unknown")?;
    for (name, [ok, failed, unknown]) in &figures.operations {
        writeln!(text, "  {name:<24}{ok:>10}{failed:>14}{unknown:>10}")?;
    }
    writeln!(text, "  {} of the cas found another value, and swapped nothing", figures.not_swapped)?;
    let shares = figures.answered_by.iter().map(|(name, count)| format!("{name} {count}"));
    writeln!(text, "  answered by {}", shares.collect::<Vec<_>>().join(", "))
}

fn errors(text: &mut String, figures: &Figures) -> std::fmt::Result {
    writeln!(text, "\n{:<44}{:>10}  outcome", "errors", "count")?;
    for ((operation, error, unknown), count) in &figures.errors {
        let outcome = if *unknown { "unknown" } else { "not executed" };
        writeln!(text, "  {operation:<6}{error:<36}{count:>10}  {outcome}")?;
    }
    Ok(())
}

fn faults(text: &mut String, facts: &Facts<'_>) -> std::fmt::Result {
    let gaps = gaps::longest(&facts.deeds.windows, &facts.figures.acknowledged, facts.end);
    let mut steps: BTreeMap<&str, u32> = BTreeMap::new();
    for window in &facts.deeds.windows {
        *steps.entry(window.label).or_default() += 1;
    }
    writeln!(
        text,
        "\n{:<26}{:>10}{:>10}  longest time without a successful write",
        "faults", "done", "steps"
    )?;
    for (kind, done) in &facts.deeds.done {
        line(text, kind.name(), Some(*done), &steps, &gaps)?;
    }
    line(text, "two at once", None, &steps, &gaps)?;
    writeln!(
        text,
        "  Steps are those with this fault alone. The time counts from the fault to the next write; where no"
    )?;
    writeln!(text, "  quorum is left, the fault itself and the restart of the nodes are in it.")
}

fn line(
    text: &mut String,
    label: &str,
    done: Option<u32>,
    steps: &BTreeMap<&str, u32>,
    gaps: &BTreeMap<&str, Duration>,
) -> std::fmt::Result {
    let Some(count) = steps.get(label) else {
        return match done {
            Some(done) => writeln!(text, "  {label:<24}{done:>10}{:>10}", 0),
            None => Ok(()),
        };
    };
    let done = done.map_or(String::new(), |done| done.to_string());
    writeln!(text, "  {label:<24}{done:>10}{count:>10}  {:.2} s", gaps[label].as_secs_f64())
}

fn hostile(text: &mut String, facts: &Facts<'_>) -> std::fmt::Result {
    writeln!(text, "\n{:<26}{:>10}{:>26}", "hostile acts", "done", "connections, calls, MiB")?;
    for (kind, (acts, count)) in facts.hostile.totals() {
        writeln!(text, "  {:<24}{acts:>10}{count:>26}", kind.name())?;
    }
    facts.calm.report(text, facts.hostile)
}

fn evidence(text: &mut String, facts: &Facts<'_>) -> std::fmt::Result {
    let Facts { arena, deeds, figures, .. } = facts;
    writeln!(text, "\nwhat the faults did")?;
    let mut say = |count: u64, what: &str| writeln!(text, "  {count:>10} {what}");
    say(figures.terms.len().saturating_sub(1) as u64, "changes of the leader that clients saw (terms)")?;
    say(arena.counted(|counts| &counts.connections), "connections between nodes through proxies")?;
    say(arena.counted(|counts| &counts.unanswered), "connections that nobody took")?;
    say(arena.counted(|counts| &counts.resets), "connections reset")?;
    say(arena.counted(|counts| &counts.held), "chunks delivered late")?;
    say(arena.counted(|counts| &counts.swallowed), "times that a proxy's partition held something back")?;
    say(arena.packets_dropped(), "packets dropped by filters")?;
    say(arena.disk_calls_delayed(), "writes and syncs that a slow disk delayed")?;
    say(arena.writes_refused(), "writes that a full disk refused")?;
    say(u64::from(deeds.gave_up), "nodes that ended themselves on a full disk")?;
    say(facts.snapshots, "snapshots installed")?;
    say(u64::from(deeds.transfers.0), "transfers of leadership done")?;
    say(u64::from(deeds.transfers.1), "transfers refused or failed")?;
    say(u64::from(deeds.orderly_ends), "nodes ended in order and started again")
}

fn ending(text: &mut String, facts: &Facts<'_>) -> std::fmt::Result {
    writeln!(text, "\nafterwards")?;
    if let Some(found) = facts.found {
        let (served, agreed) = (found.served_after.as_secs_f64(), found.agreed_after.as_secs_f64());
        writeln!(text, "  every node served writes and reads {served:.2} s after all was healed,")?;
        writeln!(
            text,
            "  and all had hash {} at revision {} after {agreed:.2} s",
            found.hash, found.revision.0
        )?;
        writeln!(
            text,
            "  all {} registers have their last acknowledged write, on every node",
            found.registers
        )?;
    }
    writeln!(text, "  history: {}", facts.verdict)
}

/// What a whole run must have done to say anything: all kinds that can be done here, with effect.
pub fn missing(facts: &Facts<'_>, kinds: &[Kind], acts: &[Hostility]) -> Vec<String> {
    let mut missing = Vec::new();
    let mut need = |so: bool, what: String| {
        if !so {
            missing.push(what);
        }
    };
    for kind in kinds {
        need(facts.deeds.done.contains_key(kind), format!("no {} was done", kind.name()));
    }
    let done = facts.hostile.totals();
    for act in acts {
        need(done.contains_key(act), format!("no {} was there", act.name()));
    }
    need(facts.calm.times > 0, "there was no time without a fault".to_owned());
    let Facts { arena, figures, .. } = facts;
    need(figures.terms.len() > 1, "no leader changed".to_owned());
    need(arena.counted(|counts| &counts.resets) > 0, "no connection was reset".to_owned());
    need(arena.counted(|counts| &counts.held) > 0, "nothing was delivered late".to_owned());
    let held = arena.counted(|counts| &counts.swallowed) + arena.packets_dropped();
    need(held > 0, "no partition held anything back".to_owned());
    need(facts.deeds.transfers.0 > 0, "leadership was never transferred".to_owned());
    need(facts.deeds.orderly_ends > 0, "no node was restarted in order".to_owned());
    need(facts.snapshots > 0, "no snapshot was installed".to_owned());
    if arena.ground.disks {
        need(arena.disk_calls_delayed() > 0, "no slow disk delayed anything".to_owned());
        let often = facts.deeds.done.get(&Kind::FullDisk).is_some_and(|done| *done >= OFTEN);
        need(!often || arena.writes_refused() > 0, "no full disk refused anything".to_owned());
    }
    if arena.ground.namespaces {
        need(arena.packets_dropped() > 0, "no packet was dropped".to_owned());
    }
    let ok: u64 = figures.operations.values().map(|counts| counts[0]).sum();
    let enough = OPERATIONS_PER_SECOND * facts.duration.as_secs();
    need(ok >= enough, format!("only {ok} operations succeeded, which is less than {enough}"));
    missing
}

/// After this many, some disk must really have been full: a third of them still have some room.
const OFTEN: u32 = 8;

/// How many must succeed on average, including times without a quorum.
const OPERATIONS_PER_SECOND: u64 = 25;
