//! Well-formed messages to the peer ports from one who is no node of the cluster.

use super::arena::Arena;
use super::case::{Case, Ground, Innocents, Limits, Step};
use super::forger::{Forger, Forgery, Knows};
use super::tally::Tally;
use crate::cluster::harness::get;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use kontiki::kv::Put;
use kontiki::machine::Command;
use kontiki::proto::raft as pb;
use kontiki::proto::v1::ReadLevel;
use std::time::Duration;
use tonic::{Response, Status, Streaming};
use xxhash_rust::xxh3::xxh3_128;

/// No term that a cluster comes to is near this one, and there is none behind it.
const LAST_TERM: u64 = i64::MAX as u64;
/// Put by a forged question, and by nobody else.
const FORGED_KEY: &str = "forged";

/// It has a connection for each pair of members.
const FORGED: Limits = Limits { slowest_put: Duration::from_millis(500), ..Limits::USUAL };

const fn case(name: &'static str, fault: &'static str, what: &'static str, attack: Step<Tally>) -> Case {
    Case { name, fault, what, attack, limits: FORGED, ..Case::USUAL }
}

/// Where the nodes have a secret. The forger knows everything else.
const fn with_secret(name: &'static str, what: &'static str, attack: Step<Tally>) -> Case {
    let limits = Limits { slowest_put: Duration::from_millis(900), ..FORGED };
    Case { ground: Ground { secret: true, ..Ground::USUAL }, limits, ..case(name, "F22", what, attack) }
}

pub const CASES: &[Case] = &[
    Case {
        quick: true,
        ..case(
            "forged-votes",
            "F1",
            "votes of the last of all terms from one who knows what clients know",
            |arena| Box::pin(async { refused(arena, Knows::Clients, "SETTINGS_DIFFER", votes).await }),
        )
    },
    case("forged-votes-settings", "F1", "the same from one who knows the shared settings", |arena| {
        Box::pin(async { refused(arena, Knows::Settings, "MEMBER_WIPED", votes).await })
    }),
    with_secret("forged-votes-with-secret", "the same from one who knows all but the secret", |arena| {
        Box::pin(async { refused(arena, Knows::Everything, "PermissionDenied", votes).await })
    }),
    case("pre-votes-of-a-member", "F1", "pre-votes of far terms that a member seems to ask for", |arena| {
        Box::pin(pre_votes(arena))
    }),
    case(
        "votes-against-the-leader",
        "F1",
        "votes of a higher term that a member seems to ask for while there is a leader",
        |arena| Box::pin(votes_against_the_leader(arena)),
    ),
    case(
        "vote-of-a-member-leaps",
        "F1",
        "one vote of the last of all terms that a member seems to ask for",
        |arena| Box::pin(vote_leaps(arena)),
    ),
    case(
        "append-of-a-member-leaps",
        "F1",
        "one heartbeat of the last of all terms that a member seems to send",
        |arena| Box::pin(append_leaps(arena)),
    ),
    case("forged-members", "F22", "appends of members among whom the recipient only learns", |arena| {
        Box::pin(async { refused(arena, Knows::Settings, "MEMBER_WIPED", demotions).await })
    }),
    with_secret("forged-members-with-secret", "the same where the nodes have a secret", |arena| {
        Box::pin(async { refused(arena, Knows::Everything, "PermissionDenied", demotions).await })
    }),
    case("forged-appends", "F22", "appends of a higher term", |arena| {
        Box::pin(async { refused(arena, Knows::Clients, "SETTINGS_DIFFER", appends).await })
    }),
    case("forged-timeout-now", "F22", "orders to stand for election", |arena| {
        Box::pin(async { refused(arena, Knows::Settings, "MEMBER_WIPED", timeouts).await })
    }),
    case(
        "timeout-now-of-a-follower",
        "F22",
        "orders to stand for election that a follower seems to give",
        |arena| Box::pin(timeouts_of_followers(arena)),
    ),
    case("forged-snapshots", "F22", "snapshots of noise", |arena| {
        Box::pin(async { refused(arena, Knows::Settings, "MEMBER_WIPED", snapshots).await })
    }),
    Case {
        quick: true,
        ..case(
            "snapshots-of-a-member",
            "F22",
            "snapshots of noise with true checksums that a member seems to send",
            |arena| Box::pin(snapshots_of_members(arena)),
        )
    },
    Case {
        quick: true,
        ground: Ground { innocents: Innocents::Elsewhere, ..Ground::USUAL },
        limits: Limits { slowest_put: Duration::from_millis(800), ..FORGED },
        ..case(
            "forged-introductions",
            "F22",
            "members that introduce themselves with another data directory; one is started again",
            |arena| Box::pin(introductions(arena)),
        )
    },
    case("forged-questions", "F22", "puts behind the hello of another cluster", |arena| {
        Box::pin(questions(arena, Knows::Everything, "WRONG_CLUSTER", |sender| sender.cluster_id ^= 1))
    }),
    case("misled-questions", "F22", "puts that are meant for another node", |arena| {
        Box::pin(questions(arena, Knows::Everything, "WRONG_RECIPIENT", |sender| {
            sender.recipient_id = sender.node_id;
        }))
    }),
    with_secret("forged-questions-with-secret", "puts from one who knows all but the secret", |arena| {
        Box::pin(questions(arena, Knows::Everything, "PermissionDenied", |_| ()))
    }),
    Case {
        limits: Limits { recovery: Duration::from_secs(15), ..FORGED },
        ..case(
            "hellos-without-end",
            "F22",
            "600 streams to each peer port without a hello, of each kind",
            |arena| Box::pin(hellos(arena)),
        )
    },
    Case {
        // Each refusal is a connection.
        limits: Limits { descriptors: 600, ..FORGED },
        ..with_secret("hellos-without-end-with-secret", "the same where the nodes have a secret", |arena| {
            Box::pin(hellos(arena))
        })
    },
];

