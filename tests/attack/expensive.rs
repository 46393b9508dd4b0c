//! Single requests that cost a node much.

use super::arena::Arena;
use super::case::{Case, Limits, Step};
use super::crowd::{At, Crowd, kv};
use super::tally::Tally;
use crate::cluster::harness::{get, put, until};
use futures_util::future::{LocalBoxFuture, join_all};
use kontiki::proto::v1;
use kontiki::proto::v1::maintenance_service_client::MaintenanceServiceClient;
use std::time::Duration;
use tonic::Request;
use v1::{compare, delete_request, range_request, scan_request, txn_op};

/// Keys that the store holds then.
const KEYS: usize = 100_000;
const TIME: Duration = Duration::from_secs(5);
const FEW: Crowd = Crowd { clients: 4, connections: 2, time: TIME };
const SOME: Crowd = Crowd { clients: 32, connections: 4, time: TIME };

/// With a store of some size.
const LOADED: Limits = Limits { slowest_put: Duration::from_millis(500), memory_mib: 512, ..Limits::USUAL };

const fn case(name: &'static str, fault: &'static str, what: &'static str, attack: Step<Tally>) -> Case {
    Case { name, fault, what, prepare: many_keys, attack, limits: LOADED, ..Case::USUAL }
}

fn many_keys(arena: &mut Arena) -> LocalBoxFuture<'_, ()> {
    Box::pin(arena.load(KEYS, key, 10))
}

fn key(number: usize) -> String {
    format!("many/{number:06}")
}

