//! The meaning of `--initial-cluster`: it founds a new cluster. From then on the log says who is a member, and the list
//! is only one more place to look for the others.

use crate::member::Member;
use crate::raft::Members;
use crate::storage;

/// The members of a new cluster, by name only: each node makes the founding state by itself, and it must be the same
/// everywhere, while URLs may differ.
pub(super) fn founders(identity: &storage::Identity) -> Members {
    Members::founding(identity.founders.iter().map(|(id, name)| Member::named(*id, name)))
}

/// Logs where the list contradicts the members.
pub(super) fn compare(listed: &[Member], members: &Members, own: &Member) {
    let contradictions = contradictions(listed, members, own);
    if !contradictions.is_empty() {
        tracing::warn!(
            "the members come from the log, and --initial-cluster only says where to look for them: it {}",
            contradictions.join("; it ")
        );
    }
}

fn contradictions(listed: &[Member], members: &Members, own: &Member) -> Vec<String> {
    let strangers = listed.iter().filter(|member| !members.contains(member.id));
    let strangers = strangers.map(|member| format!("names {}, which is not a member", member.name));
    let absent = members.iter().filter(|member| !listed.iter().any(|listed| listed.id == member.id));
    let absent = absent.map(|member| format!("does not name {}", member.name));
    let elsewhere = listed.iter().filter_map(|listed| {
        let (logged_url, listed_url) = (members.get(listed.id)?.peer_url()?, listed.peer_url()?);
        // This node's own URL is about to be advertised.
        let differs = listed.id != own.id && logged_url != listed_url;
        differs
            .then(|| format!("says that {} is at {listed_url}, but the log says {logged_url}", listed.name))
    });
    strangers.chain(absent).chain(elsewhere).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::NodeId;

    fn member(id: u64, url: &str) -> Member {
        Member { peer_urls: vec![url.into()], ..Member::named(NodeId(id), format!("n{id}")) }
    }

    #[test]
    fn only_what_contradicts_the_members_is_said() {
        let own = member(1, "a");
        let members =
            Members::founding([own.clone(), member(2, "b"), Member::named(NodeId(3), "n3"), member(5, "e")]);
        let listed = [member(1, "moved"), member(2, "z"), member(3, "c"), member(4, "d")];
        assert_eq!(
            contradictions(&listed, &members, &own),
            [
                "names n4, which is not a member",
                "does not name n5",
                "says that n2 is at z, but the log says b"
            ]
        );
        assert!(contradictions(&[], &Members::default(), &own).is_empty());
    }
}
