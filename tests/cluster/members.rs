//! The members in the log: their names and URLs, through restarts, moves and snapshots.

use super::harness::{Cluster, Node, Setup, free_ports, put, until};
use kontiki::proto::v1;
use std::sync::atomic::{AtomicU64, Ordering};

/// Name, peer URLs and client URLs of each.
type Listed = Vec<(String, Vec<String>, Vec<String>)>;

async fn listed(node: &Node) -> Option<(Listed, u64)> {
    let answer = node.cluster().members(v1::MembersRequest {}).await.ok()?.into_inner();
    let members = answer.members.into_iter().map(|member| {
        assert!(!member.learner, "{member:?}");
        (member.name, member.peer_urls, member.client_urls)
    });
    Some((members.collect(), answer.header?.cluster_id))
}

/// Waits until all running nodes list all nodes as they are to be reached; answers the cluster's id.
async fn all_listed(cluster: &Cluster) -> u64 {
    let each = |node: &Node| (node.name.clone(), vec![node.peer_url()], vec![node.client_url()]);
    let expected: Listed = cluster.nodes.iter().map(each).collect();
    let mut ids = Vec::new();
    for node in cluster.nodes.iter().filter(|node| node.is_running()) {
        let all = format!("{} lists {expected:?}", node.name);
        let id = until(&all, || async {
            listed(node).await.filter(|(members, _)| *members == expected).map(|(_, id)| id)
        });
        ids.push(id.await);
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "one cluster");
    ids[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_lists_all_members_and_knows_them_after_a_restart() {
    let mut cluster = Cluster::start().await;
    let id = all_listed(&cluster).await;
    for node in &mut cluster.nodes {
        node.kill();
    }
    // Alone it has no majority: what it lists is from its disk.
    cluster.nodes[0].start();
    assert_eq!(all_listed(&cluster).await, id);
    cluster.nodes[1].start();
    cluster.nodes[2].start();
    let last = cluster.nodes[cluster.leader().await].ready().await.last_index;
    cluster.assert_equal_states().await;
    let status = cluster.nodes[cluster.leader().await].ready().await;
    assert!(status.last_index <= last + 1, "nobody says again what is known: {last}, {}", status.last_index);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_another_client_url_is_listed_with_it_everywhere() {
    let mut cluster = Cluster::start().await;
    all_listed(&cluster).await;
    let place = cluster.other_than(cluster.leader().await);
    cluster.nodes[place].kill();
    cluster.nodes[place].client_port = free_ports(1)[0];
    cluster.nodes[place].start();
    all_listed(&cluster).await;
    cluster.assert_equal_states().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_moved_is_found_by_the_others() {
    let mut cluster = Cluster::start().await;
    all_listed(&cluster).await;
    let leader = cluster.leader().await;
    let place = cluster.other_than(leader);
    cluster.nodes[place].kill();
    cluster.nodes[place].move_to(free_ports(1)[0]);
    cluster.nodes[place].start();
    // The others were told nothing.
    all_listed(&cluster).await;
    cluster.nodes[leader].kv().put(put("k", "v")).await.unwrap();
    cluster.nodes[place].ready().await;
    cluster.assert_equal_states().await;
    // The two that are left need each other, in both directions.
    cluster.nodes[leader].kill();
    let next = cluster.leader_other_than(Some(leader)).await;
    cluster.nodes[next].kv().put(put("k", "w")).await.unwrap();
    // A node that starts finds it by the log: its own list is older.
    cluster.nodes[leader].start();
    cluster.nodes[leader].ready().await;
    cluster.assert_equal_states().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_moved_as_a_whole_finds_itself_by_its_new_lists() {
    let mut cluster = Cluster::start().await;
    let id = all_listed(&cluster).await;
    for node in &mut cluster.nodes {
        node.kill();
    }
    for (node, port) in cluster.nodes.iter_mut().zip(free_ports(3)) {
        node.move_to(port);
    }
    let list: Vec<String> =
        cluster.nodes.iter().map(|node| format!("{}={}", node.name, node.peer_url())).collect();
    for node in &mut cluster.nodes {
        node.set_initial_cluster(&list.join(","));
    }
    cluster.start_all();
    cluster.leader().await;
    assert_eq!(all_listed(&cluster).await, id);
    cluster.assert_equal_states().await;
}

/// As behind a NAT, or where a name means something else elsewhere: what the nodes say of themselves, and what the log
/// says after them, helps nobody.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_whose_nodes_are_not_where_they_say_lives_by_its_lists() {
    let mut cluster = Cluster::prepare(Setup::default()).await;
    for (node, port) in cluster.nodes.iter_mut().zip(free_ports(3)) {
        node.say_to_be_at(port);
    }
    cluster.start_all();
    all_listed(&cluster).await;
    let leader = cluster.leader().await;
    let behind = cluster.other_than(leader);
    cluster.nodes[behind].kill();
    let ahead = cluster.other_than(leader);
    cluster.nodes[leader].kv().put(put("k", "v")).await.unwrap();
    cluster.nodes[leader].kill();
    cluster.nodes[ahead].kill();

    // The one that starts last connects first, and hears only then where the other says that it is. Only it can win.
    cluster.nodes[behind].start();
    until("the first one runs", || cluster.nodes[behind].status()).await;
    cluster.nodes[ahead].start();
    assert_eq!(cluster.leader().await, ahead);
    cluster.nodes[leader].start();
    for node in &cluster.nodes {
        until(&format!("{} has a write done", node.name), || async {
            node.kv().put(put("k", &node.name)).await.ok()
        })
        .await;
        until(&format!("{} is elected when asked to stand", node.name), || async {
            let request = v1::TransferLeadershipRequest { to: node.name.clone() };
            node.cluster().transfer_leadership(request).await.ok()
        })
        .await;
    }
    cluster.assert_equal_states().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_list_does_not_change_what_was_founded() {
    let mut cluster = Cluster::start().await;
    let id = all_listed(&cluster).await;
    let place = cluster.other_than(cluster.leader().await);
    let node = &mut cluster.nodes[place];
    node.kill();
    let edited = format!("{}={},n9=http://127.0.0.1:1", node.name, node.peer_url());
    node.set_initial_cluster(&edited);
    node.start();
    node.ready().await;
    let said = node.log_text();
    assert!(said.contains("the members come from the log"), "{said}");
    assert!(said.contains("names n9, which is not a member") && said.contains("does not name n"), "{said}");
    assert_eq!(all_listed(&cluster).await, id);
    cluster.assert_equal_states().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_brings_the_members_along() {
    let arguments = ["--log-retain-entries", "50"].map(str::to_owned).to_vec();
    let mut cluster = Cluster::prepare(Setup { arguments, ..Setup::default() }).await;
    cluster.start_all();
    let leader = cluster.leader().await;
    all_listed(&cluster).await;
    let away = cluster.other_than(leader);
    let before = cluster.nodes[away].ready().await.last_index;
    cluster.nodes[away].kill();
    let moved = (0..3).find(|place| *place != leader && *place != away).unwrap();
    cluster.nodes[moved].kill();
    cluster.nodes[moved].client_port = free_ports(1)[0];
    cluster.nodes[moved].start();
    all_listed(&cluster).await;
    let number = AtomicU64::new(0);
    until("what it misses is gone from the log", || async {
        let key = format!("k{}", number.fetch_add(1, Ordering::Relaxed));
        // The log is compacted once the state is durable, and that follows writes.
        let _ = cluster.nodes[leader].kv().put(put(&key, "v")).await;
        // On both: where the machine is busy, the other one may lead when the third returns.
        for node in [&cluster.nodes[leader], &cluster.nodes[moved]] {
            (node.status().await?.compacted_index > before + 10).then_some(())?;
        }
        Some(())
    })
    .await;
    cluster.nodes[away].start();
    all_listed(&cluster).await;
    let status = cluster.nodes[away].ready().await;
    assert!(status.compacted_index > before, "it came by a snapshot, not by the log: {status:?}");
    cluster.assert_equal_states().await;
}
