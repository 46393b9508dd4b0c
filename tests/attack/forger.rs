//! One who is no node of the cluster, and speaks to its peer ports as if it were.

use super::arena::Arena;
use super::tally::Tally;
use clap::{Args as _, FromArgMatches as _};
use futures_util::future::join_all;
use kontiki::config::ServeArgs;
use kontiki::proto::raft as pb;
use kontiki::proto::raft::raft_service_client::RaftServiceClient;
use kontiki::proto::v1;
use kontiki::settings::SharedSettings;
use std::path::Path;
use std::time::{Duration, Instant};
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

/// How long it floods.
const FLOOD: Duration = Duration::from_millis(3_500);
/// After a refusal: being refused must not take all of the machine.
const REST: Duration = Duration::from_millis(2);
/// So many calls are made on one connection. More would only wait: of one that has not introduced itself little is read.
const CALLS: u32 = 12;
/// In place of a number that it does not know.
const GUESS: u64 = 7;

/// What it knows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Knows {
    /// What any client is told: the cluster's id and term, the members' ids and names.
    Clients,
    /// The shared settings, too: most clusters have the usual ones, and a refusal names those that differ.
    Settings,
    /// Everything that a member says of itself.
    Everything,
}

pub struct Forger {
    /// By the nodes' places.
    members: Vec<Known>,
    /// When it looked.
    term: u64,
    last_index: u64,
    /// What no answer may contain: numbers that only nodes know.
    secrets: Vec<String>,
}

struct Known {
    /// What it says of itself, to nobody in particular.
    sender: pb::Sender,
    url: String,
}

/// All that one forged call needs.
#[derive(Clone)]
pub struct Forgery {
    pub client: RaftServiceClient<Channel>,
    url: String,
    pub sender: pb::Sender,
    /// The term that the cluster has, and about the end of its log.
    pub term: u64,
    pub last_index: u64,
    /// Every member.
    pub members: Vec<pb::Member>,
}

impl Forgery {
    /// The same on a connection of its own.
    fn renewed(self) -> Self {
        Self { client: connect(&self.url), ..self }
    }

    pub fn last(&self) -> Option<pb::EntryId> {
        Some(pb::EntryId { term: self.term, index: self.last_index })
    }
}

impl Forger {
    pub async fn of(arena: &Arena, knows: Knows) -> Self {
        let answer = arena.leader().cluster().members(v1::MembersRequest {}).await.unwrap().into_inner();
        let header = answer.header.unwrap();
        let settings = usual_settings();
        let mut secrets = forms(header.cluster_id).to_vec();
        secrets.extend(forms(settings.fingerprint()));
        let known = arena.cluster.nodes.iter().map(|node| {
            let member = answer.members.iter().find(|member| member.name == node.name).unwrap();
            let directory = directory(&node.data);
            secrets.extend(forms(directory));
            let sender = pb::Sender {
                cluster_id: header.cluster_id,
                node_id: member.node_id,
                directory_id: if knows == Knows::Everything { directory } else { GUESS },
                settings_fingerprint: if knows >= Knows::Settings { settings.fingerprint() } else { GUESS },
                name: member.name.clone(),
                cluster_version: 1,
                peer_urls: member.peer_urls.clone(),
                ..Default::default()
            };
            Known { sender, url: node.peer_url() }
        });
        let members = known.collect();
        Self { members, term: header.raft_term, last_index: header.applied_index, secrets }
    }

    /// What one member seems to say to another.
    pub fn forgery(&self, from: usize, to: usize) -> Forgery {
        let recipient_id = self.members[to].sender.node_id;
        let member = |known: &Known| pb::Member {
            id: known.sender.node_id,
            name: known.sender.name.clone(),
            peer_urls: known.sender.peer_urls.clone(),
            ..Default::default()
        };
        Forgery {
            client: connect(&self.members[to].url),
            url: self.members[to].url.clone(),
            sender: pb::Sender { recipient_id, ..self.members[from].sender.clone() },
            term: self.term,
            last_index: self.last_index,
            members: self.members.iter().map(member).collect(),
        }
    }

