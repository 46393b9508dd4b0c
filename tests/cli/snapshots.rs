//! Snapshot files: saved only whole, and inspected to the last byte.

use super::kontiki;
use crate::fake::{Fake, Step, refusal};
use bytes::Bytes;
use kontiki::kv::{Delete, KeyRange, Put};
use kontiki::machine::{Command, Machine, MemoryTable};
use kontiki::raft::Members;
use kontiki::storage::SnapshotHeader;
use kontiki::storage::snapshot::encode;
use kontiki::types::{ClusterId, EntryId, NodeId, Revision};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use tonic::Code;

fn snapshot_header() -> SnapshotHeader {
    SnapshotHeader {
        cluster: ClusterId(7),
        last: EntryId::new(3, 40),
        members: Members::of([NodeId(1), NodeId(2), NodeId(3)], [], []),
        revision: Revision(39),
    }
}

fn pieces() -> Vec<Bytes> {
    let records = (0..100).map(|n: u32| Ok((Bytes::copy_from_slice(&n.to_be_bytes()), Bytes::from("value"))));
    encode(&snapshot_header(), records).map(Result::unwrap).collect()
}

#[tokio::test]
async fn a_snapshot_is_saved_checked_and_inspected() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("backup.snapshot").display().to_string();
    let node = Fake::start(vec![]).await;
    node.set_snapshot(pieces());
    let run = kontiki(&node.url, &["snapshot", "save", &file]).await;
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(run.out.starts_with(&format!("OK  {file}  revision 39  ")), "{}", run.out);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
    let json = kontiki("", &["snapshot", "inspect", &file, "-o", "json"]).await.json();
    assert_eq!(json["revision"], 39);
    assert_eq!((json["term"].clone(), json["index"].clone()), (3.into(), 40.into()));
    assert_eq!((json["voters"].clone(), json["records"].clone()), (3.into(), 100.into()));
    // These records are none that a node writes.
    assert_eq!((json["keys"].clone(), json["versions"].clone()), (Value::Null, Value::Null));
    let run = kontiki(&node.url, &["snapshot", "save", &file]).await;
    assert_eq!(run.code, 2);
    assert!(run.err.contains("exists; choose another name, or --force"), "{}", run.err);
    assert_eq!(kontiki(&node.url, &["snapshot", "save", "--force", &file]).await.code, 0);
}

#[tokio::test]
async fn a_snapshot_does_not_go_to_standard_output() {
    let node = Fake::start(vec![]).await;
    node.set_snapshot(pieces());
    let run = kontiki(&node.url, &["snapshot", "save", "-"]).await;
    assert_eq!((run.out.as_str(), run.code), ("", 2));
    assert!(run.err.contains("name a file"), "{}", run.err);
}

#[tokio::test]
async fn the_keys_of_a_real_snapshot_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("backup.snapshot");
    let mut machine = Machine::open(Arc::new(MemoryTable::new())).unwrap();
    let put =
        |key: &'static str| Command::Put(Put { key: key.into(), value: "v".into(), return_previous: false });
    let delete = Command::Delete(Delete { range: KeyRange::key("b"), return_previous: false });
    for (index, command) in [put("a"), put("b"), put("a"), delete, put("c")].into_iter().enumerate() {
        machine.apply(EntryId::new(1, index as u64 + 1), &command.encode()).unwrap();
    }
    let view = machine.commit().unwrap();
    let pieces = encode(&snapshot_header(), view.export().unwrap()).map(Result::unwrap);
    std::fs::write(&file, pieces.collect::<Vec<Bytes>>().concat()).unwrap();
    let path = file.display().to_string();
    let json = kontiki("", &["snapshot", "inspect", &path, "-o", "json"]).await.json();
    assert_eq!((json["keys"].as_u64(), json["versions"].as_u64()), (Some(view.keys()), Some(5)));
    let run = kontiki("", &["snapshot", "inspect", &path]).await;
    assert!(run.out.contains("\nCLUSTER\tREVISION\tKEYS\tVERSIONS\t"), "{}", run.out);
    assert!(run.out.contains("\n7\t39\t2\t5\t"), "{}", run.out);
}

/// What `--force` replaces is a file, and never what only looks like one.
#[tokio::test]
async fn only_a_regular_file_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let node = Fake::start(vec![]).await;
    node.set_snapshot(pieces());
    std::fs::write(path("real"), "old").unwrap();
    std::os::unix::fs::symlink(path("real"), path("link")).unwrap();
    std::os::unix::fs::symlink(path("nowhere"), path("dangling")).unwrap();
    std::fs::create_dir(path("folder")).unwrap();
    let save = async |name: &str| {
        kontiki(&node.url, &["snapshot", "save", "--force", &path(name).display().to_string()]).await
    };
    assert_eq!(save("link").await.code, 0);
    assert!(path("link").symlink_metadata().unwrap().is_symlink());
    assert_ne!(std::fs::read(path("real")).unwrap(), b"old", "the file behind the link is the new one");
    for name in ["dangling", "folder", "/dev/null"] {
        let run = save(name).await;
        assert_eq!(run.code, 2);
        assert!(run.err.contains("is not a regular file"), "{}", run.err);
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 4, "nothing else is left");
}

#[tokio::test]
async fn a_snapshot_can_be_read_by_its_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("backup.snapshot");
    let node = Fake::start(vec![]).await;
    node.set_snapshot(pieces());
    assert_eq!(kontiki(&node.url, &["snapshot", "save", &file.display().to_string()]).await.code, 0);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_stream_that_ends_early_never_becomes_a_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("backup.snapshot");
    let node = Fake::start(vec![]).await;
    let mut cut = pieces();
    cut.pop();
    node.set_snapshot(cut);
    let run = kontiki(&node.url, &["snapshot", "save", &file.display().to_string()]).await;
    assert_eq!(run.code, 1);
    assert!(run.err.contains("cannot trust what was saved"), "{}", run.err);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "not even a part of it");
}

#[tokio::test]
async fn a_refused_snapshot_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let refused = refusal(Code::Internal, "SNAPSHOT_FAILED", "NOT_APPLIED", None);
    let node = Fake::start(vec![Step::Refuse(refused)]).await;
    let file = dir.path().join("backup.snapshot").display().to_string();
    assert_eq!(kontiki(&node.url, &["snapshot", "save", &file]).await.code, 5);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_damaged_file_is_told_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("backup.snapshot");
    let mut bytes = pieces().concat();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let run = kontiki("", &["snapshot", "inspect", &file.display().to_string()]).await;
    assert_eq!(run.code, 1);
    assert!(run.err.contains("the snapshot file is damaged at byte"), "{}", run.err);
}
