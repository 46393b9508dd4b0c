//! Whether to try again, where and when. Pure, so that the rules can be read
//! and tested apart from any network.

use crate::address::NodeUrl;
use crate::client::error::Failure;
use crate::reason::Outcome;
use std::time::Duration;
use tonic::Code;

/// The first pause; it doubles from try to try.
const PAUSE_MIN: Duration = Duration::from_millis(20);

/// The longest pause: about as long as an election.
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// What kind of call it is, as far as retries matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallKind {
    /// May be repeated.
    Read,
    /// Must not be applied twice.
    Write,
}

/// What to do after an attempt has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Another attempt would fail too, or do harm.
    GiveUp,
    /// Try another node, at once.
    Elsewhere,
    /// Try this node: it leads, according to the asked one.
    Leader(NodeUrl),
    /// Try again after at least this long.
    Later(Duration),
}

/// Decides what to do after a failure.
pub(super) fn decide(kind: CallKind, failure: &Failure) -> Next {
    match failure {
        Failure::Usage(_) | Failure::Tls(_) => Next::GiveUp,
        Failure::Dns { .. } | Failure::Tcp { .. } | Failure::Silent { .. } => Next::Elsewhere,
        _ if kind == CallKind::Write && failure.outcome() == Outcome::Unknown => Next::GiveUp,
        Failure::Grpc { .. } | Failure::NotGrpc { .. } | Failure::Timeout { .. } => Next::Elsewhere,
        Failure::Refused(refusal) => match (refusal.code, &refusal.leader, refusal.retry_after) {
            (Code::Unavailable, Some(leader), _) => Next::Leader(leader.clone()),
            (Code::Unavailable, None, after) => Next::Later(after.unwrap_or_default()),
            // Full queues drain; a full disk does not, and then the server gives no time.
            (Code::ResourceExhausted, _, Some(after)) => Next::Later(after),
            (Code::DeadlineExceeded, ..) if kind == CallKind::Read => Next::Elsewhere,
            _ => Next::GiveUp,
        },
    }
}

/// A pause before the next try: random, so that many clients do not come back at the same moment, and longer
/// after each attempt.
pub(super) fn pause(attempt: u32, at_least: Duration) -> Duration {
    let ceiling = PAUSE_MIN.saturating_mul(1 << attempt.min(10)).min(PAUSE_MAX);
    let jitter = ceiling.mul_f64(0.5 + fastrand::f64() / 2.0);
    at_least.max(jitter)
}

/// The order in which nodes are asked during one call.
#[derive(Debug)]
pub(super) struct Route {
    nodes: Vec<NodeUrl>,
    at: usize,
    /// Nodes that could not be connected to, or said nothing, since one last answered.
    unreachable: Vec<(NodeUrl, Failure)>,
}

impl Route {
    /// Asks `first`, if it is known who led or answered last, then the others in order.
    pub(super) fn new(endpoints: &[NodeUrl], first: Option<NodeUrl>) -> Self {
        let mut nodes: Vec<NodeUrl> = endpoints.to_vec();
        let mut at = 0;
        if let Some(first) = first {
            at = position(&mut nodes, first);
        }
        Self { nodes, at, unreachable: Vec::new() }
    }

    /// The node to ask now.
    pub(super) fn node(&self) -> &NodeUrl {
        &self.nodes[self.at]
    }

    /// Whether there is more than one node to ask.
    pub(super) fn has_others(&self) -> bool {
        self.nodes.len() > 1
    }

    /// How many nodes there are to ask.
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.nodes.len()).unwrap_or(u32::MAX)
    }

    /// Turns to the next node.
    pub(super) fn advance(&mut self) {
        self.at = (self.at + 1) % self.nodes.len();
    }

    /// Turns to a node that another one named. False if a node has just named itself.
    pub(super) fn turn_to(&mut self, node: NodeUrl) -> bool {
        let other = *self.node() != node;
        self.at = position(&mut self.nodes, node);
        other
    }

    /// The nodes in the order in which they are asked, beginning with the one to ask now.
    pub(super) fn in_order(&self) -> Vec<NodeUrl> {
        let (before, after) = self.nodes.split_at(self.at);
        [after, before].concat()
    }

    /// Notes how an attempt failed. True once no node can be connected to.
    pub(super) fn note(&mut self, failure: &Failure) -> bool {
        if !matches!(failure, Failure::Dns { .. } | Failure::Tcp { .. } | Failure::Silent { .. }) {
            self.unreachable.clear();
            return false;
        }
        self.note_of(self.node().clone(), failure.clone());
        // A node that only says nothing may yet be heard.
        let is_hopeless = |(_, failure): &(_, Failure)| !matches!(failure, Failure::Silent { .. });
        self.unreachable.len() >= self.nodes.len() && self.unreachable.iter().all(is_hopeless)
    }

    /// Notes why a node cannot be asked.
    pub(super) fn note_of(&mut self, node: NodeUrl, failure: Failure) {
        self.unreachable.retain(|(known, _)| *known != node);
        self.unreachable.push((node, failure));
    }

    /// Why the node to ask now cannot be asked, as far as that has been noted.
    pub(super) fn failure(&self) -> Option<Failure> {
        let noted = self.unreachable.iter().find(|(node, _)| node == self.node());
        noted.map(|(_, failure)| failure.clone())
    }

    /// The nodes that could not be reached, except the one that is reported anyway.
    pub(super) fn unreachable(mut self, reported: &NodeUrl) -> Vec<(NodeUrl, Failure)> {
        self.unreachable.retain(|(node, _)| node != reported);
        self.unreachable
    }
}

