//! What clients are served, on any node.

use super::harness::{Cluster, get, put, text, until};
use kontiki::proto::v1;
use tonic_types::StatusExt;

#[tokio::test(flavor = "multi_thread")]
async fn any_node_takes_writes_and_linearizable_reads() {
    let cluster = Cluster::start().await;
    let leader = cluster.nodes[cluster.leader().await].name.clone();
    for (number, writer) in cluster.nodes.iter().enumerate() {
        let value = format!("from {}", writer.name);
        let answer = writer.kv().put(put("k", &value)).await.unwrap().into_inner();
        let header = answer.header.unwrap();
        assert_eq!(header.served_by, leader, "a write is served by the leader, whoever was asked");
        assert_eq!(header.revision, 2 + i64::try_from(number).unwrap());
        for reader in &cluster.nodes {
            let answer = reader.kv().get(get("k", v1::ReadLevel::Linearizable)).await.unwrap().into_inner();
            assert_eq!(text(answer.kv), Some(value.clone()), "{} reads the past", reader.name);
            assert_eq!(answer.header.unwrap().served_by, reader.name, "a read is served where it is asked");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_say_why_and_change_nothing() {
    let cluster = Cluster::start().await;
    let follower = cluster.other_than(cluster.leader().await);
    let mut kv = cluster.nodes[follower].kv();
    kv.put(put("k", "v")).await.unwrap();
    let cases = [
        (put("", "v"), tonic::Code::InvalidArgument),
        (put(&"k".repeat(9000), "v"), tonic::Code::InvalidArgument),
        (put("k", &"v".repeat(2 << 20)), tonic::Code::InvalidArgument),
    ];
    for (request, code) in cases {
        let refused = kv.put(request).await.unwrap_err();
        assert_eq!(refused.code(), code, "{refused:?}");
        let info = refused.get_details_error_info().expect("every error carries an ErrorInfo");
        assert_eq!(info.domain, "kontiki");
        assert_eq!(info.metadata.get("outcome").map(String::as_str), Some("NOT_APPLIED"), "{info:?}");
    }
    let future = v1::GetRequest { revision: 99, ..get("k", v1::ReadLevel::Local) };
    let refused = kv.get(future).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::OutOfRange);
    let answer = kv.get(get("k", v1::ReadLevel::Linearizable)).await.unwrap().into_inner();
    assert_eq!(answer.header.unwrap().revision, 2, "a refused request made a revision");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_on_a_follower_is_atomic_and_conditional() {
    use v1::txn_op::Op;
    let cluster = Cluster::start().await;
    let follower = cluster.other_than(cluster.leader().await);
    let mut kv = cluster.nodes[follower].kv();
    let create = v1::TxnRequest {
        compares: vec![v1::Compare {
            selector: Some(v1::compare::Selector::Key("lock".into())),
            target: v1::CompareTarget::ModRevision.into(),
            relation: v1::CompareRelation::Equal.into(),
            operand: Some(v1::compare::Operand::Number(0)),
        }],
        success: vec![
            v1::TxnOp { op: Some(Op::Put(put("lock", "mine"))) },
            v1::TxnOp { op: Some(Op::Put(put("other", "too"))) },
        ],
        failure: vec![v1::TxnOp { op: Some(Op::Get(get("lock", v1::ReadLevel::Unspecified))) }],
    };
    let first = kv.txn(create.clone()).await.unwrap().into_inner();
    assert!(first.succeeded);
    assert_eq!(first.header.unwrap().revision, 2, "two puts at one revision");
    let second = kv.txn(create).await.unwrap().into_inner();
    assert!(!second.succeeded, "the key exists");
    assert_eq!(second.results.len(), 1);
    assert_eq!(second.header.unwrap().revision, 2, "nothing was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_readable_until_it_is_compacted_everywhere() {
    let cluster = Cluster::start().await;
    let leader = cluster.leader().await;
    let mut kv = cluster.nodes[leader].kv();
    for value in ["one", "two", "three"] {
        kv.put(put("k", value)).await.unwrap();
    }
    let past = v1::GetRequest { revision: 2, ..get("k", v1::ReadLevel::Linearizable) };
    for node in &cluster.nodes {
        let answer = node.kv().get(past.clone()).await.unwrap().into_inner();
        assert_eq!(text(answer.kv).as_deref(), Some("one"));
    }
    kv.compact(v1::CompactRequest { revision: 4 }).await.unwrap();
    for node in &cluster.nodes {
        until("the past is refused", || async {
            let refused = node.kv().get(past.clone()).await.err()?;
            assert_eq!(refused.code(), tonic::Code::OutOfRange, "{refused:?}");
            Some(())
        })
        .await;
    }
    cluster.assert_equal_states().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_moves_on_request() {
    let cluster = Cluster::start().await;
    let old = cluster.leader().await;
    let target = cluster.other_than(old);
    // Asked of a node that does not lead: it passes the request on.
    let asked = (0..3).find(|place| *place != old && *place != target).unwrap();
    // A leader that was just elected may not have heard of the target yet.
    let answer = until("the target can take over", || async {
        let request = v1::TransferLeadershipRequest { to: cluster.nodes[target].name.clone() };
        Some(cluster.nodes[asked].cluster().transfer_leadership(request).await.ok()?.into_inner())
    })
    .await;
    assert_eq!(answer.leader_name, cluster.nodes[target].name);
    assert_eq!(cluster.leader_other_than(Some(old)).await, target);
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_stays_where_it_is_if_the_target_is_down() {
    let mut cluster = Cluster::start().await;
    let dead = cluster.other_than(cluster.leader().await);
    cluster.nodes[dead].kill();
    let leader = cluster.leader().await;
    let (dead, leader_name) = (cluster.nodes[dead].name.clone(), cluster.nodes[leader].name.clone());
    for asked in [leader, cluster.other_than(leader)] {
        let refused = loop {
            let request = v1::TransferLeadershipRequest { to: dead.clone() };
            let refused = cluster.nodes[asked].cluster().transfer_leadership(request).await.unwrap_err();
            // Until the leader has noticed.
            if refused.get_details_error_info().unwrap().reason != "TRANSFER_TIMED_OUT" {
                break refused;
            }
        };
        let info = refused.get_details_error_info().unwrap();
        assert_eq!((&*info.reason, &*info.metadata["outcome"]), ("TRANSFER_TARGET_AWAY", "NOT_APPLIED"));
        // Its URL follows once it has advertised it.
        assert_eq!(info.metadata["leader_name"], leader_name);
        assert!(refused.message().contains(&format!("{dead} does not follow {leader_name}")), "{refused:?}");
        assert!(refused.message().contains(&format!("leadership stays with {leader_name}")), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_cluster_is_seen_from_any_node() {
    let mut cluster = Cluster::start().await;
    let dead = cluster.other_than(cluster.leader().await);
    cluster.nodes[dead].kill();
    let leader = cluster.leader().await;
    let status =
        cluster.nodes[leader].cluster().status(v1::StatusRequest::default()).await.unwrap().into_inner();
    assert_eq!(status.nodes.len(), 3);
    for node in status.nodes {
        let name = node.member.unwrap().name;
        assert_eq!(node.error.is_empty(), name != cluster.nodes[dead].name, "{name}: {:?}", node.error);
    }
    assert_eq!(status.limits.unwrap().key_bytes, 8192);
}

/// More keys than one change may remove go part by part.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_delete_is_done_in_parts_if_that_is_asked_for() {
    let cluster = Cluster::start().await;
    let node = &cluster.nodes[cluster.leader().await];
    let limit = 16_384;
    for first in (0..=limit).step_by(100) {
        let op = |number| v1::TxnOp { op: Some(v1::txn_op::Op::Put(put(&format!("k/{number}"), "v"))) };
        let success = (first..first + 100).map(op).collect();
        node.kv().txn(v1::TxnRequest { success, ..Default::default() }).await.unwrap();
    }
    node.kv().put(put("other", "v")).await.unwrap();
    let delete = |arguments: &'static [&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_kontiki"));
        command.args(["--endpoints", &node.client_url(), "delete", "--prefix", "k/"]).args(arguments);
        command.output().unwrap()
    };
    let refused = delete(&[]);
    assert_eq!(refused.status.code(), Some(5));
    let words = String::from_utf8_lossy(&refused.stderr);
    assert!(words.contains("TOO_MANY_CHANGES") && words.contains("--in-parts"), "{words}");
    let done = delete(&["--in-parts"]);
    assert!(String::from_utf8_lossy(&done.stdout).contains("16400 keys removed"), "{done:?}");
    let level = v1::ReadLevel::Linearizable;
    assert_eq!(node.kv().get(get("k/7", level)).await.unwrap().into_inner().kv, None);
    assert!(node.kv().get(get("other", level)).await.unwrap().into_inner().kv.is_some());
}
