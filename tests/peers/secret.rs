//! With a secret, nothing is said on a connection before both ends have proven that they know it.

use crate::peers::node::{Heard, Node, Plan, heartbeat};
use kontiki::peers::secret::ClusterSecret;
use kontiki::proto::raft as pb;
use kontiki::types::NodeId;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

fn secret(text: &str) -> Option<ClusterSecret> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, text).unwrap();
    Some(ClusterSecret::read(file.path()).unwrap())
}

fn plan() -> Plan {
    let mut plan = Plan::of(2);
    plan.settings.cluster_secret = secret("the secret of this cluster");
    plan
}

/// Unary calls, the append stream and the stream of questions alike.
#[test]
fn nodes_with_the_same_secret_speak_as_ever() {
    let plan = plan();
    let (one, two) = (Node::started(&plan, 1), Node::started(&plan, 2));
    one.send_until_heard(&two, &heartbeat(1));
    two.send_until_heard(&one, &heartbeat(2));
    assert_eq!(one.block_on(one.peers.introduce()), Ok(()));
}

/// A forged vote with a term at the end of all terms would leave the cluster without a leader forever.
#[test]
fn a_stranger_reaches_nobody_by_a_well_formed_call() {
    let plan = plan();
    let one = Node::started(&plan, 1);
    // It knows everything but the secret.
    let sender = Some(plan.identity(2).sender(NodeId(1)));
    let outcome = one.block_on(async {
        let channel = tonic::transport::Endpoint::from_shared(plan.url(1)).unwrap().connect_lazy();
        let mut client = pb::raft_service_client::RaftServiceClient::new(channel);
        let last = Some(pb::EntryId { term: 1 << 62, index: 1 << 62 });
        client
            .request_vote(pb::RequestVoteRequest {
                sender,
                term: i64::MAX as u64,
                last,
                leadership_transfer: true,
                ..Default::default()
            })
            .await
    });
    let status = outcome.unwrap_err();
    assert_eq!(status.code(), tonic::Code::PermissionDenied, "{status:?}");
    assert_eq!(one.listener.count(|heard| matches!(heard, Heard::Message(..))), 0);
}

/// Neither does a node whose secret is another one, and each of the two is told what to do.
#[test]
fn a_node_with_another_secret_is_refused_and_told_so() {
    let mut plan = plan();
    let one = Node::started(&plan, 1);
    for (other, said) in [
        (secret("the secret of another one"), "its cluster secret is another one"),
        (None, "start this node with the same --cluster-secret-file"),
    ] {
        plan.settings.cluster_secret = other;
        let two = Node::started(&plan, 2);
        let mut waiting_for = two.peers.watch_waiting_for();
        two.block_on(async {
            let introducing = two.peers.introduce();
            tokio::select! {
                outcome = introducing => panic!("{outcome:?}"),
                found = waiting_for.wait_for(|line| !line.is_empty()) => {
                    let line = found.unwrap().clone();
                    assert!(line.contains(said), "{line}");
                }
            }
        });
        drop(two);
    }
    assert_eq!(one.listener.count(|heard| matches!(heard, Heard::Message(..))), 0);
}

/// Silent strangers cost a slot each for a second at most, and keep nobody out.
#[test]
fn strangers_keep_nobody_out() {
    let plan = plan();
    let one = Node::started(&plan, 1);
    let address = plan.url(1).replace("http://", "");
    let silent: Vec<TcpStream> = (0..400).map(|_| TcpStream::connect(&address).unwrap()).collect();
    let mut babbling = TcpStream::connect(&address).unwrap();
    babbling.write_all(&[b'x'; 512]).unwrap();
    babbling.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // Its connection is closed, by a reset if some of its bytes were not read.
    assert_eq!(babbling.read(&mut [0; 16]).unwrap_or(0), 0);
    let two = Node::started(&plan, 2);
    two.send_until_heard(&one, &heartbeat(1));
    drop(silent);
}
