//! Transfers of leadership, and who waits for them.

use crate::raft::{FollowerProgress, Node, RoleName, TransferRefused};
use crate::replica::error::TransferError;
use crate::types::{FollowerState, NodeId, Term};
use tokio::sync::oneshot;

/// The transfer under way, if any.
#[derive(Debug, Default)]
pub(crate) struct Transfers {
    waiting: Option<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    to: NodeId,
    term: Term,
    /// Whether it was sent the order to take over (TimeoutNow).
    ordered: bool,
    reply: oneshot::Sender<Result<NodeId, TransferError>>,
}

impl Transfers {
    /// Starts a transfer, to the most up-to-date voter if none is named.
    pub(crate) fn begin(
        &mut self,
        node: &mut Node,
        to: Option<NodeId>,
        reply: oneshot::Sender<Result<NodeId, TransferError>>,
    ) {
        let chosen = to.or_else(|| furthest(node));
        let outcome = match chosen {
            Some(to) if does_not_follow(node, to) => {
                Err(TransferError::NotFollowing { to: name(node, to), leader: own_name(node) })
            }
            Some(to) => {
                let begun = node.transfer_leadership(to);
                begun.map(|()| to).map_err(|refused| explain(refused, &name(node, to)))
            }
            None if node.role() == RoleName::Leader => {
                Err(TransferError::BadTarget("there is no other voter to hand over to".into()))
            }
            None => Err(TransferError::NotLeader { leader: node.leader() }),
        };
        match outcome {
            Ok(to) => {
                self.waiting = Some(Waiting { to, term: node.hard_state().term, ordered: false, reply })
            }
            Err(error) => {
                let _ = reply.send(Err(error)); // Whoever asked may have gone.
            }
        }
    }

    /// Answers when the outcome is known: a new leader, or the old one going on.
    pub(crate) fn watch(&mut self, node: &Node) {
        let Some(waiting) = &mut self.waiting else { return };
        waiting.ordered |= node.has_sent_timeout_now();
        let same_term = node.hard_state().term == waiting.term;
        let outcome = if same_term && node.role() == RoleName::Leader {
            if node.transferring().is_some() {
                return;
            }
            let (to, leader) = (name(node, waiting.to), own_name(node));
            Err(if waiting.ordered {
                TransferError::NotTakenOver { to, leader }
            } else {
                TransferError::NotCaughtUp { to, leader }
            })
        } else {
            match node.leader() {
                Some(leader) if leader == waiting.to => Ok(leader),
                Some(leader) => Err(TransferError::TakenByAnother {
                    to: name(node, waiting.to),
                    leader: name(node, leader),
                }),
                None => return,
            }
        };
        if let Some(waiting) = self.waiting.take() {
            let _ = waiting.reply.send(outcome); // Whoever asked may have gone.
        }
    }
}

fn furthest(node: &Node) -> Option<NodeId> {
    let voters = node.followers().into_iter().filter(|follower| node.members().is_voter(follower.node));
    voters.max_by_key(|follower| (is_followed_by(follower), follower.matched)).map(|follower| follower.node)
}

/// Whether a voter that this leader knows is away (its connection may still stand), or has yet to show how far its
/// log agrees: it could not take over.
fn does_not_follow(node: &Node, to: NodeId) -> bool {
    node.followers().iter().any(|follower| follower.node == to && !is_followed_by(follower))
}

fn is_followed_by(follower: &FollowerProgress) -> bool {
    follower.alive && follower.state != FollowerState::Probe
}

fn own_name(node: &Node) -> String {
    name(node, node.id())
}

fn name(node: &Node, of: NodeId) -> String {
    match node.members().get(of) {
        Some(member) if !member.name.is_empty() => member.name.clone(),
        _ => format!("node {of}"),
    }
}

fn explain(refused: TransferRefused, to: &str) -> TransferError {
    match refused {
        TransferRefused::NotLeader(leader) => TransferError::NotLeader { leader },
        TransferRefused::NotVoter => TransferError::BadTarget(format!("{to} is not another voter")),
        TransferRefused::Busy => TransferError::InProgress,
    }
}
