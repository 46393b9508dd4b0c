//! Who takes part in decisions, and what a majority of them is.

use crate::member::{InvalidMember, Member};
use crate::types::{Index, NodeId};
use std::collections::{BTreeMap, BTreeSet};

/// The most members of a cluster.
pub const MEMBERS_MAX: usize = 128;

/// The members of a cluster at some index of the log.
///
/// While a change is under way (`outgoing` is not empty) every decision needs
/// a majority of both sets of voters: joint consensus, Raft §6.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Members {
    /// Nodes with a vote.
    voters: BTreeSet<NodeId>,
    /// The voters of the configuration that is being left.
    outgoing: BTreeSet<NodeId>,
    /// Every node that receives the log: all voters, and learners. Consensus never looks at names and URLs.
    nodes: BTreeMap<NodeId, Member>,
}

/// The state of a vote count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tally {
    /// A majority said yes.
    Won,
    /// A majority can no longer be reached.
    Lost,
    /// Votes are missing that decide it.
    Open,
}

impl Members {
    /// Members that fit together. A node of `outgoing` may be a learner already; every other node votes, or learns.
    pub fn new(
        voters: BTreeSet<NodeId>,
        outgoing: BTreeSet<NodeId>,
        nodes: impl IntoIterator<Item = Member>,
    ) -> Result<Self, InvalidMember> {
        let invalid = |what: String| Err(InvalidMember(what));
        let mut members = Self { voters, outgoing, nodes: BTreeMap::new() };
        for member in nodes {
            member.check()?;
            let id = member.id;
            if members.voters.contains(&id) && member.learner {
                return invalid(format!("node {id} is a voter and a learner"));
            }
            if !members.is_voter(id) && !member.learner {
                return invalid(format!("node {id} neither votes nor learns"));
            }
            if members.nodes.insert(id, member).is_some() {
                return invalid(format!("node {id} is a member twice"));
            }
            if members.nodes.len() > MEMBERS_MAX {
                return invalid(format!("there are more than {MEMBERS_MAX} members"));
            }
        }
        let mut voters = members.voters.iter().chain(&members.outgoing);
        match voters.find(|voter| !members.nodes.contains_key(voter)) {
            Some(voter) => invalid(format!("node {voter} votes and is not a member")),
            None => Ok(members),
        }
    }

    /// The members that found a cluster: all of them vote.
    pub fn founding(members: impl IntoIterator<Item = Member>) -> Self {
        let nodes: BTreeMap<NodeId, Member> = members.into_iter().map(|member| (member.id, member)).collect();
        Self { voters: nodes.keys().copied().collect(), outgoing: BTreeSet::new(), nodes }
    }

    /// Members without names and URLs.
    pub fn of(
        voters: impl IntoIterator<Item = NodeId>,
        outgoing: impl IntoIterator<Item = NodeId>,
        learners: impl IntoIterator<Item = NodeId>,
    ) -> Self {
        let (voters, outgoing): (BTreeSet<_>, BTreeSet<_>) =
            (voters.into_iter().collect(), outgoing.into_iter().collect());
        let voting = voters.iter().chain(&outgoing).map(|id| (*id, Member::named(*id, "")));
        let mut nodes: BTreeMap<NodeId, Member> = voting.collect();
        let learner = |id| (id, Member { learner: true, ..Member::named(id, "") });
        nodes.extend(learners.into_iter().map(learner));
        Self { voters, outgoing, nodes }
    }

    /// The same members, but the URLs of one of them replaced. `None` if it is not a member.
    pub fn with_urls_of(&self, said: &Member) -> Result<Self, InvalidMember> {
        // What goes into the log must be readable by everybody.
        said.check()?;
        let mut members = self.clone();
        let Some(member) = members.nodes.get_mut(&said.id) else {
            return Err(InvalidMember(format!("node {} is not a member", said.id)));
        };
        (member.peer_urls, member.client_urls) = (said.peer_urls.clone(), said.client_urls.clone());
        Ok(members)
    }

    /// Nodes with a vote.
    pub fn voters(&self) -> &BTreeSet<NodeId> {
        &self.voters
    }

    /// The voters of the configuration that is being left; empty as a rule.
    pub fn outgoing(&self) -> &BTreeSet<NodeId> {
        &self.outgoing
    }

    /// Nodes that receive the log without a vote (thesis §4.2.1), or soon without one.
    pub fn learners(&self) -> impl Iterator<Item = NodeId> {
        self.nodes.values().filter(|member| member.learner).map(|member| member.id)
    }

    /// Every node that receives the log, in order of id.
    pub fn all(&self) -> impl Iterator<Item = NodeId> {
        self.nodes.keys().copied()
    }

    /// Every member, in order of id.
    pub fn iter(&self) -> impl Iterator<Item = &Member> {
        self.nodes.values()
    }

