//! Which file of the program imports which: read from the paths that begin with `crate::`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A module by its path from the root: `["raft", "log"]`.
type Module = Vec<String>;

/// Every module with the modules that it imports, tests left out.
pub(super) struct Imports {
    arrows: BTreeMap<Module, BTreeSet<Module>>,
}

impl Imports {
    pub(super) fn of(sources: &Path) -> Self {
        let mut texts = BTreeMap::new();
        read(sources, &mut Vec::new(), &mut texts);
        let named: BTreeMap<&Module, Vec<Module>> =
            texts.iter().map(|(module, text)| (module, paths(text, module, &texts))).collect();
        let mut arrows = BTreeMap::new();
        for (module, paths) in &named {
            let imported = paths.iter().map(|path| home(path, &named));
            arrows.insert((*module).clone(), imported.filter(|other| other != *module).collect());
        }
        Self { arrows }
    }

    /// The sets of files that import each other in a circle.
    pub(super) fn circles(&self) -> Vec<Vec<String>> {
        let reach: BTreeMap<&Module, BTreeSet<&Module>> =
            self.arrows.keys().map(|module| (module, self.reachable(module))).collect();
        let mut circles = BTreeSet::new();
        for (module, reached) in &reach {
            if reached.contains(module) {
                let both = reached.iter().filter(|other| reach[*other].contains(module));
                circles.insert(both.map(|module| module.join("::")).collect::<Vec<_>>());
            }
        }
        circles.into_iter().collect()
    }

    fn reachable<'a>(&'a self, from: &Module) -> BTreeSet<&'a Module> {
        let mut found = BTreeSet::new();
        let mut open: Vec<&Module> = self.arrows[from].iter().collect();
        while let Some(module) = open.pop() {
            if let Some((module, next)) = self.arrows.get_key_value(module)
                && found.insert(module)
            {
                open.extend(next);
            }
        }
        found
    }
}

fn read(folder: &Path, at: &mut Module, texts: &mut BTreeMap<Module, String>) {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            at.push(name);
            read(&path, at, texts);
            at.pop();
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !matches!(name.as_str(), "lib" | "main")
            && !name.ends_with("tests")
        {
            let mut module = at.clone();
            if name != "mod" {
                module.push(name);
            }
            texts.insert(module, code(&std::fs::read_to_string(&path).unwrap()));
        }
    }
}

/// Without comments, and without the tests, which come last.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// Each item that a module names by a path from `crate`, or that it imports from a child, with groups in
/// braces expanded.
fn paths(text: &str, module: &Module, all: &BTreeMap<Module, String>) -> Vec<Module> {
    let mut found = Vec::new();
    let behind = |start: usize, word: &str| text[start + word.len()..].chars().peekable();
    let apart =
        |start: usize| text[..start].chars().next_back().is_none_or(|c| !c.is_alphanumeric() && c != '_');
    for (start, word) in text.match_indices("crate::") {
        // `pub(in crate::a)` says who may see an item, and imports nothing.
        if apart(start) && !text[..start].ends_with("(in ") {
            tree(&mut behind(start, word), &Vec::new(), &mut found);
        }
    }
    for (start, word) in text.match_indices("use ") {
        let mut relative = Vec::new();
        tree(&mut behind(start, word), module, &mut relative);
        let child =
            |path: &Module| path.len() > module.len() && all.contains_key(&path[..=module.len()].to_vec());
        found.extend(relative.into_iter().filter(|path| apart(start) && child(path)));
    }
    found
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// Parses `a::b`, `a::{b, c::d}` or `a::*`, and stops after it.
fn tree(text: &mut Chars<'_>, parent: &Module, found: &mut Vec<Module>) {
    let mut path = parent.clone();
    loop {
        skip_blanks(text);
        if text.next_if_eq(&'{').is_some() {
            loop {
                tree(text, &path, found);
                skip_blanks(text);
                if text.next_if_eq(&',').is_none() {
                    break;
                }
            }
            skip_blanks(text);
            text.next_if_eq(&'}');
            return;
        }
        let word: String =
            std::iter::from_fn(|| text.next_if(|c| c.is_alphanumeric() || *c == '_')).collect();
        if !word.is_empty() && word != "self" {
            path.push(word);
        }
        if text.next_if_eq(&':').is_none() || text.next_if_eq(&':').is_none() {
            break;
        }
    }
    if !path.is_empty() {
        found.push(path);
    }
    // Skips `as other`, or the rest of an expression, up to where the group continues.
    skip_blanks(text);
    if text.clone().take(3).eq("as ".chars()) {
        while text.next_if(|c| c.is_alphanumeric() || matches!(c, '_' | ' ')).is_some() {}
    }
}

fn skip_blanks(text: &mut Chars<'_>) {
    while text.next_if(|c| c.is_whitespace()).is_some() {}
}

/// The file that defines an item: the longest part of its path that is a module, or the child from which that
/// module re-exports it.
fn home(path: &[String], named: &BTreeMap<&Module, Vec<Module>>) -> Module {
    let length = (1..=path.len()).rev().find(|length| named.contains_key(&path[..*length].to_vec()));
    let module = path[..length.unwrap_or(0)].to_vec();
    let Some(item) = path.get(module.len()) else {
        return module;
    };
    let handed_on = named.get(&module).into_iter().flatten().find(|other| {
        other.last() == Some(item) && other.len() > module.len() + 1 && other.starts_with(&module)
    });
    handed_on.map_or(module, |other| other[..other.len() - 1].to_vec())
}

#[test]
fn paths_are_taken_apart() {
    let text = "use crate::a::{self, b::C, d::{E as F, g}};\nlet x = crate::h::i(1);\npub use j::{K, l::M};\nuse n::O;";
    let all = BTreeMap::from([(vec!["top".to_owned(), "j".to_owned()], String::new())]);
    let found = paths(text, &vec!["top".to_owned()], &all);
    let found: Vec<String> = found.iter().map(|path| path.join("::")).collect();
    assert_eq!(found, ["a", "a::b::C", "a::d::E", "a::d::g", "h::i", "top::j::K", "top::j::l::M"]);
}
