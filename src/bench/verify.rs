//! Reads acknowledged writes back and compares: the speed of a store that loses writes is worth nothing.
//!
//! Several clients write the same key; the revisions of the writes tell which was last. A value can be
//! computed from its key and its tag, so only the tag had to be kept.

use crate::bench::call::VersionedValue;
use crate::bench::recorder::Recorder;
use crate::bench::sample::Acknowledged;
use crate::bench::store::Store;
use crate::bench::workload::Shapes;
use serde::Serialize;
use tokio::sync::watch;

/// How many findings are described; the others are only counted.
const EXAMPLES: usize = 5;
/// After this many failed reads there is no point in going on.
const MOST_FAILURES: u64 = 10;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verification {
    pub checked: u64,
    /// Keys that hold the last acknowledged value.
    pub same: u64,
    /// Keys that hold a newer value of this run, from a write whose outcome was unknown.
    pub newer: u64,
    /// Keys that hold an older value or none: an acknowledged write is lost.
    pub lost: u64,
    /// Keys that hold a value that was never written.
    pub wrong: u64,
    pub unreadable: u64,
    /// Keys that were not read, after a Ctrl-C or too many failures.
    pub skipped: u64,
    /// The first findings in words.
    pub examples: Vec<String>,
}

impl Verification {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.lost == 0 && self.wrong == 0
    }

    fn example(&mut self, text: String) {
        if self.examples.len() < EXAMPLES {
            self.examples.push(text);
        }
    }
}

/// Reads the sample with linearizable reads and compares.
pub async fn verify(
    mut store: Store,
    shapes: &Shapes,
    recorder: &Recorder,
    stop: &watch::Receiver<bool>,
) -> Verification {
    let mut found = Verification::default();
    let sample = recorder.sample.sorted();
    for (key, write) in &sample {
        if *stop.borrow() || found.unreadable >= MOST_FAILURES {
            found.skipped = sample.len() as u64 - found.checked - found.unreadable;
            break;
        }
        match store.get(shapes.key(*key), false).await {
            Ok(read) => judge(&mut found, shapes, *key, write, read.newest, recorder.unknown_writes > 0),
            Err(status) => {
                found.unreadable += 1;
                found.example(format!("key {key}: cannot be read: {}", status.message()));
            }
        }
    }
    found
}

/// Compares one key. `unknown` says whether there were writes that may or may not have happened.
fn judge(
    found: &mut Verification,
    shapes: &Shapes,
    key: u64,
    write: &Acknowledged,
    newest: Option<VersionedValue>,
    unknown: bool,
) {
    found.checked += 1;
    let Some(VersionedValue { revision, value }) = newest else {
        found.lost += 1;
        found.example(format!("key {key}: written at revision {}, now absent", write.revision));
        return;
    };
    if revision < write.revision {
        found.lost += 1;
        found.example(format!("key {key}: written at revision {}, now back at {revision}", write.revision));
    } else if revision == write.revision && value == shapes.value(key, write.tag) {
        found.same += 1;
    } else if revision > write.revision && unknown && is_ours(shapes, key, &value) {
        found.newer += 1;
    } else {
        found.wrong += 1;
        found.example(format!(
            "key {key}: written at revision {}, at {revision} it holds another value",
            write.revision
        ));
    }
}

/// Whether some write of this run could have set this value. A value that is too short cannot tell.
fn is_ours(shapes: &Shapes, key: u64, value: &[u8]) -> bool {
    Shapes::tag(value).is_none_or(|tag| value == shapes.value(key, tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shapes() -> Shapes {
        Shapes::new(&crate::bench::BenchArgs::parsed("put --value-size 32").unwrap().plan().unwrap())
    }

    fn judged(newest: Option<(i64, u64)>, unknown: bool) -> Verification {
        let shapes = shapes();
        let newest = newest.map(|(revision, tag)| VersionedValue { revision, value: shapes.value(7, tag) });
        let mut found = Verification::default();
        judge(&mut found, &shapes, 7, &Acknowledged { revision: 10, tag: 100 }, newest, unknown);
        found
    }

    #[test]
    fn the_last_acknowledged_value_is_right() {
        assert_eq!(judged(Some((10, 100)), false).same, 1);
    }

    #[test]
    fn an_older_value_or_none_is_a_lost_write() {
        assert_eq!(judged(None, true).lost, 1);
        assert_eq!(judged(Some((9, 90)), true).lost, 1);
    }

    #[test]
    fn a_newer_value_is_right_only_if_some_outcome_was_unknown() {
        assert_eq!(judged(Some((11, 110)), true).newer, 1);
        assert_eq!(judged(Some((11, 110)), false).wrong, 1);
    }

    #[test]
    fn another_value_at_the_acknowledged_revision_is_wrong() {
        let found = judged(Some((10, 101)), true);
        assert_eq!((found.wrong, found.is_clean()), (1, false));
    }
}
