//! What `kontiki dev` says, as text.

use crate::client::{NodeStatus, Role};
use crate::dev::child::Node;
use crate::dev::directory::Directory;
use crate::dev::observe::{Leader, Picture};
use comfy_table::{Table, presets};
use std::fmt::Display;
use std::io::Write as _;
use std::path::Path;

/// Prints lines. If nobody can read them any more (the terminal is closed, the pipe is broken), the cluster
/// must still be stopped in order: so an error is ignored and nothing panics.
pub fn say(text: impl Display) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// The role that a node reported.
pub fn role(status: Option<&NodeStatus>) -> &'static str {
    match status.map(|status| status.role) {
        None => "no answer",
        Some(Role::PreCandidate) => Role::Candidate.as_str(),
        Some(role) => role.as_str(),
    }
}

pub fn opening(directory: &Directory) -> String {
    let count = directory.marker.nodes;
    let kept = match (directory.temporary, directory.resumed) {
        (true, _) => "temporary, removed at the end",
        (false, true) => "resumed",
        (false, false) => "new, kept",
    };
    let s = if count == 1 { "" } else { "s" };
    format!("Starting {count} node{s}; data and logs in {} ({kept}).", directory.path.display())
}

/// One line per node.
pub fn table(nodes: &[Node], picture: &Picture) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["NODE", "ROLE", "PID", "CLIENTS", "PEERS", "DATA"]);
    for (node, status) in nodes.iter().zip(picture) {
        let (pid, role) = if node.is_alive() {
            (node.pid.to_string(), role(status.as_ref()))
        } else {
            ("-".to_owned(), "ended")
        };
        table.add_row([
            node.plan.name.clone(),
            role.to_owned(),
            pid,
            node.plan.client_url(),
            node.plan.peer_url(),
            node.plan.data_dir.display().to_string(),
        ]);
    }
    table.trim_fmt()
}

/// Who leads and how durable a write is.
pub fn leads(nodes: &[Node], picture: &Picture, leader: &Leader) -> String {
    let durability = picture[leader.place].as_ref().map_or("unknown", |status| status.durability.as_str());
    format!("{} leads (term {}). Durability: {durability}.", nodes[leader.place].plan.name, leader.term)
}

/// What to try next. `program` is the command that runs this program.
pub fn what_next(program: &str, nodes: &[Node], leader: &Leader) -> String {
    let first = &nodes[0].plan;
    let mut lines = vec!["Try, in another terminal:".to_owned()];
    if first.client_port != 2379 {
        let urls: Vec<_> = nodes.iter().map(|node| node.plan.client_url()).collect();
        lines.push(format!("  export KONTIKI_ENDPOINTS={}", urls.join(",")));
    }
    for command in ["put hello world", "get hello", "status"] {
        lines.push(format!("  {program} {command}"));
    }
    let address = format!("localhost:{}", first.client_port);
    lines.push(format!("  grpcurl -plaintext {address} list"));
    let put = r#"'{"key":"a","value":"1"}'"#;
    lines.push(format!("  grpcurl -plaintext -d {put} {address} kontiki.v1.KvService/Put"));
    let leading = &nodes[leader.place];
    let then = if nodes.len() > 1 { "the others elect a new one" } else { "and that was all" };
    lines.push(format!("  kill -9 {:<21} # {}, the leader: {then}", leading.pid, leading.plan.name));
    lines.push("Ctrl-C stops all nodes.".to_owned());
    lines.join("\n")
}

/// The command that runs the program at `exe`: its name if that finds it, else its path.
pub fn call_name(exe: &Path) -> String {
    let Some(name) = exe.file_name() else {
        return exe.display().to_string();
    };
    let found = std::env::var_os("PATH").and_then(|path| {
        std::env::split_paths(&path).map(|dir| dir.join(name)).find(|candidate| candidate.is_file())
    });
    if found.and_then(|path| path.canonicalize().ok()) == exe.canonicalize().ok() {
        return name.to_string_lossy().into_owned();
    }
    let here = std::env::current_dir().ok();
    let relative = here.and_then(|here| exe.strip_prefix(here).ok().map(Path::to_path_buf));
    relative.map_or_else(|| exe.display().to_string(), |path| path.display().to_string())
}

/// The report of a node's unexpected end.
pub fn obituary(
    node: &Node,
    ending: &str,
    tail: &[String],
    restart: &str,
    alive: usize,
    of: usize,
) -> String {
    let mut text = format!("{} (pid {}) {ending}.", node.plan.name, node.pid);
    if tail.is_empty() {
        text += &format!(" Its log {} is empty.", node.plan.log.display());
    } else {
        text += &format!(" The last lines of {}:", node.plan.log.display());
        for line in tail {
            text += &format!("\n    {line}");
        }
    }
    let majority = of / 2 + 1;
    text += &match alive {
        0 => "\nNo node is left.".to_owned(),
        _ if alive >= majority => {
            format!("\n{alive} of {of} nodes are left, a majority: the cluster goes on.")
        }
        _ => format!("\n{alive} of {of} nodes are left, {majority} are needed: no writes until one is back."),
    };
    if alive > 0 {
        text += &format!("\nTo start it again: {restart}");
    }
    text
}
