//! A replica with its real threads meets an entry that its program does not know: it ends, and says what to do.

use crate::sim::disk::{DiskOptions, Opened, SimDisk};
use crate::sim::server::CLUSTER;
use crate::sim::wire::Outbox;
use bytes::Bytes;
use kontiki::kv::Put;
use kontiki::machine::Command;
use kontiki::raft::{Members, RoleName};
use kontiki::replica::{Fatal, Handle, ReplicaOptions, Retention, Start, WriteError, start};
use kontiki::settings::Timing;
use kontiki::types::{EntryId, NodeId};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const NODE: NodeId = NodeId(1);

/// The only member of a cluster.
fn begin(disk: &SimDisk) -> (Handle, Fatal) {
    let Opened { log, storer, restored, states, .. } = disk.open(CLUSTER).unwrap();
    let fatal = Fatal::default();
    let parts = Start {
        cluster: CLUSTER,
        node: NODE,
        founders: Members::of([NODE], [], []),
        options: ReplicaOptions::new(&Timing::fast(), Retention::default()),
        seed: 1,
        log,
        storer,
        restored,
        states,
        transport: Arc::new(Outbox::default()),
        fatal: fatal.clone(),
    };
    (start(parts).unwrap(), fatal)
}

fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

#[tokio::test]
async fn an_entry_of_an_unknown_kind_ends_the_node_at_every_start() {
    let disk = SimDisk::new(1, DiskOptions::default());
    disk.format().unwrap();
    let (handle, fatal) = begin(&disk);
    handle.watch_status().wait_for(|status| status.role == RoleName::Leader).await.unwrap();
    let (key, value) = (Bytes::from_static(b"k"), Bytes::from_static(b"v"));
    let known = Command::Put(Put { key, value, return_previous: false }).encode();
    let before = handle.write(known.clone(), deadline()).await.unwrap().id;

    let forged = handle.write(Bytes::from_static(b"\x63\x01k"), deadline()).await;
    assert!(matches!(forged, Err(WriteError::Unknown(_))), "{forged:?}");
    let reason = fatal.wait().await.to_string();
    let entry = EntryId { index: before.index.next(), ..before };
    let entry = format!("entry {entry} holds a command of kind 99");
    for part in ["the state cannot be kept", &entry, "cluster versions up to 1", "start it with that program"]
    {
        assert!(reason.contains(part), "{reason}");
    }
    assert!(!reason.contains("start the node again"), "that would not help: {reason}");
    let behind = handle.write(known, deadline()).await;
    assert!(behind.is_err(), "nothing is applied behind it: {behind:?}");
    assert_eq!(handle.view().applied(), before);
    handle.stop().await;
    disk.kill();

    let (handle, fatal) = begin(&disk);
    assert_eq!(fatal.wait().await.to_string(), reason, "the entry is in the log, and met again");
    assert!(handle.view().applied() <= before);
    handle.stop().await;
}