/// What is forged must be refused for this reason, always, and without effect.
async fn refused<R, T>(arena: &mut Arena, knows: Knows, reason: &str, forge: fn(Forgery) -> R) -> Tally
where
    R: Future<Output = Result<T, Status>> + Send + 'static,
    T: Send + 'static,
{
    let term = arena.term().await;
    let tally = Forger::of(arena, knows).await.flood(1, forge).await;
    assert_refused(&tally, reason);
    assert_eq!(arena.term().await, term, "a stranger moved the term");
    tally
}

fn assert_refused(tally: &Tally, reason: &str) {
    assert_eq!(tally.count("ok"), 0, "a stranger is answered: {tally}");
    assert!(tally.count(reason) > 0, "nobody was refused for {reason}: {tally}");
}

fn vote(forgery: &Forgery) -> pb::RequestVoteRequest {
    pb::RequestVoteRequest {
        sender: Some(forgery.sender.clone()),
        term: LAST_TERM,
        last: Some(pb::EntryId { term: LAST_TERM - 1, index: LAST_TERM - 1 }),
        leadership_transfer: true,
        ..Default::default()
    }
}

/// A vote and a pre-vote.
async fn votes(mut forgery: Forgery) -> Result<Response<pb::RequestVoteResponse>, Status> {
    let pre_vote = pb::RequestVoteRequest { pre_vote: true, ..vote(&forgery) };
    forgery.client.request_vote(pre_vote).await?;
    forgery.client.request_vote(vote(&forgery)).await
}

/// Of a term that a candidate may come to, with a log that nobody has more of.
fn plausible_vote(forgery: &Forgery) -> pb::RequestVoteRequest {
    let term = forgery.term + 1_000;
    let last = Some(pb::EntryId { term: term - 1, index: forgery.last_index + 1_000_000 });
    pb::RequestVoteRequest { term, last, leadership_transfer: false, ..vote(forgery) }
}

async fn pre_vote(mut forgery: Forgery) -> Result<(), Status> {
    let request = pb::RequestVoteRequest { pre_vote: true, ..plausible_vote(&forgery) };
    let vote = forgery.client.request_vote(request).await?.into_inner();
    assert!(!vote.granted, "a vote against a leader that is alive");
    Ok(())
}

async fn pre_votes(arena: &mut Arena) -> Tally {
    let term = arena.term().await;
    let tally = Forger::of(arena, Knows::Everything).await.flood(1, pre_vote).await;
    assert!(tally.count("ok") > 0, "{tally}");
    assert_eq!(arena.term().await, term, "a pre-vote moved the term");
    tally
}

/// Without the word that the leader wants it.
async fn plausible_votes(mut forgery: Forgery) -> Result<Response<pb::RequestVoteResponse>, Status> {
    forgery.client.request_vote(plausible_vote(&forgery)).await
}

