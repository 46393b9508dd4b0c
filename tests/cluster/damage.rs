//! Directories that are wrong, damaged or full: refused with an explanation, never mistaken for something else.

use super::harness::{Cluster, Node, Setup, free_ports, get, put, text, until};
use kontiki::proto::v1::{self, kv_service_client::KvServiceClient};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic_types::StatusExt;

/// Starts a node that must not start, and returns its output.
async fn refused(cluster: &mut Cluster, place: usize) -> String {
    let seen = cluster.nodes[place].log_text().len();
    cluster.nodes[place].start();
    let status = cluster.nodes[place].exit().await;
    assert!(!status.success(), "it should have refused to start");
    cluster.nodes[place].log_text()[seen..].to_owned()
}

fn assert_says(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.to_lowercase().contains(&word.to_lowercase()), "{word:?} is missing in:\n{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_of_another_cluster_is_refused() {
    let mut cluster = Cluster::start().await;
    let place = cluster.other_than(cluster.leader().await);
    cluster.nodes[place].kill();
    cluster.nodes[place].add_arguments(&["--cluster-token", "another"]);
    let said = refused(&mut cluster, place).await;
    assert_says(&said, &["cluster"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_of_another_node_is_refused() {
    let mut cluster = Cluster::start().await;
    let leader = cluster.leader().await;
    let (one, two) = match leader {
        0 => (1, 2),
        1 => (0, 2),
        _ => (0, 1),
    };
    cluster.nodes[one].kill();
    cluster.nodes[two].kill();
    cluster.nodes[one].data = cluster.nodes[two].data.clone();
    let said = refused(&mut cluster, one).await;

    assert_says(&said, &[&cluster.nodes[one].name.clone(), &cluster.nodes[two].name.clone()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_not_ours_is_refused_and_left_alone() {
    let mut cluster = Cluster::prepare(Setup::default()).await;
    let data = cluster.nodes[0].data.clone();
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("thesis.txt"), "years of work").unwrap();
    let said = refused(&mut cluster, 0).await;
    assert_says(&said, &["data", "kontiki"]);
    assert_eq!(std::fs::read_dir(&data).unwrap().count(), 1, "something was added to it");
    assert_eq!(std::fs::read_to_string(data.join("thesis.txt")).unwrap(), "years of work");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_in_use_is_refused() {
    let mut cluster = Cluster::start().await;
    let place = cluster.other_than(cluster.leader().await);
    let output = second_process(&cluster, place).output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_says(&said, &["another process"]);
    cluster.nodes[place].ready().await;
    cluster.nodes[place].kill();
}

/// The command of a second process on the same directory, with other ports.
fn second_process(cluster: &Cluster, place: usize) -> Command {
    let node = &cluster.nodes[place];
    let members: Vec<String> = cluster
        .nodes
        .iter()
        .map(|node| format!("{}=http://127.0.0.1:{}", node.name, node.peer_port))
        .collect();
    let mut command = Command::new(env!("CARGO_BIN_EXE_kontiki"));
    command.args(["serve", "--name", &node.name, "--data-dir"]).arg(&node.data);
    for (flag, port) in ["--listen-client", "--listen-peer"].iter().zip(free_ports(2)) {
        command.args([*flag, &format!("127.0.0.1:{port}")]);
    }
    command.args(["--advertise-peer", &format!("http://127.0.0.1:{}", node.peer_port)]);
    command.args(["--advertise-client", &node.client_url()]);
    command.args(["--initial-cluster", &members.join(","), "--cluster-token", "test"]);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_lost_its_data_is_refused_by_the_others() {
    let mut cluster = Cluster::start().await;
    let leader = cluster.leader().await;
    cluster.nodes[leader].kv().put(put("k", "v")).await.unwrap();
    let place = cluster.other_than(leader);
    cluster.nodes[place].ready().await;
    cluster.nodes[place].kill();
    std::fs::remove_dir_all(&cluster.nodes[place].data).unwrap();
    let said = refused(&mut cluster, place).await;
    assert_says(&said, &["MEMBER_WIPED", "lost what it promised"]);
    let answer = cluster.nodes[leader].kv().get(get("k", v1::ReadLevel::Linearizable)).await.unwrap();
    assert_eq!(text(answer.into_inner().kv).as_deref(), Some("v"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_record_is_named_and_the_others_go_on() {
    let mut cluster = Cluster::start().await;
    let leader = cluster.leader().await;
    let place = cluster.other_than(leader);
    for number in 0..20 {
        cluster.nodes[leader].kv().put(put(&format!("k{number}"), "needle-in-the-log")).await.unwrap();
    }
    let status = cluster.nodes[leader].status().await.unwrap();
    until("the follower holds everything", || async {
        let own = cluster.nodes[place].status().await?;
        (own.durable_index >= status.last_index).then_some(())
    })
    .await;
    cluster.nodes[place].kill();
    let file = cluster.nodes[place].data.join("journal").join("segment-0");
    let mut bytes = std::fs::read(&file).unwrap();
    let places: Vec<usize> = find_all(&bytes, b"needle-in-the-log");
    assert!(!places.is_empty(), "the log holds what was written to it");
    for at in places {
        bytes[at] ^= 0x01;
    }
    std::fs::write(&file, bytes).unwrap();
    let said = refused(&mut cluster, place).await;
    assert_says(&said, &["journal"]);
    assert!(
        ["corrupt", "damaged", "checksum"].iter().any(|word| said.to_lowercase().contains(word)),
        "it does not say what is wrong:\n{said}"
    );
    cluster.nodes[leader].kv().put(put("after", "damage")).await.unwrap();
}

/// A node reads all of its state when it starts, so this is damage that came later, and below the caches.
#[tokio::test(flavor = "multi_thread")]
async fn damage_that_a_reader_meets_ends_the_node_and_the_others_go_on() {
    let arguments = vec!["--cache-mib".to_owned(), "17".to_owned()];
    let mut cluster = Cluster::prepare(Setup { arguments, ..Setup::default() }).await;
    cluster.start_all();
    let leader = cluster.leader().await;
    let place = cluster.other_than(leader);
    let needle = "needle-in-the-state";
    let value = format!("{needle}{}", "x".repeat(95_000));
    let count = 300; // 28 MB: more than the caches hold.
    for number in 0..count {
        cluster.nodes[leader].kv().put(put(&format!("k{number}"), &value)).await.unwrap();
    }
    let data = cluster.nodes[place].data.clone();
    until("the state is on the follower's disk", || async {
        (needles(&data, needle).len() >= count).then_some(())
    })
    .await;
    cluster.nodes[place].kill();
    cluster.nodes[place].start();
    cluster.nodes[place].ready().await;
    for (file, at) in needles(&data, needle) {
        std::fs::File::options().write(true).open(file).unwrap().write_all_at(b"N", at as u64).unwrap();
    }
    let mut refusal = None;
    for number in 0..count {
        let asked = get(&format!("k{number}"), v1::ReadLevel::Local);
        if let Err(status) = cluster.nodes[place].kv().get(asked).await {
            refusal = Some(status);
            break;
        }
    }
    let refusal = refusal.expect("the caches hold less than all of it");
    let info = refusal.get_details_error_info().expect("every error carries an ErrorInfo");
    assert_eq!(info.reason, "STORAGE", "{refusal:?}");
    assert!(!cluster.nodes[place].exit().await.success(), "it goes on with damaged data");
    assert_says(&cluster.nodes[place].log_text(), &["the state cannot be kept", "state table"]);
    cluster.nodes[leader].kv().put(put("after", "damage")).await.unwrap();
}

/// Where something lies in the files of a node's state.
fn needles(data: &Path, needle: &str) -> Vec<(PathBuf, usize)> {
    let mut found = Vec::new();
    let mut open = vec![data.join("state-000001")];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            let bytes = std::fs::read(&path).unwrap_or_default(); // It may be gone by now.
            found.extend(find_all(&bytes, needle.as_bytes()).into_iter().map(|at| (path.clone(), at)));
        }
    }
    found
}

fn find_all(bytes: &[u8], needle: &[u8]) -> Vec<usize> {
    (0..bytes.len().saturating_sub(needle.len())).filter(|at| bytes[*at..].starts_with(needle)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_writes_in_words_and_serves_reads() {
    let Some(mut disks) = SmallDisks::start("160m").await else { return };
    let mut kv = disks.leader().await;
    kv.put(put("k", "v")).await.unwrap();
    let refusal = fill(&disks, &kv).await;
    assert_eq!(refusal.code(), tonic::Code::ResourceExhausted, "{refusal:?}");
    let info = refusal.get_details_error_info().expect("every error carries an ErrorInfo");
    assert_eq!(info.reason, "NO_SPACE", "{refusal:?}");
    for node in &disks.cluster.nodes {
        let answer = node.kv().get(get("k", v1::ReadLevel::Linearizable)).await.unwrap().into_inner();
        assert_eq!(text(answer.kv).as_deref(), Some("v"), "{} no longer reads", node.name);
    }
    empty(&mut kv).await;
    disks.kill();
}

/// Deletes and compactions are accepted on a full disk, and what they free is given back while the nodes run.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_store_that_was_emptied_takes_writes_again() {
    let Some(mut disks) = SmallDisks::start("256m").await else { return };
    let mut kv = disks.leader().await;
    fill(&disks, &kv).await;
    empty(&mut kv).await;
    until("there is room again", || async { kv.clone().put(put("k", &"x".repeat(200_000))).await.ok() })
        .await;
    disks.kill();
}

/// Puts large values from many clients at once until one is refused for want of room. That must not take as much as half
/// of the reserve: what deletes and compactions need is left.
async fn fill(disks: &SmallDisks, kv: &KvServiceClient<Channel>) -> tonic::Status {
    let mut clients = JoinSet::new();
    for client in 0..16 {
        let mut kv = kv.clone();
        clients.spawn(async move {
            let value = "x".repeat(200_000);
            for number in 0..5000 {
                let Err(refusal) = kv.put(put(&format!("fill{client}/{number}"), &value)).await else {
                    continue;
                };
                // Before the disk is full, writes are taken slowly.
                if refusal.get_details_error_info().is_none_or(|info| info.reason != "OVERLOADED") {
                    return refusal;
                }
            }
            panic!("a small disk takes no gigabyte");
        });
    }
    let refusal = clients.join_next().await.unwrap().unwrap();
    while clients.join_next().await.is_some() {}
    let free = disks.free_bytes();
    assert!(free >= RESERVE / 2, "{free} bytes are left of the reserve");
    refusal
}

/// Deletes and compacts everything: the way out is open.
async fn empty(kv: &mut KvServiceClient<Channel>) {
    let all = Some(v1::delete_request::Selector::All(true));
    let deleted = kv.delete(v1::DeleteRequest { selector: all, ..Default::default() }).await.unwrap();
    let revision = deleted.into_inner().header.unwrap().revision;
    kv.compact(v1::CompactRequest { revision }).await.unwrap();
}

const RESERVE: u64 = 64 << 20;

/// Three nodes, each with a small disk of its own, in memory.
struct SmallDisks {
    cluster: Cluster,
    mounts: Vec<Unmount>,
}

impl SmallDisks {
    /// `None` where none can be mounted.
    async fn start(size: &str) -> Option<Self> {
        let arguments = vec!["--disk-reserve".to_owned(), RESERVE.to_string()];
        let cluster = Cluster::prepare(Setup { arguments, ..Setup::default() }).await;
        let mut this = Self { cluster, mounts: Vec::new() };
        for node in &mut this.cluster.nodes {
            let mount = this.cluster.dir.path().join(format!("disk-{}", node.name));
            std::fs::create_dir(&mount).unwrap();
            let size = format!("size={size}");
            let mounted =
                Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&mount).status();
            if !mounted.is_ok_and(|status| status.success()) {
                assert!(std::env::var_os("KONTIKI_TEST_ALL").is_none(), "a tmpfs cannot be mounted here");
                eprintln!("skipped: a tmpfs cannot be mounted here (root may)");
                return None;
            }
            node.data = mount.join("data");
            this.mounts.push(Unmount(mount));
        }
        this.cluster.start_all();
        Some(this)
    }

    async fn leader(&mut self) -> KvServiceClient<Channel> {
        let leader = self.cluster.leader().await;
        self.cluster.nodes[leader].kv()
    }

    /// The room on the fullest disk.
    fn free_bytes(&self) -> u64 {
        let free = self.mounts.iter().map(|Unmount(mount)| {
            let room = rustix::fs::statvfs(mount).unwrap();
            room.f_bavail * room.f_frsize
        });
        free.min().unwrap()
    }

    fn kill(&mut self) {
        self.cluster.nodes.iter_mut().for_each(Node::kill);
    }
}

struct Unmount(std::path::PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        // Lazily: processes that a failed test left behind may still hold it.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
