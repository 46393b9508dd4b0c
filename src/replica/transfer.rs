//! Transfers of leadership, and who waits for them.

use crate::raft::{Node, RoleName, TransferRefused};
use crate::replica::error::TransferError;
use crate::types::{NodeId, Term};
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
            Some(to) => node.transfer_leadership(to).map(|()| to).map_err(|refused| explain(refused, to)),
            None if node.role() == RoleName::Leader => {
                Err(TransferError::BadTarget("there is no other voter to hand over to".into()))
            }
            None => Err(TransferError::NotLeader { leader: node.leader() }),
        };
        match outcome {
            Ok(to) => self.waiting = Some(Waiting { to, term: node.hard_state().term, reply }),
            Err(error) => {
                let _ = reply.send(Err(error)); // Whoever asked may have gone.
            }
        }
    }

    /// Answers when the outcome is known: a new leader, or the old one going on.
    pub(crate) fn watch(&mut self, node: &Node) {
        let Some(waiting) = &self.waiting else { return };
        let same_term = node.hard_state().term == waiting.term;
        let outcome = if same_term && node.role() == RoleName::Leader {
            if node.transferring().is_some() {
                return;
            }
            Err(TransferError::TimedOut(waiting.to))
        } else {
            match node.leader() {
                Some(leader) if leader == waiting.to => Ok(leader),
                Some(_) => Err(TransferError::TimedOut(waiting.to)),
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
    voters.max_by_key(|follower| follower.matched).map(|follower| follower.node)
}

fn explain(refused: TransferRefused, to: NodeId) -> TransferError {
    match refused {
        TransferRefused::NotLeader(leader) => TransferError::NotLeader { leader },
        TransferRefused::NotVoter => TransferError::BadTarget(format!("node {to} is not another voter")),
        TransferRefused::Busy => TransferError::BadTarget("another transfer is under way".into()),
    }
}