    pub fn get(&self, node: NodeId) -> Option<&Member> {
        self.nodes.get(&node)
    }

    /// Their size in bytes, about.
    pub fn size(&self) -> usize {
        8 * (self.voters.len() + self.outgoing.len()) + self.iter().map(Member::size).sum::<usize>()
    }

    /// Whether the node has a vote.
    pub fn is_voter(&self, node: NodeId) -> bool {
        self.voters.contains(&node) || self.outgoing.contains(&node)
    }

    /// Whether the node receives the log.
    pub fn contains(&self, node: NodeId) -> bool {
        self.nodes.contains_key(&node)
    }

    /// The state of a vote: `answer` is what a voter said, if it did.
    pub fn tally(&self, answer: impl Fn(NodeId) -> Option<bool>) -> Tally {
        let incoming = tally(&self.voters, &answer);
        if self.outgoing.is_empty() {
            return incoming;
        }
        match (incoming, tally(&self.outgoing, &answer)) {
            (Tally::Won, Tally::Won) => Tally::Won,
            (Tally::Lost, _) | (_, Tally::Lost) => Tally::Lost,
            _ => Tally::Open,
        }
    }

    /// Whether the nodes for which `is_in` holds are enough to decide.
    pub fn is_quorum(&self, is_in: impl Fn(NodeId) -> bool) -> bool {
        self.tally(|node| Some(is_in(node))) == Tally::Won
    }

    /// The highest index that a majority has reached, by `matched` of each voter.
    pub fn quorum_index(&self, matched: impl Fn(NodeId) -> Index) -> Index {
        let incoming = quorum_index(&self.voters, &matched);
        if self.outgoing.is_empty() {
            return incoming;
        }
        incoming.min(quorum_index(&self.outgoing, &matched))
    }
}

/// The smallest number such that any two sets of that many among `n` voters overlap.
pub fn majority(n: usize) -> usize {
    n / 2 + 1
}

fn tally(voters: &BTreeSet<NodeId>, answer: impl Fn(NodeId) -> Option<bool>) -> Tally {
    let needed = majority(voters.len());
    let yes = voters.iter().filter(|voter| answer(**voter) == Some(true)).count();
    let no = voters.iter().filter(|voter| answer(**voter) == Some(false)).count();
    if yes >= needed {
        Tally::Won
    } else if voters.len() - no < needed {
        Tally::Lost
    } else {
        Tally::Open
    }
}

fn quorum_index(voters: &BTreeSet<NodeId>, matched: impl Fn(NodeId) -> Index) -> Index {
    let mut reached: Vec<Index> = voters.iter().map(|voter| matched(*voter)).collect();
    reached.sort_unstable_by(|a, b| b.cmp(a));
    // Without voters nothing can be decided.
    reached.get(majority(voters.len()) - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[u64]) -> BTreeSet<NodeId> {
        ids.iter().copied().map(NodeId).collect()
    }

    fn member(id: u64, learner: bool) -> Member {
        Member { learner, ..Member::named(NodeId(id), format!("n{id}")) }
    }

    #[test]
    fn members_fit_together() {
        let demoted = Members::new(ids(&[1]), ids(&[1, 2]), [member(1, false), member(2, true)]).unwrap();
        assert_eq!(demoted.learners().collect::<Vec<_>>(), [NodeId(2)]);
        assert!(demoted.is_voter(NodeId(2)), "until the old configuration is left");
        let refused = |voters: &[u64], nodes: Vec<Member>| {
            Members::new(ids(voters), BTreeSet::new(), nodes).unwrap_err().to_string()
        };
        assert!(refused(&[1], vec![member(1, true)]).contains("a voter and a learner"));
        assert!(refused(&[1], vec![member(1, false), member(2, false)]).contains("neither votes nor learns"));
        assert!(refused(&[1], vec![member(1, false); 2]).contains("a member twice"));
        assert!(refused(&[1, 2], vec![member(1, false)]).contains("node 2 votes and is not a member"));
        let many: Vec<Member> = (1..=129).map(|id| member(id, true)).collect();
        assert!(refused(&[], many).contains("more than 128"));
    }

    #[test]
    fn urls_are_replaced_and_nothing_else() {
        let members = Members::founding([member(1, false), member(2, false)]);
        let said = Member { peer_urls: vec!["http://b:2380".into()], ..member(2, true) };
        let changed = members.with_urls_of(&said).unwrap();
        assert_eq!(changed.get(NodeId(2)).unwrap().peer_url(), Some("http://b:2380"));
        assert_eq!((changed.learners().count(), changed.voters()), (0, members.voters()));
        assert!(members.with_urls_of(&member(3, false)).unwrap_err().0.contains("not a member"));
        let endless = Member { client_urls: vec!["x".repeat(513)], ..said };
        assert!(members.with_urls_of(&endless).unwrap_err().0.contains("limit 512"));
    }
}