async fn votes_against_the_leader(arena: &mut Arena) -> Tally {
    let term = arena.term().await;
    let tally = Forger::of(arena, Knows::Everything).await.flood(1, plausible_votes).await;
    assert_refused(&tally, "DeadlineExceeded");
    assert_eq!(arena.term().await, term, "a vote was cast against a leader that is alive");
    tally
}

/// The term that the cluster comes to must be one that elections can lead on from.
async fn assert_no_leap(arena: &Arena, term: u64) {
    tokio::time::sleep(Duration::from_secs(2)).await;
    let now = arena.term().await;
    assert!(now < term + 1_000, "from term {term} the cluster leapt to {now}");
}

async fn vote_leaps(arena: &mut Arena) -> Tally {
    let term = arena.term().await;
    let forger = Forger::of(arena, Knows::Everything).await;
    let mut tally = Tally::default();
    for to in arena.others() {
        let mut forgery = forger.forgery(arena.follower, to);
        tally.add_answer(&forgery.client.request_vote(vote(&forgery)).await);
    }
    assert_no_leap(arena, term).await;
    tally
}

async fn append_leaps(arena: &mut Arena) -> Tally {
    use pb::append_entries_request::Message;
    let term = arena.term().await;
    let forger = Forger::of(arena, Knows::Everything).await;
    let mut tally = Tally::default();
    for to in arena.others() {
        let forgery = forger.forgery(arena.follower, to);
        let heartbeat = pb::Heartbeat { term: LAST_TERM, commit_index: 0, round: 1 };
        // It is against the rules, so its refusal tells that all before it was taken.
        let again = Message::Hello(forgery.sender.clone());
        let mut answers = append(forgery, vec![Message::Heartbeat(heartbeat), again]).await.unwrap();
        let end = loop {
            match answers.message().await {
                Ok(Some(_)) => {}
                other => break other,
            }
        };
        assert!(end.as_ref().is_err_and(|status| status.message().contains("a second hello")), "{end:?}");
        tally.add_answer(&end);
    }
    assert_no_leap(arena, term).await;
    tally
}

/// A stream with a hello and messages, which does not end.
async fn append(
    mut forgery: Forgery,
    messages: Vec<pb::append_entries_request::Message>,
) -> Result<Streaming<pb::AppendEntriesResponse>, Status> {
    let hello = pb::append_entries_request::Message::Hello(forgery.sender.clone());
    let messages = [vec![hello], messages].concat().into_iter();
    let messages = messages.map(|message| pb::AppendEntriesRequest { message: Some(message) });
    let messages = stream::iter(messages).chain(stream::pending());
    Ok(forgery.client.append_entries(messages).await?.into_inner())
}

async fn appends(forgery: Forgery) -> Result<(), Status> {
    let payload = Some(pb::entry::Payload::Noop(pb::NoOp {}));
    append_entry(forgery, payload).await
}

/// Behind what the recipient has, in a higher term.
async fn append_entry(forgery: Forgery, payload: Option<pb::entry::Payload>) -> Result<(), Status> {
    let term = forgery.term + 1;
    let entries = vec![pb::Entry { term, payload }];
    let sent = pb::Append { term, prev: forgery.last(), entries, commit_index: forgery.last_index + 1 };
    append(forgery, vec![pb::append_entries_request::Message::Append(sent)]).await.map(drop)
}

/// Members among whom only the sender votes.
async fn demotions(forgery: Forgery) -> Result<(), Status> {
    let voter = forgery.sender.node_id;
    let mut nodes = forgery.members.clone();
    nodes.iter_mut().for_each(|member| member.learner = member.id != voter);
    let members = pb::Members { voters: vec![voter], nodes, ..Default::default() };
    append_entry(forgery, Some(pb::entry::Payload::Members(members))).await
}

async fn timeouts(mut forgery: Forgery) -> Result<Response<pb::TimeoutNowResponse>, Status> {
    let request = pb::TimeoutNowRequest { sender: Some(forgery.sender), term: forgery.term };
    forgery.client.timeout_now(request).await
}

/// Only the leader may hand over.
async fn timeouts_of_followers(arena: &mut Arena) -> Tally {
    let (term, leader) = (arena.term().await, arena.leader);
    let forger = Forger::of(arena, Knows::Everything).await;
    let tally = forger.flood_from(|from| from != leader, 1, timeouts).await;
    assert!(tally.count("ok") > 0, "{tally}");
    assert_eq!(arena.term().await, term, "a follower was obeyed");
    tally
}

