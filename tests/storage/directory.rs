//! The identity of a data directory, and what is refused.

use crate::storage::{append, names, open, options, refusal};
use kontiki::storage::{OpenError, Options, Seen, Unfinished, open as open_storage, watched};
use kontiki::types::{ClusterId, DirectoryId, NodeId};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

#[test]
fn a_new_directory_is_made_private_and_keeps_its_identity() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("a/b");
    let first = open(&dir).identity.identity().clone();
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    assert_ne!(first.directory.get(), 0);
    assert_eq!(names(&dir), ["CURRENT", "identity", "journal", "lock", "peers", "raft", "state-000001"]);
    assert_eq!(*open(&dir).identity.identity(), first);
}

#[test]
fn introduced_is_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let mut storage = open(dir.path());
    assert!(!storage.identity.identity().introduced);
    storage.identity.mark_introduced().unwrap();
    drop(storage);
    assert!(open(dir.path()).identity.identity().introduced);
}

#[test]
fn the_first_directory_of_a_peer_is_remembered_and_another_one_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let (peer, first, other) = (NodeId(u64::MAX), DirectoryId(11), DirectoryId(u64::MAX));
    assert_eq!(open(dir.path()).peers.remember(peer, first).unwrap(), Seen::New);
    let mut storage = open(dir.path());
    assert_eq!(storage.peers.remember(peer, first).unwrap(), Seen::Same);
    assert_eq!(storage.peers.remember(peer, other).unwrap(), Seen::Different { known: first });
    assert_eq!(storage.peers.remember(peer, first).unwrap(), Seen::Same, "the first one stays");
    assert_eq!(storage.peers.remember(NodeId(3), other).unwrap(), Seen::New);
}

#[test]
fn files_of_somebody_else_are_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.tex"), "years of work").unwrap();
    let message = refusal(&options(dir.path()));
    assert!(
        message.contains("not a data directory of Kontiki") && message.contains("thesis.tex"),
        "{message}"
    );
    assert_eq!(names(dir.path()), ["thesis.tex"]);
}

#[test]
fn another_cluster_or_node_is_refused_with_both_named() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let mut cluster = options(dir.path());
    (cluster.cluster, cluster.cluster_token) = (ClusterId(8), "production".into());
    let message = refusal(&cluster);
    assert!(
        message.contains("cluster 7 (token \"test\")") && message.contains("the token \"production\""),
        "{message}"
    );

    let mut node = options(dir.path());
    (node.node, node.name) = (NodeId(2), "n2".into());
    let message = refusal(&node);
    assert!(message.contains("node 1 (\"n1\")") && message.contains("2 (\"n2\")"), "{message}");
}

/// A list of members as it may be edited: it makes another cluster of a new directory.
fn edited(dir: &std::path::Path) -> Options {
    let founders = [(NodeId(1), "n1".to_owned()), (NodeId(2), "n2".to_owned())].into();
    Options { cluster: ClusterId(8), founders, ..options(dir) }
}

#[test]
fn a_directory_that_took_part_says_itself_which_cluster_it_is_of() {
    let dir = tempfile::tempdir().unwrap();
    let mut storage = open(dir.path());
    storage.identity.mark_introduced().unwrap();
    storage.log.write(&[append(1, 1..=3)]).unwrap();
    let founded = storage.identity.identity().clone();
    drop(storage);
    let storage = open_storage(&edited(dir.path())).unwrap();
    assert_eq!(*storage.identity.identity(), founded);
    assert_eq!(storage.restored.entries.len(), 3);
}

#[test]
fn a_mistyped_list_is_put_right_before_anybody_has_heard_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let mistyped = open(dir.path()).identity.identity().clone();
    let corrected = edited(dir.path());
    for _ in 0..2 {
        let storage = open_storage(&corrected).unwrap();
        let identity = storage.identity.identity();
        assert_eq!((identity.cluster, &identity.founders), (corrected.cluster, &corrected.founders));
        assert_eq!(identity.directory, mistyped.directory, "whoever has seen it knows it again");
    }
}

