//! Bugs on purpose, as changes to the sources: `plants/*.plants`, a file for each area.
//!
//! ```text
//! ## CommitsOldTerm: Cluster
//! A leader commits entries of an earlier term by counting (figure 8 of the Raft paper).
//! @ src/raft/leader.rs
//! -        if index > core.log.commit() && own_term {
//! +        if index > core.log.commit() && (own_term || planted!(CommitsOldTerm)) {
//! ```
//!
//! A heading is the bug's name and who should see it first (`test raft::runner` where that is no simulated cluster but
//! a test, `unit budget::tests` where it is one in the sources); a sentence follows. Each `@` begins a change: in
//! this file the text behind `-`, which stands there exactly once (white space does not count), becomes the
//! text behind `+`, where `planted!(Name)` is true while the bug is chosen. Bugs in the same lines share their
//! changes: their headings follow each other.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Who should see a bug first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watch {
    /// A node that checks itself: an assertion, or damage that it notices at its start.
    Node,
    /// What is compared between nodes and with their disks: votes, leaders, commits, promises, hashes.
    Cluster,
    /// The answers that clients got.
    History,
    /// The deadline for progress once all faults have ended.
    Progress,
    /// Not the simulator, where it shows too rarely or not at all: a test whose name begins so.
    Test(String),
    /// The same, of those that stand in the sources.
    Unit(String),
}

/// One bug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bug {
    pub name: String,
    pub watch: Watch,
    /// A sentence on what it does.
    pub about: String,
}

/// One change to one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    pub file: String,
    /// What stands there.
    pub clean: String,
    /// The same with its bugs.
    pub planted: String,
}

/// All bugs, and the changes that plant them.
#[derive(Debug, Default)]
pub struct Plants {
    pub bugs: Vec<Bug>,
    pub changes: Vec<Change>,
}

impl Plants {
    /// Reads all files of the folder.
    pub fn load(folder: &Path) -> Result<Self, String> {
        let read_dir = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let mut paths: Vec<_> = read_dir.map(|entry| entry.expect("it was listed").path()).collect();
        paths.sort();
        let mut plants = Self::default();
        for path in paths {
            let name = path.display();
            let text = fs::read_to_string(&path).map_err(|error| format!("{name}: {error}"))?;
            plants.take(&text).map_err(|error| format!("{name}, {error}"))?;
        }
        Ok(plants)
    }

    fn take(&mut self, text: &str) -> Result<(), String> {
        // The bugs that the changes which follow may name.
        let mut group = Vec::new();
        let (bugs_before, mut changes_before) = (self.bugs.len(), self.changes.len());
        for (number, line) in (1..).zip(text.lines()) {
            let wrong = |what: &str| Err(format!("line {number}: {what}: {line}"));
            match line.split_at_checked(1) {
                None => {}
                Some(("#", rest)) if rest.starts_with("# ") => {
                    if self.changes.len() > changes_before {
                        assert_names(&group, &self.changes[changes_before..])?;
                        group.clear();
                        changes_before = self.changes.len();
                    }
                    let Some(bug) = heading(&rest[2..]) else { return wrong("not \"## Name: Watch\"") };
                    group.push(bug.name.clone());
                    self.bugs.push(bug);
                }
                Some(("#", _)) => {}
                Some(("@", file)) => {
                    self.changes.push(Change { file: file.trim().to_owned(), ..Change::default() });
                }
                Some(("-", rest)) if self.changes.len() > changes_before => {
                    let change = self.changes.last_mut().expect("there is one");
                    change.clean += &format!("{rest}\n");
                }
                Some(("+", rest)) if self.changes.len() > changes_before => {
                    let change = self.changes.last_mut().expect("there is one");
                    change.planted += &format!("{rest}\n");
                }
                Some(_) => match self.bugs[bugs_before..].last_mut() {
                    Some(bug) if bug.about.is_empty() => line.clone_into(&mut bug.about),
                    _ => return wrong("neither a heading nor a part of a change"),
                },
            }
        }
        assert_names(&group, &self.changes[changes_before..])
    }

    /// The sources that have plants, with all of them, by path; or what does not fit.
    pub fn apply(&self, root: &Path) -> Result<BTreeMap<String, String>, String> {
        let mut files: BTreeMap<String, String> = BTreeMap::new();
        let mut wrong = Vec::new();
        for Change { file, .. } in &self.changes {
            let text = fs::read_to_string(root.join(file)).map_err(|error| format!("{file}: {error}"))?;
            files.insert(file.clone(), text);
        }
        for Change { file, clean, planted } in &self.changes {
            let text = files.get_mut(file).expect("it was read");
            match places(text, clean).as_slice() {
                [(start, end)] => text.replace_range(start..end, planted),
                found => {
                    let count = found.len();
                    wrong.push(format!("in {file} this stands {count} times, not once:\n{clean}"));
                }
            }
        }
        if wrong.is_empty() { Ok(files) } else { Err(wrong.join("\n")) }
    }
}

fn heading(text: &str) -> Option<Bug> {
    let (name, watch) = text.split_once(": ")?;
    let watch = match watch {
        "Node" => Watch::Node,
        "Cluster" => Watch::Cluster,
        "History" => Watch::History,
        "Progress" => Watch::Progress,
        _ => match watch.split_once(' ')? {
            ("test", test) => Watch::Test(test.to_owned()),
            ("unit", test) => Watch::Unit(test.to_owned()),
            _ => return None,
        },
    };
    Some(Bug { name: name.to_owned(), watch, about: String::new() })
}

/// Changes name the bugs of the headings above them, all of these and no others.
fn assert_names(group: &[String], changes: &[Change]) -> Result<(), String> {
    let planted: String = changes.iter().map(|change| change.planted.as_str()).collect();
    let mut named: Vec<&str> = planted
        .split("planted!(")
        .skip(1)
        .map(|rest| rest.split_once(')').map_or(rest, |(name, _)| name))
        .collect();
    named.sort_unstable();
    named.dedup();
    let mut group: Vec<&str> = group.iter().map(String::as_str).collect();
    group.sort_unstable();
    if named == group { Ok(()) } else { Err(format!("the headings {group:?} are over changes of {named:?}")) }
}

/// Where `wanted` stands in `text`, white space aside: starts and ends in bytes.
fn places(text: &str, wanted: &str) -> Vec<(usize, usize)> {
    let solid: Vec<(usize, char)> = text.char_indices().filter(|(_, c)| !c.is_whitespace()).collect();
    let wanted: Vec<char> = wanted.chars().filter(|c| !c.is_whitespace()).collect();
    let matches = |window: &&[(usize, char)]| window.iter().map(|(_, c)| c).eq(&wanted);
    let range = |window: &[(usize, char)]| {
        let (first, last) = (window[0], window[window.len() - 1]);
        (first.0, last.0 + last.1.len_utf8())
    };
    solid.windows(wanted.len().max(1)).filter(matches).map(range).collect()
}
