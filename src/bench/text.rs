//! The result for people.

use crate::bench::report::{Figures, Report, WorkloadResult};
use crate::client::Durability;
use comfy_table::{CellAlignment, Table, presets};
use std::fmt::Write as _;

/// What is measured and how, printed before the figures.
pub fn heading(report: &Report) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        writeln!(text, "{name:<11} {value}").expect("writing to memory");
    };
    let (cluster, client, set) = (&report.cluster, &report.client, &report.settings);
    let list = |names: &std::collections::BTreeSet<String>| {
        names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
    };
    line("server", format!("{} {}", set.api.server(), list(&cluster.versions)));
    line("durability", list(&cluster.durability));
    for (nth, node) in cluster.nodes.iter().enumerate() {
        let heading = if nth == 0 { "nodes" } else { "" };
        line(heading, format!("{} {} {}", node.name, node.client_url, node.role));
    }
    line(
        "leader",
        cluster
            .leader
            .as_ref()
            .map_or("none".to_owned(), |leader| format!("{} (term {})", leader.name, leader.term)),
    );
    line(
        "machine",
        format!("{} cores here; client {}, {} build", client.cores, client.version, client.build),
    );
    line("target", format!("{}: {}", set.target, set.urls.join(", ")));
    line(
        "load",
        format!(
            "{} on {}, {}",
            counted(set.clients, "client"),
            counted(set.connections, "connection"),
            counted(set.threads, "thread")
        ),
    );
    line(
        "loop",
        match set.rate {
            Some(rate) => {
                format!("open, {rate} requests/s; latency counts from when a request was due")
            }
            None => "closed; latency counts from sending, so a stall hides what it kept from being sent \
                     (--rate shows it)"
                .to_owned(),
        },
    );
    let order = serde_json::to_value(set.order).ok();
    let order = order.as_ref().and_then(|order| order.as_str()).unwrap_or_default();
    line(
        "keys",
        format!(
            "{} of {} bytes, {order}, seed {}; values of {} bytes; {} per write",
            set.key_space, set.key_size, set.seed, set.value_size, set.batch
        ),
    );
    line("time", format!("{} s each, after {} s of warm-up", set.duration_seconds, set.warmup_seconds));
    text
}

