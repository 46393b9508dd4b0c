//! What the nodes report: everything that `kontiki dev` prints about roles and leaders comes from here.

use crate::client::{Client, NodeStatus, Options, Role};
use crate::dev::layout::NodePlan;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// How long to wait between two rounds of requests.
const PAUSE: Duration = Duration::from_millis(250);
/// How long a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// How many rounds without a leader are worth a message; elections are shorter.
const ROUNDS_BEFORE_ALARM: u32 = 6;

/// One round of answers, in the order of the nodes; `None` did not answer.
pub type Picture = Vec<Option<NodeStatus>>;

/// Asks all nodes again and again until the receiver is dropped.
pub async fn observe(nodes: Vec<NodePlan>, pictures: mpsc::Sender<Picture>) {
    let clients: Vec<_> = nodes.iter().map(|node| client(&node.client_url())).collect();
    loop {
        let picture = ask_all(&clients).await;
        if pictures.send(picture).await.is_err() {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// A client of this node alone, which asks once: the next round asks again.
fn client(url: &str) -> Client {
    let options = Options { timeout: PATIENCE, connect_timeout: PATIENCE, attempts: 1 };
    Client::connect(&[url], options).expect("a loopback address is a URL")
}

async fn ask_all(clients: &[Client]) -> Picture {
    let mut questions = JoinSet::new();
    for (place, client) in clients.iter().enumerate() {
        let client = client.clone();
        questions.spawn(async move { (place, ask(&client).await) });
    }
    let mut picture = vec![None; clients.len()];
    while let Some(answer) = questions.join_next().await {
        if let Ok((place, status)) = answer {
            picture[place] = status;
        }
    }
    picture
}

async fn ask(client: &Client) -> Option<NodeStatus> {
    let answer = client.local_status().await.ok()?;
    // A local status lists only the node itself.
    answer.value.nodes.into_iter().find(|node| node.member.id == answer.meta.node_id)
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// Its place among the nodes.
    pub place: usize,
    pub term: u64,
}

/// The node that claims to lead and is ready to serve. If two claim to (the old leader does not know yet),
/// the newer term is right.
pub fn leader_of(picture: &Picture) -> Option<Leader> {
    let leading = |status: &NodeStatus| status.role == Role::Leader && status.ready;
    picture
        .iter()
        .enumerate()
        .filter_map(|(place, status)| status.as_ref().filter(|s| leading(s)).map(|s| (place, s.term)))
        .max_by_key(|(_, term)| *term)
        .map(|(place, term)| Leader { place, term })
}

/// A change of leadership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// This one leads now, and did not before.
    Leads(Leader),
    /// Nobody has led for a while.
    Nobody,
}

/// Remembers who leads, and says when that changes.
#[derive(Debug, Default)]
pub struct Leadership {
    current: Option<Leader>,
    missed: u32,
}

impl Leadership {
    /// Takes in the next picture.
    pub fn update(&mut self, picture: &Picture) -> Option<News> {
        let Some(leader) = leader_of(picture) else {
            self.missed = self.missed.saturating_add(1);
            if self.missed == ROUNDS_BEFORE_ALARM && self.current.take().is_some() {
                return Some(News::Nobody);
            }
            return None;
        };
        self.missed = 0;
        if self.current.as_ref() == Some(&leader) {
            return None;
        }
        self.current = Some(leader.clone());
        Some(News::Leads(leader))
    }
}

/// Remembers which of the nodes that have ended were started again by hand, and says when one comes or goes.
#[derive(Debug, Default)]
pub struct ByHand(BTreeSet<usize>);

impl ByHand {
    /// Takes in the next picture; `is_ours` says of each node whether the process that was started here runs. Returns
    /// the places of those that came, or went.
    pub fn update(&mut self, is_ours: &[bool], picture: &Picture) -> Vec<(usize, bool)> {
        let here = is_ours.iter().zip(picture).map(|(is_ours, status)| !is_ours && status.is_some());
        let changes = here.enumerate().filter(|(place, is_here)| self.has(*place) != *is_here);
        let changes: Vec<(usize, bool)> = changes.collect();
        for (place, is_here) in &changes {
            if *is_here {
                self.0.insert(*place);
            } else {
                self.0.remove(place);
            }
        }
        changes
    }

    /// Whether the node at this place runs again.
    pub fn has(&self, place: usize) -> bool {
        self.0.contains(&place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(role: Role, term: u64) -> Option<NodeStatus> {
        Some(NodeStatus { role, term, ready: true, ..NodeStatus::default() })
    }

    fn led_by(place: usize, term: u64) -> Picture {
        let mut picture = vec![says(Role::Follower, term); 3];
        picture[place] = says(Role::Leader, term);
        picture
    }

    #[test]
    fn a_node_that_is_started_by_hand_comes_once_and_may_go_again() {
        let mut by_hand = ByHand::default();
        let (all, ours) = (led_by(0, 1), [true, true, true]);
        assert_eq!(by_hand.update(&ours, &all), []);
        let one_dead = [true, false, true];
        let mut without = all.clone();
        without[1] = None;
        assert_eq!(by_hand.update(&one_dead, &without), []);
        assert_eq!(by_hand.update(&one_dead, &all), [(1, true)]);
        assert_eq!(by_hand.update(&one_dead, &all), []);
        assert!(by_hand.has(1));
        assert_eq!(by_hand.update(&one_dead, &without), [(1, false)]);
    }

    #[test]
    fn of_two_that_say_they_lead_the_newer_term_is_right() {
        let picture = vec![says(Role::Leader, 4), says(Role::Leader, 5), None];
        assert_eq!(leader_of(&picture), Some(Leader { place: 1, term: 5 }));
    }

    #[test]
    fn a_leader_that_cannot_serve_yet_is_none_yet() {
        let mut picture = led_by(0, 1);
        if let Some(status) = &mut picture[0] {
            status.ready = false;
        }
        assert_eq!(leader_of(&picture), None);
    }

    #[test]
    fn a_change_is_told_once() {
        let mut leadership = Leadership::default();
        assert_eq!(leadership.update(&led_by(0, 1)), Some(News::Leads(Leader { place: 0, term: 1 })));
        assert_eq!(leadership.update(&led_by(0, 1)), None);
        assert_eq!(leadership.update(&led_by(2, 2)), Some(News::Leads(Leader { place: 2, term: 2 })));
    }

    #[test]
    fn a_short_gap_is_an_election_and_a_long_one_is_news() {
        let nobody: Picture = vec![None, says(Role::Candidate, 2), None];
        let mut leadership = Leadership::default();
        leadership.update(&led_by(0, 1));
        let news: Vec<_> = (0..20).filter_map(|_| leadership.update(&nobody)).collect();
        assert_eq!(news, [News::Nobody], "after a while, and once");
        assert!(leadership.update(&led_by(0, 1)).is_some(), "the same leader back is news again");
    }

    #[test]
    fn nobody_from_the_start_is_no_change() {
        let mut leadership = Leadership::default();
        assert!((0..20).all(|_| leadership.update(&vec![None; 3]).is_none()));
    }
}
