//! A data directory that belongs to somebody else, as the root of a volume does.

use super::harness::free_ports;
use std::fs::Permissions;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// The image's user, to whom nothing belongs here.
const NOBODY: u32 = 65532;

/// What a node says until it has started.
fn start_as_nobody(dir: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kontiki"));
    command.args(["serve", "--data-dir"]).arg(dir).uid(NOBODY).gid(NOBODY);
    for (flag, port) in ["--listen-client", "--listen-peer"].iter().zip(free_ports(2)) {
        command.args([*flag, &format!("127.0.0.1:{port}")]);
    }
    let mut node = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    let mut lines = BufReader::new(node.stderr.take().unwrap());
    while !said.contains("\"started\"") && lines.read_line(&mut said).unwrap() > 0 {}
    node.kill().unwrap();
    node.wait().unwrap();
    said
}

#[test]
fn a_node_starts_on_a_volume_whose_root_belongs_to_somebody_else() {
    if !rustix::process::geteuid().is_root() {
        assert!(std::env::var_os("KONTIKI_TEST_ALL").is_none(), "needs root, to give a directory away");
        return;
    }
    let parent = tempfile::tempdir().unwrap();
    std::fs::set_permissions(parent.path(), Permissions::from_mode(0o755)).unwrap();
    // With `fsGroup` of Kubernetes, and of a hostPath.
    for (mode, expected) in
        [(0o2775, "keeps its mode 2775"), (0o777, "lets every user of this machine remove")]
    {
        let dir = parent.path().join(format!("{mode:o}"));
        std::fs::create_dir(&dir).unwrap();
        chown(&dir, Some(0), Some(NOBODY)).unwrap();
        std::fs::set_permissions(&dir, Permissions::from_mode(mode)).unwrap();
        let said = start_as_nobody(&dir);
        assert!(said.contains("\"started\""), "{said}");
        assert!(said.contains(expected), "{said}");
        for part in ["journal", "raft", "state-000001"] {
            let mode = std::fs::metadata(dir.join(part)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700, "{part} is private although the root is not");
        }
    }
}