pub fn table(report: &Report) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let header =
        ["WORKLOAD", "OPS/S", "OF ECHO", "MEAN", "P50", "P90", "P99", "P99.9", "MAX", "ERRORS", "CLIENT CPU"];
    table.set_header(header);
    for outcome in &report.results {
        table.add_row(row(outcome));
        for (name, figures) in [("  reads", &outcome.reads), ("  writes", &outcome.writes)] {
            if let Some(figures) = figures {
                let mut cells = vec![name.to_owned(), whole(figures.operations_per_second), String::new()];
                cells.extend(latencies(figures));
                table.add_row(cells);
            }
        }
    }
    for nth in 1..header.len() {
        if let Some(column) = table.column_mut(nth) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

fn row(outcome: &WorkloadResult) -> Vec<String> {
    let total = &outcome.total;
    let share = outcome.share_of_echo.map_or(String::new(), |share| format!("{:.0} %", share * 100.0));
    let mut cells = vec![outcome.workload.name().to_owned(), whole(total.operations_per_second), share];
    cells.extend(latencies(total));
    cells.push(outcome.error_count().to_string());
    let cpu = outcome.client_cpu_seconds;
    let each = if total.requests > 0 { cpu * 1e6 / total.requests as f64 } else { 0.0 };
    cells.push(format!("{cpu:.1} s ({each:.1} µs each)"));
    cells
}

fn latencies(figures: &Figures) -> [String; 6] {
    let Some(l) = &figures.latency else {
        return std::array::from_fn(|_| "-".to_owned());
    };
    [l.mean_us, l.p50_us, l.p90_us, l.p99_us, l.p999_us, l.max_us].map(time)
}

/// Everything one must know before believing the figures.
/// One entry should hold up all others for no longer.
const APPLY_GOAL_MS: f64 = 20.0;

pub fn notes(report: &Report) -> Vec<String> {
    let mut notes = Vec::new();
    if report.client.build == "debug" {
        notes.push("this is a debug build: its figures mean nothing (cargo build --release)".to_owned());
    }
    if report.cluster.durability.iter().any(|mode| Durability::new(mode).is_unsafe()) {
        notes.push("the cluster does not wait for its disks: these writes are not durable".to_owned());
    }
    if report.interrupted {
        notes.push("stopped early: fewer samples than planned".to_owned());
    }
    if let Some(reason) = &report.broken_off {
        notes.push(format!("broken off at {reason}"));
    }
    for outcome in &report.results {
        let name = outcome.workload.name();
        notes.extend(notes_on(outcome).into_iter().map(|note| format!("{name}: {note}")));
    }
    notes
}

fn notes_on(outcome: &WorkloadResult) -> Vec<String> {
    let mut notes = Vec::new();
    for (reason, errors) in &outcome.errors {
        notes.push(format!("{} failed with {reason}, the first saying {:?}", errors.count, errors.example));
    }
    if let Some(change) = &outcome.leader_change {
        let name = |leader: &Option<crate::bench::cluster::Leader>| {
            leader.as_ref().map_or("nobody".to_owned(), |l| format!("{} in term {}", l.name, l.term))
        };
        notes.push(format!(
            "the leader changed ({}, then {}): not a measure of throughput",
            name(&change.before),
            name(&change.after)
        ));
    }
    if let Some(time) = outcome.longest_apply_ms.filter(|time| *time > APPLY_GOAL_MS) {
        notes.push(format!(
            "a state machine was busy with one entry for {time:.0} ms since its node started; the goal is \
             {APPLY_GOAL_MS} ms"
        ));
    }
    let overloaded = outcome.unsent > 0 || outcome.error_count() > 0;
    if let Some(goodput) = outcome.goodput_per_second.filter(|_| overloaded) {
        notes.push(format!("{goodput:.0} a second succeeded, whenever they were due"));
    }
    if outcome.unsent > 0 {
        notes.push(format!(
            "{} requests were due and could not be sent: the rate was not kept, and they are in no \
             percentile",
            outcome.unsent
        ));
    }
    if outcome.abandoned > 0 {
        notes.push(format!("{} requests had no answer when waiting ended", outcome.abandoned));
    }
    if outcome.missing > 0 {
        notes.push(format!("{} reads found no key (--preload writes all keys first)", outcome.missing));
    }
    if let Some(cpu) = outcome.server_cpu_seconds {
        let each = cpu * 1e6 / outcome.total.requests.max(1) as f64;
        notes.push(format!("the nodes used {cpu:.1} s of processor time, {each:.1} µs for each request"));
    }
    if outcome.compactions > 0 {
        notes.push(format!("{} compactions meanwhile", outcome.compactions));
    }
    if let Some(service) = &outcome.total.service_time {
        notes.push(format!(
            "from sending alone: p50 {}, p99 {}, max {}",
            time(service.p50_us),
            time(service.p99_us),
            time(service.max_us)
        ));
    }
    if let Some(stolen) = outcome.stolen_share.filter(|share| *share > 0.01) {
        notes.push(format!(
            "{:.1} % of this machine's time went to others on its host: do not compare",
            stolen * 100.0
        ));
    }
    if let Some(found) = &outcome.verification {
        notes.push(format!(
            "read back {} keys: {} as acknowledged, {} newer, {} LOST, {} WRONG, {} unreadable, {} skipped",
            found.checked, found.same, found.newer, found.lost, found.wrong, found.unreadable, found.skipped
        ));
        notes.extend(found.examples.iter().map(|example| format!("  {example}")));
    }
    notes
}

fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

fn whole(number: f64) -> String {
    if number < 10.0 { format!("{number:.1}") } else { format!("{number:.0}") }
}

/// Microseconds in the unit that fits, with three digits.
fn time(us: f64) -> String {
    let (number, unit) = match us {
        us if us < 1e3 => (us, "µs"),
        us if us < 1e6 => (us / 1e3, "ms"),
        us => (us / 1e6, "s"),
    };
    let decimals = match number {
        n if n < 10.0 => 2,
        n if n < 100.0 => 1,
        _ => 0,
    };
    format!("{number:.decimals$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn times_have_three_digits_and_a_fitting_unit() {
        let times = [0.5, 87.65, 812.3, 1800.0, 99_949.0, 2_500_000.0].map(time);
        assert_eq!(times, ["0.50 µs", "87.7 µs", "812 µs", "1.80 ms", "99.9 ms", "2.50 s"]);
    }
}