fn position(nodes: &mut Vec<NodeUrl>, node: NodeUrl) -> usize {
    nodes.iter().position(|known| *known == node).unwrap_or_else(|| {
        nodes.push(node);
        nodes.len() - 1
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::error::{ServerError, ServerReason};
    use std::collections::BTreeMap;
    use std::io::ErrorKind;

    fn url(text: &str) -> NodeUrl {
        NodeUrl::parse(text).unwrap()
    }

    fn refused(code: Code, outcome: Outcome, leader: Option<&str>, after: Option<u64>) -> Failure {
        Failure::Refused(Box::new(ServerError {
            code,
            reason: ServerReason::Other(String::new()),
            message: String::new(),
            outcome,
            details: BTreeMap::new(),
            retry_after: after.map(Duration::from_millis),
            leader: leader.map(url),
        }))
    }

    fn tcp() -> Failure {
        Failure::Tcp { kind: ErrorKind::ConnectionRefused, message: String::new() }
    }

    #[test]
    fn a_write_of_unknown_outcome_is_never_sent_again() {
        let unknown = Outcome::Unknown;
        for failure in [
            refused(Code::Unavailable, unknown, None, None),
            refused(Code::Unavailable, unknown, Some("http://n2:1"), Some(1)),
            refused(Code::ResourceExhausted, unknown, None, Some(1)),
            Failure::Timeout { after: Duration::ZERO, outcome: unknown },
            Failure::Grpc { message: "broke".to_owned(), outcome: unknown },
        ] {
            assert_eq!(decide(CallKind::Write, &failure), Next::GiveUp, "{failure:?}");
            assert_ne!(decide(CallKind::Read, &failure), Next::GiveUp, "{failure:?}");
        }
    }

    #[test]
    fn a_write_that_was_not_applied_is_sent_again_where_that_may_help() {
        let not_applied = Outcome::NotApplied;
        let decide = |failure: &Failure| decide(CallKind::Write, failure);
        assert_eq!(decide(&tcp()), Next::Elsewhere);
        assert_eq!(
            decide(&refused(Code::Unavailable, not_applied, Some("http://n2:1"), None)),
            Next::Leader(url("http://n2:1"))
        );
        assert_eq!(
            decide(&refused(Code::Unavailable, not_applied, None, Some(7))),
            Next::Later(Duration::from_millis(7))
        );
        assert_eq!(
            decide(&refused(Code::ResourceExhausted, not_applied, None, Some(7))),
            Next::Later(Duration::from_millis(7))
        );
        assert_eq!(
            decide(&refused(Code::ResourceExhausted, not_applied, None, None)),
            Next::GiveUp,
            "no space"
        );
        assert_eq!(decide(&refused(Code::InvalidArgument, not_applied, None, None)), Next::GiveUp);
    }

    #[test]
    fn a_route_goes_round_and_knows_when_nobody_is_there() {
        let nodes = [url("http://a:1"), url("http://b:1")];
        let mut route = Route::new(&nodes, None);
        assert!(!route.note(&tcp()));
        route.advance();
        assert_eq!(*route.node(), nodes[1]);
        assert!(route.note(&tcp()), "both were tried");
        assert_eq!(route.unreachable(&nodes[1]), vec![(nodes[0].clone(), tcp())]);
    }

    #[test]
    fn an_answer_of_any_kind_shows_that_somebody_is_there() {
        let nodes = [url("http://a:1"), url("http://b:1")];
        let mut route = Route::new(&nodes, Some(nodes[1].clone()));
        assert_eq!(*route.node(), nodes[1], "the one that answered last comes first");
        assert!(!route.note(&tcp()));
        route.advance();
        assert!(!route.note(&refused(Code::Unavailable, Outcome::NotApplied, None, None)));
        route.advance();
        assert!(!route.note(&tcp()), "the other one answered in between");
    }

    #[test]
    fn a_node_that_says_nothing_may_yet_be_heard() {
        let nodes = [url("http://a:1"), url("http://b:1")];
        let mut route = Route::new(&nodes, Some(nodes[1].clone()));
        assert_eq!(route.in_order(), [nodes[1].clone(), nodes[0].clone()]);
        let silent = Failure::Silent { after: Duration::ZERO };
        route.note_of(nodes[0].clone(), silent.clone());
        assert_eq!(route.failure(), None);
        assert!(!route.note(&tcp()), "it is still to be waited for");
        assert_eq!(route.failure(), Some(tcp()));
        assert_eq!(route.unreachable(&nodes[1]), vec![(nodes[0].clone(), silent)]);
    }

    #[test]
    fn a_leader_that_was_not_known_is_asked_too() {
        let mut route = Route::new(&[url("http://a:1")], None);
        assert!(route.turn_to(url("http://z:1")));
        assert_eq!(*route.node(), url("http://z:1"));
        assert!(!route.turn_to(url("http://z:1")), "it names itself: no news");
    }

    #[test]
    fn pauses_grow_are_bounded_and_keep_to_the_servers_word() {
        for attempt in 0..40 {
            let pause = pause(attempt, Duration::ZERO);
            assert!(pause >= PAUSE_MIN / 2 && pause <= PAUSE_MAX, "{attempt}: {pause:?}");
        }
        assert_eq!(pause(0, Duration::from_secs(1)), Duration::from_secs(1));
    }
}