pub const CASES: &[Case] = &[
    Case {
        quick: true,
        ..case("compare-values", "F2", "transactions with 128 compares of all values, and a put", |arena| {
            Box::pin(async {
                refused(txns(arena, FEW, txn(vec![all_values(); 128], vec![put_op("z")])).await)
            })
        })
    },
    case("compare-numbers", "F2", "transactions with 128 compares of all versions, and a put", |arena| {
        let compare = v1::Compare {
            selector: Some(compare::Selector::All(true)),
            target: v1::CompareTarget::Version.into(),
            relation: v1::CompareRelation::Greater.into(),
            operand: Some(compare::Operand::Number(0)),
        };
        Box::pin(async move { refused(txns(arena, FEW, txn(vec![compare; 128], vec![put_op("z")])).await) })
    }),
    case("count-in-transactions", "F2", "transactions that count all keys 127 times, and put", |arena| {
        let count = txn_op::Op::Range(v1::RangeRequest { count_only: true, ..all() });
        let mut ops = vec![v1::TxnOp { op: Some(count) }; 127];
        ops.push(put_op("z"));
        Box::pin(async move { txns(arena, FEW, txn(Vec::new(), ops)).await })
    }),
    case(
        "read-in-transactions",
        "F2",
        "transactions that read a page of everything 127 times, and put",
        |arena| {
            let mut ops = vec![v1::TxnOp { op: Some(txn_op::Op::Range(all())) }; 127];
            ops.push(put_op("z"));
            Box::pin(async move { refused(txns(arena, FEW, txn(Vec::new(), ops)).await) })
        },
    ),
    case(
        "conflicts",
        "F2",
        "transactions with as many puts and deletes in all their branches as may be",
        |arena| Box::pin(async { txns(arena, FEW, conflicts()).await }),
    ),
    case("deep-nesting", "F2", "transactions nested 60 deep, and 20,000 deep", |arena| {
        Box::pin(async {
            let mut tally = txns(arena, FEW, nested(60)).await;
            tally.join(raw_txns(arena, nested_bytes(20_000)).await);
            tally
        })
    }),
    Case {
        quick: true,
        ..case("empty-operations", "F5", "1.5 MB of empty operations in each transaction", |arena| {
            Box::pin(async { refused(raw_txns(arena, [0x12, 0x00].repeat(750_000)).await) })
        })
    },
    case("empty-compares", "F5", "1.5 MB of empty compares in each transaction", |arena| {
        Box::pin(async { refused(raw_txns(arena, [0x0a, 0x00].repeat(750_000)).await) })
    }),
    case(
        "read-only-impatient",
        "F2",
        "16 read-only transactions at a time with 128 compares of all values and 0.5 s",
        |arena| {
            Box::pin(async {
                let question = txn(vec![all_values(); 128], Vec::new());
                let ask = move |channel, _| {
                    let mut request = Request::new(question.clone());
                    request.set_timeout(Duration::from_millis(500));
                    async move { kv(channel).txn(request).await }
                };
                Crowd { clients: 16, ..FEW }.ask(arena, At::Leader, ask).await
            })
        },
    ),
    case("pages", "F7", "32 clients that read pages of 10,000 keys", |arena| {
        Box::pin(async { ranges(arena, v1::RangeRequest { limit: 10_000, ..all() }).await })
    }),
    case("counts", "F2", "32 clients that count all keys", |arena| {
        Box::pin(async { ranges(arena, v1::RangeRequest { count_only: true, ..all() }).await })
    }),
    Case {
        prepare: |arena| Box::pin(tombstones(arena)),
        ..case("tombstones", "F7", "32 clients that read the first key after 100,000 deleted ones", |arena| {
            Box::pin(async { ranges(arena, v1::RangeRequest { limit: 1, ..all() }).await })
        })
    },
    Case {
        prepare: |arena| Box::pin(tombstones(arena)),
        ..case("tombstones-local", "F7", "the same, locally", |arena| {
            let local = v1::ReadLevel::Local.into();
            Box::pin(
                async move { ranges(arena, v1::RangeRequest { limit: 1, read_level: local, ..all() }).await },
            )
        })
    },
    case("delete-everything", "F2", "32 clients that delete all of 100,000 keys in one request", |arena| {
        Box::pin(async {
            let ask = |channel, _| async move {
                let selector = Some(delete_request::Selector::All(true));
                kv(channel).delete(v1::DeleteRequest { selector, ..Default::default() }).await
            };
            SOME.ask(arena, At::Everywhere, ask).await
        })
    }),
    case("hashes", "F2", "32 clients that have the whole state hashed, everywhere", |arena| {
        Box::pin(async {
            let ask = |channel, _| async move {
                MaintenanceServiceClient::new(channel).hash(v1::HashRequest::default()).await
            };
            SOME.ask(arena, At::Everywhere, ask).await
        })
    }),
    case("snapshots", "F6", "32 clients that take snapshots, everywhere", |arena| {
        Box::pin(async {
            let ask = |channel, _| async move {
                let mut client = MaintenanceServiceClient::new(channel);
                let mut stream = client.snapshot(v1::SnapshotRequest::default()).await?.into_inner();
                while stream.message().await?.is_some() {}
                Ok(())
            };
            SOME.ask(arena, At::Everywhere, ask).await
        })
    }),
    case("scans", "F6", "32 clients that scan everything, everywhere", |arena| {
        Box::pin(async {
            let ask = |channel, _| async move {
                let selector = Some(scan_request::Selector::All(true));
                let request = v1::ScanRequest { selector, ..Default::default() };
                let mut stream = kv(channel).scan(request).await?.into_inner();
                while stream.message().await?.is_some() {}
                Ok(())
            };
            SOME.ask(arena, At::Everywhere, ask).await
        })
    }),
    case("compactions", "F12", "32 clients that compact at the newest revision, over and over", |arena| {
        Box::pin(async {
            let ask = |channel, _| async move {
                let mut client = kv(channel);
                let newest = client.get(get("k", v1::ReadLevel::Local)).await?.into_inner();
                let revision = newest.header.unwrap().revision;
                client.compact(v1::CompactRequest { revision }).await
            };
            SOME.ask(arena, At::Everywhere, ask).await
        })
    }),
    case("forged-page-tokens", "F7", "32 clients that make page tokens up", |arena| {
        Box::pin(async {
            let ask = |channel, number: usize| async move {
                let page_token: String =
                    std::iter::repeat_with(fastrand::alphanumeric).take(number * 4).collect();
                let request = v1::RangeRequest { page_token, limit: 10, ..all() };
                kv(channel).range(request).await
            };
            SOME.ask(arena, At::Everywhere, ask).await
        })
    }),
    Case {
        prepare: |arena| Box::pin(arena.load(100, |number| format!("large/{number}"), 1_300_000)),
        limits: Limits {
            memory_mib: 900,
            slowest_put: Duration::from_millis(1_500),
            refused: usize::MAX,
            ..LOADED
        },
        ..case(
            "large-previous-values",
            "F6",
            "32 clients that replace values of 1.3 MB and want the old ones",
            |arena| {
                let value = "y".repeat(1_300_000);
                Box::pin(async move {
                    let ask = move |channel, number: usize| {
                        let request = v1::PutRequest {
                            return_previous: true,
                            ..put(&format!("large/{number}"), &value)
                        };
                        async move { kv(channel).put(request).await }
                    };
                    SOME.ask(arena, At::Leader, ask).await
                })
            },
        )
    },
    Case {
        prepare: |arena| Box::pin(versions(arena)),
        ..case(
            "many-versions",
            "F7",
            "32 clients that read old revisions of a key with 20,000 versions",
            |arena| {
                Box::pin(async {
                    let ask = |channel, _| async move {
                        let revision = fastrand::i64(2..20_000);
                        let request = v1::GetRequest { revision, ..get("versions", v1::ReadLevel::Local) };
                        kv(channel).get(request).await
                    };
                    SOME.ask(arena, At::Everywhere, ask).await
                })
            },
        )
    },
];

