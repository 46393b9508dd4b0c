//! The rules of this code base that the compiler does not check.

mod documents;
mod imports;

use imports::Imports;
use std::path::{Path, PathBuf};

/// The floors of the picture in `DESIGN.md`, bottom first: a folder may import only those before it. One that needs
/// little stands right above what it needs, wherever the picture has room for it.
const LAYERS: [&str; 11] = [
    "types|settings|reason|address|units|proto|coalescing|budget",
    "member|connections|codec",
    "raft|kv|config|client|verify",
    "machine|telemetry|bench|dev",
    "storage",
    "replica",
    "api",
    "peers|grpc",
    "server",
    "cli",
    "lib|main",
];

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(folder)];
    if open[0].with_extension("rs").is_file() {
        open.push(open[0].with_extension("rs"));
    }
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    assert!(!found.is_empty(), "no sources under src/{folder}");
    found
}

/// The lines of code that contain `word`, without comments.
fn mentions(folder: &str, word: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in sources(folder) {
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if code.contains(word) {
                found.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    found
}

/// The lines of a folder that name a module of the root.
fn imports_of(folder: &str, module: &str) -> Vec<String> {
    let path = format!("crate::{module}");
    let mut found = mentions(folder, &path);
    found.retain(|line| {
        let mut behind = line.match_indices(&path).map(|(start, _)| &line[start + path.len()..]);
        behind.any(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    });
    found
}

#[test]
fn no_arrow_runs_back_up() {
    let mut wrong = Vec::new();
    for (height, floor) in LAYERS.iter().enumerate() {
        for folder in floor.split('|') {
            let above = LAYERS[height + 1..].iter().flat_map(|floor| floor.split('|'));
            let beside = floor.split('|').filter(|other| *other != folder);
            for other in above.chain(beside) {
                wrong.extend(imports_of(folder, other));
            }
        }
    }
    // A group would hide what is imported from the search above.
    wrong.extend(mentions("", "crate::{"));
    assert!(wrong.is_empty(), "these lines name a layer above or beside their own:\n{}", wrong.join("\n"));
}

/// No folder escapes the rule above.
#[test]
fn every_folder_is_on_a_floor() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let entries = std::fs::read_dir(sources).unwrap().map(|entry| entry.unwrap().path());
    let mut there: Vec<String> =
        entries.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    let mut drawn: Vec<&str> = LAYERS.iter().flat_map(|floor| floor.split('|')).collect();
    there.sort_unstable();
    drawn.sort_unstable();
    assert_eq!(there, drawn);
}

/// Two files that cannot be understood without each other should be one file, or three.
#[test]
fn files_stand_above_what_they_import() {
    let circles = Imports::of(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).circles();
    let circles: Vec<String> = circles.iter().map(|circle| circle.join(", ")).collect();
    assert!(circles.is_empty(), "these files import each other in a circle:\n{}", circles.join("\n"));
}

/// A checker that shared code with what it checks could share its mistakes.
#[test]
fn the_checker_stands_alone() {
    let mut wrong: Vec<String> = mentions("verify", "crate::");
    wrong.retain(|line| !line.contains("crate::verify"));
    for library in ["tokio", "tonic", "sled", "clap", "bytes"] {
        wrong.extend(mentions("verify", &format!("{library}::")));
    }
    assert!(wrong.is_empty(), "the checker must not use the store's code:\n{}", wrong.join("\n"));
}

#[test]
fn the_core_is_pure() {
    let mut wrong = Vec::new();
    for folder in ["raft", "kv", "machine"] {
        for word in [
            "tokio",
            "tonic",
            "prost",
            "sled::",
            "std::time",
            "std::thread",
            "std::fs",
            "std::net",
            "HashMap",
        ] {
            wrong.extend(mentions(folder, word));
        }
    }
    assert!(wrong.is_empty(), "consensus and state machine must be pure:\n{}", wrong.join("\n"));
}

/// Bugs for the calibration are planted into a copy (`tests/calibration/plants/`).
#[test]
fn the_sources_have_no_planted_bugs() {
    let wrong = mentions("", "planted!");
    assert!(wrong.is_empty(), "these lines belong in tests/calibration/plants:\n{}", wrong.join("\n"));
}

/// The api is independent of any protocol.
#[test]
fn the_api_speaks_no_protocol() {
    let mut wrong = Vec::new();
    for word in ["tonic", "prost", "proto::", "http::", "axum"] {
        wrong.extend(mentions("api", word));
    }
    assert!(wrong.is_empty(), "only grpc/ and peers/ speak gRPC:\n{}", wrong.join("\n"));
}

#[test]
fn only_storage_names_the_engine() {
    let wrong: Vec<String> = [
        "raft", "kv", "machine", "replica", "api", "peers", "grpc", "server", "client", "bench", "dev", "cli",
    ]
    .iter()
    .flat_map(|folder| mentions(folder, "sled::"))
    .collect();
    assert!(wrong.is_empty(), "only storage/ may use the engine:\n{}", wrong.join("\n"));
}

#[test]
fn wire_types_stop_at_the_edge() {
    // The load goes without the client library, whose cost would be measured as the server's.
    let is_allowed = |line: &String| line.contains("src/bench/kontiki.rs:");
    let mut wrong: Vec<String> =
        ["raft", "kv", "machine", "storage", "replica", "api", "server", "bench", "dev", "cli"]
            .iter()
            .flat_map(|folder| mentions(folder, "proto::"))
            .collect();
    wrong.retain(|line| !is_allowed(line));
    assert!(
        wrong.is_empty(),
        "protobuf types are named in peers/, grpc/, client/ and bench/kontiki.rs only:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn files_hold_one_thought() {
    let mut long = Vec::new();
    for folder in [
        "raft", "kv", "machine", "storage", "replica", "api", "peers", "grpc", "client", "bench", "dev",
        "cli", "server", "config", "verify",
    ] {
        for (path, text) in sources(folder) {
            let lines = text.lines().count();
            if lines > 600 {
                long.push(format!("{}: {lines} lines", path.display()));
            }
        }
    }
    assert!(long.is_empty(), "split these by role or by noun:\n{}", long.join("\n"));
}
