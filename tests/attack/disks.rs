//! Disks that are slow, hang or have no room.

use super::arena::Arena;
use super::case::{Case, Disks, Ground, Limits, Step};
use super::crowd::{At, Crowd, kv};
use super::innocent;
use super::tally::Tally;
use crate::cluster::harness::{put, until};
use crate::faults::disk::Disk;
use kontiki::proto::v1;
use std::time::Duration;
use tonic::Request;
use tonic::transport::Channel;
use v1::delete_request;

const TIME: Duration = Duration::from_secs(4);
const CROWD: Crowd = Crowd { clients: 16, connections: 4, time: TIME };
const MIB: u64 = 1 << 20;
/// Less than half of the reserve of 64 MiB: a follower takes no entries.
const TOO_LITTLE: u64 = 20 * MIB;
/// A little more than the reserve.
const SCARCE: u64 = 80 * MIB;

/// Innocent puts need a majority, and no others.
const ON_DISKS: Limits =
    Limits { slowest_put: Duration::from_millis(900), recovery: Duration::from_secs(10), ..Limits::USUAL };

const fn case(name: &'static str, fault: &'static str, what: &'static str, attack: Step<Tally>) -> Case {
    let ground = Ground { disks: Disks::Faulty, ..Ground::USUAL };
    Case { name, fault, what, ground, attack, limits: ON_DISKS, ..Case::USUAL }
}

pub const CASES: &[Case] = &[
    case("slow-disk-of-a-follower", "F9", "a follower's writes take 300 ms while 16 clients put", |arena| {
        Box::pin(async {
            let disk = arena.follower;
            troubled(arena, disk, |disk| disk.slow(Duration::from_millis(300))).await
        })
    }),
    case("hanging-disk-of-a-follower", "F9", "a follower's fsyncs hang while 16 clients put", |arena| {
        Box::pin(async {
            let disk = arena.follower;
            troubled(arena, disk, |disk| disk.hang_fsyncs(true)).await
        })
    }),
    case("full-disk-of-a-follower", "F20", "a follower has no room while 16 clients put", |arena| {
        Box::pin(async {
            let disk = arena.follower;
            troubled(arena, disk, |disk| disk.leave_free(Some(TOO_LITTLE))).await
        })
    }),
    Case {
        limits: Limits { slowest_put: Duration::from_millis(1_200), ..ON_DISKS },
        ..case(
            "slow-disk-of-the-leader",
            "F10",
            "the leader's writes take 50 ms while 16 clients put",
            |arena| {
                Box::pin(async {
                    let disk = arena.leader;
                    troubled(arena, disk, |disk| disk.slow(Duration::from_millis(50))).await
                })
            },
        )
    },
    Case {
        limits: Limits { elections: 2, ..ON_DISKS },
        ..case("hanging-disk-of-the-leader", "F10", "the leader's fsyncs hang until another leads", |arena| {
            Box::pin(hanging_leader(arena))
        })
    },
    Case {
        // They are refused as long as there is no room.
        limits: Limits {
            refused: usize::MAX,
            memory_mib: 300,
            recovery: Duration::from_secs(20),
            ..ON_DISKS
        },
        ..case(
            "disks-without-room",
            "F13",
            "8 clients put 1 MiB each where all disks are nearly full",
            |arena| Box::pin(without_room(arena)),
        )
    },
];

/// A crowd puts while one disk is in trouble. All that it asks must be done.
async fn troubled(arena: &mut Arena, disk: usize, trouble: fn(&Disk)) -> Tally {
    trouble(&arena.disks[disk]);
    let tally = CROWD.ask(arena, At::Leader, |channel, number| put_one(channel, number, 100)).await;
    arena.disks[disk].heal();
    assert_eq!(tally.count("ok"), tally.total(), "a majority did not suffice: {tally}");
    tally
}

/// The outcome of a put that the leader cannot finish would be in doubt. So the innocents rest, and this one puts.
async fn hanging_leader(arena: &mut Arena) -> Tally {
    let _rest = innocent::rest();
    tokio::time::sleep(Duration::from_millis(200)).await;
    arena.disks[arena.leader].hang_fsyncs(true);
    let other = &arena.cluster.nodes[arena.follower];
    until("another node serves", || async {
        let mut request = Request::new(put("new", "v"));
        request.set_timeout(Duration::from_secs(1));
        other.kv().put(request).await.ok()
    })
    .await;
    let new = arena.cluster.leader_other_than(Some(arena.leader)).await;
    arena.disks[arena.leader].heal();
    arena.leader().ready().await;
    Tally::one(format!("led by {}", arena.cluster.nodes[new].name))
}

async fn put_one(channel: Channel, number: usize, bytes: usize) -> Result<(), tonic::Status> {
    let mut request = Request::new(put(&format!("crowd/{number}"), &"x".repeat(bytes)));
    request.set_timeout(Duration::from_secs(10));
    kv(channel).put(request).await.map(drop)
}

/// Until there is no room; then deletes what was put, which is the way out.
async fn without_room(arena: &mut Arena) -> Tally {
    arena.disks.iter().for_each(|disk| disk.leave_free(Some(SCARCE)));
    let crowd = Crowd { clients: 8, ..CROWD };
    let tally = crowd.ask(arena, At::Leader, |channel, number| put_one(channel, number, 1 << 20)).await;
    assert!(tally.count("NO_SPACE") > 0, "there was room: {tally}");
    let expected = ["ok", "NO_SPACE", "OVERLOADED"].map(|outcome| tally.count(outcome)).iter().sum::<u64>();
    assert_eq!(expected, tally.total(), "not all were refused as they should be: {tally}");
    make_room(arena).await;
    arena.disks.iter().for_each(|disk| disk.leave_free(None));
    tally
}

/// Deletes what the crowd has put, and all history.
async fn make_room(arena: &Arena) {
    let prefix = Some(delete_request::Selector::Prefix("crowd/".to_owned()));
    let delete = v1::DeleteRequest { selector: prefix, ..Default::default() };
    let deleted = arena.leader().kv().delete(delete).await;
    let revision = deleted.expect("deletes are the way out").into_inner().header.unwrap().revision;
    let compact = v1::CompactRequest { revision };
    until("history is compacted", || async { arena.leader().kv().compact(compact).await.ok() }).await;
}