#[test]
fn another_format_is_refused_before_it_is_understood() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    // It belongs to another program, so it stays as it is.
    fs::write(dir.path().join("lock"), "what the other program wrote").unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o750)).unwrap();
    for (found, expected) in [(10, "up to format 9"), (8, "no format older than 9")] {
        let identity = format!("{{\"format_version\": {found}, \"what\": \"unknown\"}}\n");
        seal(&dir.path().join("identity"), &identity);
        let message = refusal(&options(dir.path()));
        assert!(message.contains(&format!("format {found}")) && message.contains(expected), "{message}");
    }
    assert_eq!(fs::read_to_string(dir.path().join("lock")).unwrap(), "what the other program wrote");
    assert_eq!(fs::metadata(dir.path()).unwrap().permissions().mode() & 0o777, 0o750);
}

#[test]
fn the_record_of_the_peers_is_neither_forgotten_nor_taken_from_another_directory() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    drop((open(dir.path()), open(other.path())));
    let path = dir.path().join("peers");
    fs::copy(other.path().join("peers"), &path).unwrap();
    let message = refusal(&options(dir.path()));
    assert!(message.contains("peers is damaged") && message.contains("it belongs to directory"), "{message}");
    fs::remove_file(&path).unwrap();
    assert_eq!(open_storage(&options(dir.path())).unwrap_err(), OpenError::Missing { path });
}

#[test]
fn a_damaged_identity_is_named() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let path = dir.path().join("identity");
    let text = fs::read_to_string(&path).unwrap().replace("\"n1\"", "\"n3\"");
    fs::write(&path, text).unwrap();
    let message = refusal(&options(dir.path()));
    assert!(message.contains("identity is damaged"), "{message}");
}

#[test]
fn a_second_user_is_refused_and_told_who_the_first_is() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path());
    let message = refusal(&options(dir.path()));
    assert!(message.contains(&format!("process {}", std::process::id())), "{message}");
    drop(first);
    open(dir.path());
}

#[test]
fn a_log_that_is_gone_is_never_replaced_by_an_empty_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut storage = open(dir.path());
    storage.log.write(&[append(1, 1..=3)]).unwrap();
    drop(storage);
    fs::remove_dir_all(dir.path().join("raft")).unwrap();
    let error = open_storage(&options(dir.path())).unwrap_err();
    assert_eq!(error, OpenError::Missing { path: dir.path().join("raft/db") });
    assert!(error.to_string().contains("docs/operations.md"), "{error}");
}

#[test]
fn a_crash_while_the_directory_is_made_is_made_good() {
    let dir = tempfile::tempdir().unwrap();
    let directory = open(dir.path()).identity.identity().directory;
    let path = dir.path().join("identity");
    let text = fs::read_to_string(&path).unwrap().replace("\"complete\": true", "\"complete\": false");
    seal(&path, text.split("crc32c").next().unwrap());
    fs::remove_dir_all(dir.path().join("raft/blobs")).unwrap();
    fs::remove_file(dir.path().join("CURRENT")).unwrap();
    let storage = open(dir.path());
    assert_eq!(storage.identity.identity().directory, directory);
    assert_eq!(storage.restored, Default::default());
}

#[test]
fn a_watched_call_that_hangs_or_panics_is_told() {
    let hung = watched("test", Duration::from_millis(20), || std::thread::sleep(Duration::from_secs(2)));
    assert_eq!(hung, Err(Unfinished::Hung(Duration::from_millis(20))));
    let panicked = watched("test", Duration::from_secs(5), || assert_eq!(1, 2, "sums differ"));
    assert!(
        matches!(&panicked, Err(Unfinished::Panicked(why)) if why.contains("sums differ")),
        "{panicked:?}"
    );
}

/// Writes a file with the checksum line that belongs to it.
fn seal(path: &std::path::Path, text: &str) {
    fs::write(path, format!("{text}crc32c {:08x}\n", crc32c::crc32c(text.as_bytes()))).unwrap();
}
