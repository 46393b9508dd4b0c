//! The members as clients see them: who is in the log's configuration, with
//! the names and addresses that the connections know.

use crate::api::peer_calls::MemberInfo;
use crate::grpc::context::Context;
use crate::proto::v1;
use crate::raft::Members;

/// All members, ordered by name.
pub fn all(context: &Context) -> Vec<v1::Member> {
    combined(&context.handle.status().members, context.peers.members())
}

/// The log says who is a member. Before it does, those that the node was told of are listed.
fn combined(members: &Members, known: Vec<MemberInfo>) -> Vec<v1::Member> {
    let mut listed: Vec<v1::Member> = if members.all().next().is_none() {
        known.into_iter().map(|info| member(info, false)).collect()
    } else {
        let info = |node| known.iter().find(|info| info.node == node).cloned();
        members
            .all()
            .map(|node| match info(node) {
                Some(info) => member(info, !members.is_voter(node)),
                None => {
                    v1::Member { node_id: node.get(), learner: !members.is_voter(node), ..Default::default() }
                }
            })
            .collect()
    };
    listed.sort_by(|a, b| (&a.name, a.node_id).cmp(&(&b.name, b.node_id)));
    listed
}

fn member(info: MemberInfo, learner: bool) -> v1::Member {
    v1::Member {
        node_id: info.node.get(),
        name: info.name,
        peer_url: info.peer_url,
        client_url: info.client_url.unwrap_or_default(),
        learner,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::NodeId;

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
        let seen: Vec<_> = listed.iter().map(|m| (m.node_id, &*m.name, m.learner)).collect();
        assert_eq!(seen, [(3, "", true), (2, "a", false), (1, "b", false)]);
    }

    #[test]
    fn before_there_is_a_log_the_configured_ones_are_listed() {
        let listed = combined(&Members::default(), vec![info(2, "n2"), info(1, "n1")]);
        let names: Vec<_> = listed.iter().map(|member| &*member.name).collect();
        assert_eq!(names, ["n1", "n2"]);
    }
}