/// Noise as a snapshot that is ahead of the recipient, with true checksums.
async fn snapshots(mut forgery: Forgery) -> Result<Response<pb::InstallSnapshotResponse>, Status> {
    use pb::install_snapshot_request::Message;
    let noise = Bytes::from(vec![0x5a; 4 << 10]);
    let members = pb::Members {
        voters: forgery.members.iter().map(|member| member.id).collect(),
        nodes: forgery.members.clone(),
        ..Default::default()
    };
    let header = pb::SnapshotHeader {
        sender: Some(forgery.sender.clone()),
        term: forgery.term,
        last: Some(pb::EntryId { term: forgery.term, index: forgery.last_index + 1_000_000 }),
        members: Some(members),
    };
    let trailer = pb::SnapshotTrailer {
        length: noise.len() as u64,
        xxh3_128: xxh3_128(&noise).to_be_bytes().to_vec().into(),
    };
    let chunk = pb::SnapshotChunk { offset: 0, crc32c: crc32c::crc32c(&noise), data: noise };
    let pieces = [Message::Header(header), Message::Chunk(chunk), Message::Trailer(trailer)];
    let pieces = pieces.map(|message| pb::InstallSnapshotRequest { message: Some(message) });
    forgery.client.install_snapshot(stream::iter(pieces)).await
}

async fn snapshots_of_members(arena: &mut Arena) -> Tally {
    let forger = Forger::of(arena, Knows::Everything).await;
    let leader = arena.leader;
    let tally = forger.flood_from(|from| from != leader, 1, snapshots).await;
    assert_eq!(tally.count("ok"), 0, "noise was installed: {tally}");
    tally
}

async fn introductions(arena: &mut Arena) -> Tally {
    let tally = refused(arena, Knows::Settings, "MEMBER_WIPED", |mut forgery| async move {
        let request = pb::IntroduceRequest { sender: Some(forgery.sender), founders: Vec::new() };
        forgery.client.introduce(request).await
    })
    .await;
    // The member whose name it used is nobody else for it.
    let follower = arena.follower;
    let node = &mut arena.cluster.nodes[follower];
    node.kill();
    node.start();
    node.ready().await;
    tally
}

/// A put as a node forwards it, without waiting for the answer to its hello.
async fn question(mut forgery: Forgery) -> Result<(), Status> {
    use pb::forward_request::Message;
    let put = Put { key: FORGED_KEY.into(), value: "v".into(), return_previous: false };
    let question = pb::Question {
        id: 1,
        timeout_micros: 5_000_000,
        body: Some(pb::question::Body::Propose(Command::Put(put).encode())),
    };
    let messages = [Message::Hello(forgery.sender.clone()), Message::Question(question)];
    let messages = messages.map(|message| pb::ForwardRequest { message: Some(message) });
    let mut answers = forgery.client.forward(stream::iter(messages)).await?.into_inner();
    while answers.message().await?.is_some() {}
    Ok(())
}

/// With a change to what the sender says of itself.
async fn questions(arena: &mut Arena, knows: Knows, reason: &str, change: fn(&mut pb::Sender)) -> Tally {
    let forger = Forger::of(arena, knows).await;
    let ask = move |mut forgery: Forgery| {
        change(&mut forgery.sender);
        question(forgery)
    };
    let tally = forger.flood(1, ask).await;
    assert_refused(&tally, reason);
    let answer = arena.leader().kv().get(get(FORGED_KEY, ReadLevel::Linearizable)).await.unwrap();
    assert!(answer.into_inner().kv.is_none(), "a stranger's put was applied");
    tally
}

/// Streams that are opened and say nothing.
async fn hellos(arena: &mut Arena) -> Tally {
    let forger = Forger::of(arena, Knows::Clients).await;
    let open = |mut forgery: Forgery| async move {
        let mut others = (forgery.client.clone(), forgery.client.clone());
        let (append, forward, snapshot) = tokio::join!(
            forgery.client.append_entries(stream::pending()),
            others.0.forward(stream::pending()),
            others.1.install_snapshot(stream::pending()),
        );
        append?;
        forward?;
        snapshot.map(drop)
    };
    let tally = forger.flood(100, open).await;
    assert_eq!(tally.count("ok"), 0, "a stranger is answered: {tally}");
    tally
}
