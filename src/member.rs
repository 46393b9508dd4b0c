//! A member of the cluster. Shared by every layer: consensus and the log, the connections, the API and the
//! configuration.

use crate::types::NodeId;

/// The longest name, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// The longest URL, in bytes.
pub const URL_BYTES_MAX: usize = 512;
/// The most URLs of each kind.
const URLS_MAX: usize = 8;

/// A member: its name, its URLs, and whether it votes.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    pub id: NodeId,
    /// Its name. It never changes: the id is derived from it.
    pub name: String,
    /// Where the other nodes reach it, best first; empty until it has advertised them.
    pub peer_urls: Vec<String>,
    /// Where clients reach it, likewise.
    pub client_urls: Vec<String>,
    /// Whether it receives the log without a vote (thesis §4.2.1).
    pub learner: bool,
}

impl Member {
    /// A voter that has not advertised its URLs.
    pub fn named(id: NodeId, name: impl Into<String>) -> Self {
        Self { id, name: name.into(), ..Self::default() }
    }

    /// The first URL for other nodes, if any is known.
    pub fn peer_url(&self) -> Option<&str> {
        self.peer_urls.first().map(String::as_str)
    }

    /// The first URL for clients, if any is known.
    pub fn client_url(&self) -> Option<&str> {
        self.client_urls.first().map(String::as_str)
    }

    /// Whether it has the same URLs.
    pub fn has_urls_of(&self, other: &Self) -> bool {
        self.peer_urls == other.peer_urls && self.client_urls == other.client_urls
    }

    /// Its size in bytes, about.
    pub fn size(&self) -> usize {
        let urls = self.peer_urls.iter().chain(&self.client_urls);
        16 + self.name.len() + urls.map(|url| 4 + url.len()).sum::<usize>()
    }

    /// Refuses the id 0, and names and URLs that are too long or too many.
    pub fn check(&self) -> Result<(), InvalidMember> {
        let Self { id, name, peer_urls, client_urls, .. } = self;
        let invalid = |what: String| Err(InvalidMember(what));
        if *id == NodeId(0) {
            return invalid("no node has the id 0".into());
        }
        if name.len() > NAME_BYTES_MAX {
            return invalid(format!("node {id} has a name of {} bytes, limit {NAME_BYTES_MAX}", name.len()));
        }
        for urls in [peer_urls, client_urls] {
            if urls.len() > URLS_MAX {
                return invalid(format!("node {id} has {} URLs of a kind, limit {URLS_MAX}", urls.len()));
            }
            if let Some(url) = urls.iter().find(|url| url.len() > URL_BYTES_MAX) {
                return invalid(format!("node {id} has a URL of {} bytes, limit {URL_BYTES_MAX}", url.len()));
            }
        }
        Ok(())
    }
}

/// Why something cannot be a member.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidMember(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_in_every_log_is_bounded() {
        let good = Member {
            peer_urls: vec!["u".repeat(512); 8],
            client_urls: vec!["http://n1:2379".into()],
            ..Member::named(NodeId(1), "n".repeat(64))
        };
        assert_eq!(good.check(), Ok(()));
        for (bad, says) in [
            (Member { id: NodeId(0), ..good.clone() }, "id 0"),
            (Member { name: "n".repeat(65), ..good.clone() }, "65 bytes, limit 64"),
            (Member { peer_urls: vec![String::new(); 9], ..good.clone() }, "9 URLs"),
            (Member { client_urls: vec!["u".repeat(513)], ..good.clone() }, "513 bytes"),
        ] {
            let error = bad.check().unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
