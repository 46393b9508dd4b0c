//! The members as clients see them: who is in the log's configuration, with
//! the names and addresses that the connections know.

use crate::api::context::Api;
use crate::api::fault::Fault;
use crate::api::node_status::Member;
use crate::api::remote::MemberInfo;
use crate::raft::Members;
use crate::reason::Reason;
use crate::types::NodeId;

impl Api {
    /// All members, ordered by name.
    pub fn members(&self) -> Vec<Member> {
        combined(&self.router.handle.status().members, self.router.others.members())
    }
}

/// The log says who is a member. Before it does, those that the node was told of are listed.
fn combined(members: &Members, known: Vec<MemberInfo>) -> Vec<Member> {
    let mut listed: Vec<Member> = if members.all().next().is_none() {
        known.into_iter().map(|info| member(info, false)).collect()
    } else {
        let info = |node| known.iter().find(|info| info.node == node).cloned();
        let listed = |node| {
            let learner = !members.is_voter(node);
            info(node).map_or_else(|| Member::unknown(node, learner), |info| member(info, learner))
        };
        members.all().map(listed).collect()
    };
    listed.sort_by(|a, b| (&a.name, a.node).cmp(&(&b.name, b.node)));
    listed
}

fn member(info: MemberInfo, learner: bool) -> Member {
    Member {
        node: info.node,
        name: info.name,
        peer_url: info.peer_url,
        client_url: info.client_url.unwrap_or_default(),
        learner,
    }
}

/// The node that a name or an id means; `None` leaves the choice to the leader.
pub(in crate::api) fn named(to: &str, members: &[Member]) -> Result<Option<NodeId>, Fault> {
    if to.is_empty() {
        return Ok(None);
    }
    let by_name = members.iter().find(|member| member.name == to);
    let by_id = || members.iter().find(|member| to.parse() == Ok(member.node.get()));
    match by_name.or_else(by_id) {
        Some(member) => Ok(Some(member.node)),
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

    fn info(node: u64, name: &str) -> MemberInfo {
        MemberInfo {
            node: NodeId(node),
            name: name.into(),
            peer_url: format!("http://{name}:2380"),
            client_url: None,
        }
    }

    #[test]
    fn the_log_says_who_is_a_member_and_the_connections_where() {
        let mut members = Members::of_voters([NodeId(1), NodeId(2)]);
        members.learners.insert(NodeId(3));
        let listed = combined(&members, vec![info(1, "b"), info(2, "a"), info(4, "stranger")]);
        let seen: Vec<_> = listed.iter().map(|m| (m.node.get(), &*m.name, m.learner)).collect();
        assert_eq!(seen, [(3, "", true), (2, "a", false), (1, "b", false)]);
    }

    #[test]
    fn before_there_is_a_log_the_configured_ones_are_listed() {
        let listed = combined(&Members::default(), vec![info(2, "n2"), info(1, "n1")]);
        let names: Vec<_> = listed.iter().map(|member| &*member.name).collect();
        assert_eq!(names, ["n1", "n2"]);
    }

    #[test]
    fn a_target_is_named_or_numbered_and_a_name_wins() {
        let members = [info(11, "n1"), info(12, "n2"), info(13, "11")].map(|info| member(info, false));
        assert_eq!(named("", &members), Ok(None));
        assert_eq!(named("n2", &members), Ok(Some(NodeId(12))));
        assert_eq!(named("12", &members), Ok(Some(NodeId(12))));
        assert_eq!(named("11", &members), Ok(Some(NodeId(13))));
        let fault = named("n9", &members).unwrap_err();
        assert_eq!(fault.reason(), Reason::BadTransferTarget);
        assert!(fault.message().contains("n1, n2"));
    }
}
