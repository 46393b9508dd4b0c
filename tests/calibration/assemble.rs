//! Makes a copy of the package with all planted bugs in it: `assemble ROOT COPY`.
//!
//! One build of the copy has all of them; which one acts is chosen at run time, for each thread. A file that would be
//! written as it is stays untouched, so that a second build is short. A program of its own (plain `rustc`), since the
//! package would have to be built first if it were part of it.

mod plants;

use plants::Plants;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What a build of the tests needs.
const PARTS: [&str; 7] = ["Cargo.toml", "Cargo.lock", "build.rs", "clippy.toml", "proto", "src", "tests"];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [root, copy] = arguments.as_slice() else { panic!("usage: assemble ROOT COPY") };
    if let Err(error) = assemble(Path::new(root), Path::new(copy)) {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

fn assemble(root: &Path, copy: &Path) -> Result<(), String> {
    let plants = Plants::load(&root.join("tests/calibration/plants"))?;
    let mut content: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
    for part in PARTS {
        collect(root, Path::new(part), &mut content)?;
    }
    let planted = plants.apply(root)?;
    content.extend(planted.into_iter().map(|(file, text)| (PathBuf::from(file), text.into_bytes())));
    let library = content.get_mut(Path::new("src/lib.rs")).expect("it is part of src");
    let text = String::from_utf8_lossy(library).replacen("pub mod", "#[macro_use]\npub mod planted;\npub mod", 1);
    *library = text.into_bytes();
    content.insert("src/planted.rs".into(), switch(&plants).into_bytes());
    let choice = "//! Chooses the planted bug of this thread.\n\npub use kontiki::planted::choose;\n";
    content.insert("tests/calibration/choice.rs".into(), choice.into());
    rename_version(&mut content)?;
    write(copy, &content)
}

/// Cargo names what it builds by package and version, not by folder: with the version of the original, a later build
/// of that one would find the copy's programs and take them for its own.
fn rename_version(content: &mut BTreeMap<PathBuf, Vec<u8>>) -> Result<(), String> {
    let clean = "name = \"kontiki\"\nversion = \"";
    let planted = format!("{clean}0.0.0-planted+");
    for file in ["Cargo.toml", "Cargo.lock"] {
        let bytes = content.get_mut(Path::new(file)).ok_or_else(|| format!("there is no {file}"))?;
        let text = String::from_utf8_lossy(bytes);
        if text.matches(clean).count() != 1 {
            return Err(format!("{file} does not give the package's version as expected"));
        }
        *bytes = text.replacen(clean, &planted, 1).into_bytes();
    }
    Ok(())
}

/// Reads a file, or all files of a folder.
fn collect(root: &Path, path: &Path, content: &mut BTreeMap<PathBuf, Vec<u8>>) -> Result<(), String> {
    let name = root.join(path);
    let failed = |error: std::io::Error| format!("{}: {error}", name.display());
    if !name.is_dir() {
        content.insert(path.to_owned(), fs::read(&name).map_err(failed)?);
        return Ok(());
    }
    for entry in fs::read_dir(&name).map_err(failed)? {
        collect(root, &path.join(entry.map_err(failed)?.file_name()), content)?;
    }
    Ok(())
}

/// Names the bug that is planted in a whole process.
const PLANT: &str = "KONTIKI_PLANT";

/// The module that knows which bug is chosen.
fn switch(plants: &Plants) -> String {
    let names: Vec<&str> = plants.bugs.iter().map(|bug| bug.name.as_str()).collect();
    let variants: String = names.iter().map(|name| format!("    {name},\n")).collect();
    let arms: String = names.iter().map(|name| format!("        {name:?} => Bug::{name},\n")).collect();
    format!(
        r#"//! Which planted bug acts on this thread.
#![allow(missing_docs)]

use std::cell::Cell;
use std::sync::LazyLock;

#[cfg(not(debug_assertions))]
compile_error!("planted bugs are for tests only, never for a build without assertions");

macro_rules! planted {{
    ($name:ident) => {{
        $crate::planted::is_chosen($crate::planted::Bug::$name)
    }};
}}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Bug {{
{variants}}}

thread_local! {{
    static CHOSEN: Cell<Option<Bug>> = const {{ Cell::new(None) }};
}}

/// On all threads.
static EVERYWHERE: LazyLock<Option<Bug>> = LazyLock::new(|| std::env::var("{PLANT}").ok().map(|name| named(&name)));

fn named(name: &str) -> Bug {{
    match name {{
{arms}        _ => panic!("no such bug: {{name}}"),
    }}
}}

/// Plants a bug in everything that this thread runs from now on.
pub fn choose(name: Option<&str>) {{
    CHOSEN.set(name.map(named));
}}

pub fn is_chosen(bug: Bug) -> bool {{
    CHOSEN.get() == Some(bug) || *EVERYWHERE == Some(bug)
}}
"#
    )
}

/// Makes the folder hold these files and no others beside what cargo made.
fn write(copy: &Path, content: &BTreeMap<PathBuf, Vec<u8>>) -> Result<(), String> {
    for (path, bytes) in content {
        let path = copy.join(path);
        let failed = |error: std::io::Error| format!("{}: {error}", path.display());
        if fs::read(&path).ok().as_ref() != Some(bytes) {
            fs::create_dir_all(path.parent().expect("it is below the copy")).map_err(failed)?;
            fs::write(&path, bytes).map_err(failed)?;
        }
    }
    let mut found = BTreeMap::new();
    for part in PARTS {
        collect(copy, Path::new(part), &mut found)?;
    }
    let found: BTreeSet<PathBuf> = found.into_keys().collect();
    for gone in found.into_iter().filter(|path| !content.contains_key(path)) {
        fs::remove_file(copy.join(&gone)).map_err(|error| format!("{}: {error}", gone.display()))?;
    }
    Ok(())
}
