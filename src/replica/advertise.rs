//! Replaces a member's URLs.

use crate::member::Member;
use crate::raft::{MembersRefused, Node, ProposeError};
use crate::replica::error::AdvertiseError;

/// Proposes members with these URLs, unless those in force have them already. A name and a vote cannot be changed
/// this way.
pub(crate) fn advertise(node: &mut Node, said: &Member) -> Result<(), AdvertiseError> {
    let members = node.members();
    let known = members.get(said.id).ok_or(AdvertiseError::NotMember(said.id))?;
    // Only the leader knows that nothing newer is in the log.
    if node.leader() == Some(node.id()) && known.has_urls_of(said) {
        return Ok(());
    }
    let members = members.with_urls_of(said).map_err(AdvertiseError::Invalid)?;
    match node.propose_members(members) {
        Ok(_) => Ok(()),
        Err(MembersRefused::Proposal(ProposeError::NotLeader(leader))) => {
            Err(AdvertiseError::NotLeader { leader })
        }
        Err(refused) => Err(AdvertiseError::Busy(refused.to_string())),
    }
}
