//! The members as the log says.

use crate::api::call::Call;
use crate::api::clock::Clock;
use crate::api::context::Api;
use crate::api::fault::Fault;
use crate::api::remote::{Answer, Question};
use crate::api::router::{Router, mismatched};
use crate::member::Member;
use crate::reason::Reason;
use crate::types::NodeId;

impl Api {
    /// All members, in order of name.
    pub fn members(&self) -> Vec<Member> {
        let mut listed: Vec<Member> = self.router.handle.status().members.iter().cloned().collect();
        listed.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
        listed
    }
}

impl<C: Clock> Router<C> {
    /// Has the leader put a member's URLs into the log.
    pub async fn advertise(&self, call: &Call, member: Member) -> Result<(), Fault> {
        match self.ask_leader(call, Question::Advertise(member)).await?.answer {
            Answer::Advertised => Ok(()),
            _ => Err(mismatched()),
        }
    }

    /// A member's name in the log; empty if it is not a member.
    pub fn name_of(&self, node: NodeId) -> String {
        self.handle.status().members.get(node).map(|member| member.name.clone()).unwrap_or_default()
    }
}

/// The node with this name or id; `None` leaves the choice to the leader.
pub(in crate::api) fn named(to: &str, members: &[Member]) -> Result<Option<NodeId>, Fault> {
    if to.is_empty() {
        return Ok(None);
    }
    let by_name = members.iter().find(|member| member.name == to);
    let by_id = || members.iter().find(|member| to.parse() == Ok(member.id.get()));
    match by_name.or_else(by_id) {
        Some(member) => Ok(Some(member.id)),
        None => {
            let names: Vec<_> = members.iter().map(|member| member.name.as_str()).collect();
            let message =
                format!("no member has the name or id {to:?}; the members are {}", names.join(", "));
            Err(Fault::field(Reason::BadTransferTarget, "to", message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_named_or_numbered_and_a_name_wins() {
        let members = [(11, "n1"), (12, "n2"), (13, "11")].map(|(id, name)| Member::named(NodeId(id), name));
        assert_eq!(named("", &members), Ok(None));
        assert_eq!(named("n2", &members), Ok(Some(NodeId(12))));
        assert_eq!(named("12", &members), Ok(Some(NodeId(12))));
        assert_eq!(named("11", &members), Ok(Some(NodeId(13))));
        let fault = named("n9", &members).unwrap_err();
        assert_eq!(fault.reason(), Reason::BadTransferTarget);
        assert!(fault.message().contains("n1, n2"));
    }
}