pub fn all() -> v1::RangeRequest {
    v1::RangeRequest { selector: Some(range_request::Selector::All(true)), ..Default::default() }
}

pub fn put_op(key: &str) -> v1::TxnOp {
    v1::TxnOp { op: Some(txn_op::Op::Put(put(key, "v"))) }
}

pub fn txn(compares: Vec<v1::Compare>, success: Vec<v1::TxnOp>) -> v1::TxnRequest {
    v1::TxnRequest { compares, success, ..Default::default() }
}

/// That no key has a value which none has: all of them must be looked at.
pub fn all_values() -> v1::Compare {
    v1::Compare {
        selector: Some(compare::Selector::All(true)),
        target: v1::CompareTarget::Value.into(),
        relation: v1::CompareRelation::NotEqual.into(),
        operand: Some(compare::Operand::Value("x".into())),
    }
}

/// In both branches of a transaction, and of one inside it: as many operations as a request may have.
fn conflicts() -> v1::TxnRequest {
    let delete = |number: usize| {
        let selector = Some(delete_request::Selector::Key(format!("d/{number}")));
        v1::TxnOp { op: Some(txn_op::Op::Delete(v1::DeleteRequest { selector, ..Default::default() })) }
    };
    let half = |first: usize| {
        let puts = (first..first + 30).map(|number| put_op(&format!("p/{number}")));
        puts.chain((first..first + 30).map(delete)).collect::<Vec<_>>()
    };
    let inner = v1::TxnRequest { success: half(0), failure: half(0), ..Default::default() };
    let mut success = half(100);
    success.push(v1::TxnOp { op: Some(txn_op::Op::Txn(inner)) });
    v1::TxnRequest { success, failure: half(100), ..Default::default() }
}

fn nested(depth: usize) -> v1::TxnRequest {
    (0..depth).fold(txn(Vec::new(), vec![put_op("z")]), |inner, _| {
        txn(Vec::new(), vec![v1::TxnOp { op: Some(txn_op::Op::Txn(inner)) }])
    })
}

/// The same, in its encoding, made without recursion: what a library would not send.
fn nested_bytes(depth: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..depth {
        for tag in [0x2a_u8, 0x12] {
            let mut outer = vec![tag];
            prost::encoding::encode_varint(bytes.len() as u64, &mut outer);
            // Prepending is quadratic, so the bytes are kept the other way round.
            outer.reverse();
            bytes.extend(outer);
        }
    }
    bytes.reverse();
    bytes
}

async fn txns(arena: &Arena, crowd: Crowd, txn: v1::TxnRequest) -> Tally {
    let ask = move |channel, _| {
        let txn = txn.clone();
        async move { kv(channel).txn(txn).await }
    };
    crowd.ask(arena, At::Everywhere, ask).await
}

/// Transactions in their encoding.
async fn raw_txns(arena: &Arena, message: Vec<u8>) -> Tally {
    let message = bytes::Bytes::from(message);
    let ask = move |channel, _| {
        let message = message.clone();
        async move { super::encoded::call(channel, "KvService/Txn", message).await }
    };
    FEW.ask(arena, At::Everywhere, ask).await
}

async fn ranges(arena: &Arena, range: v1::RangeRequest) -> Tally {
    let ask = move |channel, _| {
        let range = range.clone();
        async move { kv(channel).range(range).await }
    };
    SOME.ask(arena, At::Everywhere, ask).await
}

async fn tombstones(arena: &mut Arena) {
    arena.load(KEYS, key, 10).await;
    let kv = arena.leader().kv();
    for hundred in 0..KEYS / 1_000 {
        let prefix = format!("many/{hundred:03}");
        let selector = Some(delete_request::Selector::Prefix(prefix));
        let request = v1::DeleteRequest { selector, ..Default::default() };
        until("a part is deleted", || async { kv.clone().delete(request.clone()).await.ok() }).await;
    }
}

/// 20,000 versions of one key.
async fn versions(arena: &mut Arena) {
    let kv = arena.leader().kv();
    let writers = (0..100).map(|_| async {
        for _ in 0..200 {
            kv.clone().put(put("versions", "v")).await.unwrap();
        }
    });
    join_all(writers).await;
}

/// None of them was done.
fn refused(tally: Tally) -> Tally {
    assert_eq!(tally.count("ok"), 0, "some were done: {tally}");
    assert!(tally.total() > 0, "nothing was tried");
    tally
}
