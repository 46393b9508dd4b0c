//! The descriptors that a process may open, and how many of them connections may take.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Kept for everything other than accepted connections: the data directory (some 40, a few more while a snapshot
/// comes in), four connections to each of 14 peers, the runtime, and what is accepted in one go before
/// those that must make room for it are closed.
pub const RESERVE: usize = 256;

/// The fewest connections of clients with which a node starts.
const CLIENTS_MIN: usize = 64;

/// The limit is too low for a node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this process may open {limit} files, and a node needs {least}: {RESERVE} for its disk, {peers} for the other \
     nodes, {CLIENTS_MIN} for clients. Raise the hard limit (`ulimit -Hn`, LimitNOFILE= of systemd, --ulimit nofile= \
     of containers)"
)]
pub struct TooFewDescriptors {
    limit: usize,
    least: usize,
    peers: usize,
}

/// Raises the soft limit as far as it is needed and allowed, and answers how many connections clients may have:
/// as many as are `wanted`, or what the limit leaves beside the reserve and the connections of `peers`.
pub fn prepare(wanted: usize, peers: usize) -> Result<usize, TooFewDescriptors> {
    let limit = raise(RESERVE + peers + wanted);
    let clients = shares(limit, wanted, peers)?;
    if clients < wanted {
        tracing::warn!(
            limit,
            wanted,
            clients,
            "the limit of open files allows fewer connections than --max-connections; raise the hard limit"
        );
    }
    Ok(clients)
}

/// Raises the soft limit to `needed` descriptors, or as far as the hard limit allows; answers the limit then.
pub fn raise(needed: usize) -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // None is no limit at all.
    let bounded =
        |limit: Option<u64>| limit.map_or(usize::MAX, |limit| limit.try_into().unwrap_or(usize::MAX));
    let (soft, target) = (bounded(current), needed.min(bounded(maximum)));
    if soft >= target {
        return soft;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: Some(target as u64), maximum }) {
        Ok(()) => target,
        Err(error) => {
            tracing::warn!(%error, soft, "the limit of open files cannot be raised");
            soft
        }
    }
}

fn shares(limit: usize, wanted: usize, peers: usize) -> Result<usize, TooFewDescriptors> {
    let least = RESERVE + peers + CLIENTS_MIN;
    if limit < least {
        return Err(TooFewDescriptors { limit, least, peers });
    }
    Ok(wanted.min(limit - RESERVE - peers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_and_the_peers_come_first() {
        assert_eq!(shares(1_000_000, 4096, 256), Ok(4096));
        assert_eq!(shares(1024, 4096, 256), Ok(512));
        assert_eq!(shares(576, 4096, 256), Ok(64));
        let refused = shares(575, 4096, 256).unwrap_err().to_string();
        assert!(refused.contains("may open 575 files, and a node needs 576"), "{refused}");
    }

    #[test]
    fn the_soft_limit_is_raised_and_never_lowered() {
        let now = raise(0);
        assert_eq!(raise(now), now);
        assert!(raise(now - 1) >= now);
    }
}
