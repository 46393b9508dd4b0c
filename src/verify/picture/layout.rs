//! Where everything is placed.
//!
//! Time is not to scale: what is interesting happens within microseconds, minutes apart. Between two events
//! there is as much room as the labels of the bars need, and a little more for longer times.

use crate::verify::history::{Completion, Operation};
use crate::verify::violation::Violation;
use std::collections::{BTreeMap, BTreeSet};

/// Where the first event is, to the right of the processes' names.
pub(super) const LEFT: f64 = 132.0;
/// Room at the right for what never returned.
const OPEN: f64 = 150.0;
/// A row of bars.
pub(super) const ROW: f64 = 46.0;
const LEAST: f64 = 26.0;
const WIDTH: f64 = 940.0;
/// The width of a letter in a bar.
const LETTER: f64 = 7.4;

/// The most letters in a bar; the rest is in its tooltip.
const LETTERS: usize = 34;

/// The part that an operation plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// It cannot be explained.
    Culprit,
    /// It contradicts the culprit.
    Core,
    /// It had a value that was seen.
    Context,
}

pub(super) struct Bar<'a> {
    pub operation: &'a Operation,
    pub part: Part,
    pub label: String,
    pub from: f64,
    pub until: f64,
    /// Its row, from the top.
    pub row: usize,
}

pub(super) struct Lane {
    pub process: u64,
    pub first_row: usize,
    pub rows: usize,
}

/// Everything in its place.
pub(super) struct Layout<'a> {
    pub bars: Vec<Bar<'a>>,
    pub lanes: Vec<Lane>,
    pub rows: usize,
    /// Times of events, with their places.
    pub ticks: Vec<(u64, f64)>,
    pub right: f64,
}

/// A call or a return; at the same moment calls sort before returns, since they are concurrent.
type Event = (u64, bool);

pub(super) fn layout(violation: &Violation) -> Layout<'_> {
    let shown = shown(violation);
    let places = places(&shown);
    let last = places.values().copied().fold(LEFT, f64::max);
    let open = shown.iter().any(|(operation, _)| operation.completed_ns().is_none());
    let right = (last + if open { OPEN } else { 30.0 }).max(LEFT + WIDTH / 2.0);
    let mut lanes: Vec<Lane> = Vec::new();
    let mut bars: Vec<Bar<'_>> = Vec::new();
    let mut rows = 0;
    for process in shown.iter().map(|(operation, _)| operation.process).collect::<BTreeSet<_>>() {
        let mut free: Vec<f64> = Vec::new();
        for (operation, part) in shown.iter().filter(|(operation, _)| operation.process == process) {
            let from = places[&(operation.invoked_ns, false)];
            let until = match end(operation) {
                Some(end) => places[&end],
                None if operation.outcome == Completion::Failed => from + width(&label(operation)),
                None => right,
            };
            let row = free.iter().position(|free| *free <= from).unwrap_or(free.len());
            free.resize(free.len().max(row + 1), 0.0);
            free[row] = until + 2.0;
            let label = label(operation);
            bars.push(Bar { operation, part: *part, label, from, until, row: rows + row });
        }
        lanes.push(Lane { process, first_row: rows, rows: free.len() });
        rows += free.len();
    }
    let ticks = places.iter().map(|((time, _), place)| (*time, *place)).collect();
    let reach = bars.iter().map(|bar| bar.until + 30.0).fold(right, f64::max);
    Layout { bars, lanes, rows, ticks, right: reach }
}

fn shown(violation: &Violation) -> Vec<(&Operation, Part)> {
    let mut shown: Vec<(&Operation, Part)> = Vec::new();
    for (place, operation) in violation.operations.iter().enumerate() {
        shown.push((operation, if place == violation.culprit { Part::Culprit } else { Part::Core }));
    }
    shown.extend(violation.context.iter().map(|operation| (operation, Part::Context)));
    shown.sort_by_key(|(operation, _)| (operation.invoked_ns, operation.completed_ns(), operation.process));
    shown
}

fn end(operation: &Operation) -> Option<Event> {
    operation.completed_ns().map(|completed| (completed, true))
}

/// A place for each event, from left to right.
fn places(shown: &[(&Operation, Part)]) -> BTreeMap<Event, f64> {
    let mut events: BTreeSet<Event> =
        shown.iter().map(|(operation, _)| (operation.invoked_ns, false)).collect();
    events.extend(shown.iter().filter_map(|(operation, _)| end(operation)));
    let events: Vec<Event> = events.into_iter().collect();
    let mut gaps = gaps(&events);
    for (operation, _) in shown {
        let find = |event: Event| events.binary_search(&event).unwrap_or_default();
        let from = find((operation.invoked_ns, false));
        let until = end(operation).map_or(from, find);
        let room: f64 = gaps[from..until].iter().sum();
        let lacks = width(&label(operation)) - room;
        if lacks > 0.0 && until > from {
            let each = lacks / (until - from) as f64;
            gaps[from..until].iter_mut().for_each(|gap| *gap += each);
        }
    }
    let mut place = LEFT;
    let mut places = BTreeMap::new();
    for (event, gap) in events.iter().zip(gaps.into_iter().chain([0.0])) {
        places.insert(*event, place);
        place += gap;
    }
    places
}

/// Room after each event but the last: by the logarithm of the time between.
fn gaps(events: &[Event]) -> Vec<f64> {
    let between = || events.windows(2).map(|pair| pair[1].0 - pair[0].0);
    let shortest = between().filter(|gap| *gap > 0).min().unwrap_or(1) as f64;
    between().map(|gap| LEAST + 14.0 * (1.0 + gap as f64 / shortest).ln().min(8.0)).collect()
}

fn width(label: &str) -> f64 {
    label.chars().count() as f64 * LETTER + 22.0
}

fn label(operation: &Operation) -> String {
    let words = operation.words();
    let words = match operation.revision() {
        Some(revision) => format!("{words}  @{revision}"),
        None => words,
    };
    if words.chars().count() <= LETTERS {
        return words;
    }
    words.chars().take(LETTERS - 1).chain(['…']).collect()
}