    /// Floods all members in all others' names, so many calls at once on the connection of each pair.
    pub async fn flood<F, R, T>(&self, at_once: usize, forge: F) -> Tally
    where
        F: Fn(Forgery) -> R + Clone + Send + 'static,
        R: Future<Output = Result<T, Status>> + Send + 'static,
        T: Send + 'static,
    {
        self.flood_from(|_| true, at_once, forge).await
    }

    /// The same in the names of some.
    pub async fn flood_from<F, R, T>(
        &self,
        senders: impl Fn(usize) -> bool,
        at_once: usize,
        forge: F,
    ) -> Tally
    where
        F: Fn(Forgery) -> R + Clone + Send + 'static,
        R: Future<Output = Result<T, Status>> + Send + 'static,
        T: Send + 'static,
    {
        let end = Instant::now() + FLOOD;
        let places = 0..self.members.len();
        let pairs = places.clone().flat_map(|from| places.clone().map(move |to| (from, to)));
        let pairs = pairs.filter(|(from, to)| from != to && senders(*from));
        let forgeries = pairs.flat_map(|(from, to)| std::iter::repeat_n(self.forgery(from, to), at_once));
        let running =
            forgeries.map(|forgery| tokio::spawn(repeat(forgery, forge.clone(), end, self.secrets.clone())));
        let running: Vec<_> = running.collect();
        let mut all = Tally::default();
        join_all(running).await.into_iter().for_each(|tally| all.join(tally.unwrap()));
        all
    }
}

async fn repeat<F, R, T>(mut forgery: Forgery, forge: F, end: Instant, secrets: Vec<String>) -> Tally
where
    F: Fn(Forgery) -> R,
    R: Future<Output = Result<T, Status>>,
{
    let mut tally = Tally::default();
    for number in 1_u32.. {
        if Instant::now() >= end {
            break;
        }
        let Ok(answer) = tokio::time::timeout_at(end.into(), forge(forgery.clone())).await else {
            tally.add("waited");
            break;
        };
        tally.add_answer(&answer);
        if let Err(status) = answer {
            assert_discreet(&status, &secrets);
            tokio::time::sleep(REST).await;
        }
        if number.is_multiple_of(CALLS) {
            forgery = forgery.renewed();
        }
    }
    tally
}

fn connect(url: &str) -> RaftServiceClient<Channel> {
    RaftServiceClient::new(Endpoint::from_shared(url.to_owned()).unwrap().connect_lazy())
}

/// Who is refused learns nothing that would help it the next time.
fn assert_discreet(status: &Status, secrets: &[String]) {
    let said = format!("{status:?} {}", String::from_utf8_lossy(status.details()));
    for secret in secrets {
        assert!(!said.contains(secret), "a refusal tells {secret}: {said}");
    }
}

/// A number as people and programs write it.
fn forms(number: u64) -> [String; 2] {
    [number.to_string(), format!("{number:x}")]
}

/// What all nodes of an arena share.
fn usual_settings() -> SharedSettings {
    let command = ServeArgs::augment_args(clap::Command::new("serve").no_binary_name(true));
    let matches = command.get_matches_from(["--initial-cluster", "n1=http://127.0.0.1:1", "--name", "n1"]);
    let settings = ServeArgs::from_arg_matches(&matches).unwrap().resolve(&|_| None).unwrap();
    settings.check().unwrap().shared_settings()
}

/// The id of a node's data directory.
fn directory(data: &Path) -> u64 {
    let text = std::fs::read_to_string(data.join("identity")).unwrap();
    // A last line has the checksum.
    let json = &text[..=text.rfind('}').unwrap()];
    let identity: serde_json::Value = serde_json::from_str(json).unwrap();
    u64::from_str_radix(identity["directory"].as_str().unwrap(), 16).unwrap()
}
