//! The encoding of messages: what is encoded decodes to the same, and nothing else decodes.

use bytes::Bytes;
use kontiki::member::Member;
use kontiki::peers::wire::raft as wire;
use kontiki::proto::raft as pb;
use kontiki::raft::{Append, Entry, Heartbeat, Members, Message, Payload, RequestVote, Round, Vote};
use kontiki::types::{EntryId, Index, NodeId, Term};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use prost::Message as _;
use std::collections::BTreeSet;
use std::ops::Range;

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![1..10u64, 1..1u64 << 40]
}

fn nodes(ids: Range<u64>, count: Range<usize>) -> impl Strategy<Value = BTreeSet<NodeId>> {
    btree_set(ids.prop_map(NodeId), count)
}

fn members() -> impl Strategy<Value = Members> {
    (nodes(1..50, 1..6), nodes(1..50, 0..6), nodes(50..99, 0..4))
        .prop_map(|(voters, outgoing, learners)| Members::of(voters, outgoing, learners))
        .prop_flat_map(|members| (Just(members), urls(), urls()))
        .prop_map(|(members, peer_urls, client_urls)| {
            let said = members.iter().next().cloned().expect("at least one votes");
            members.with_urls_of(&Member { peer_urls, client_urls, ..said }).expect("it is one of them")
        })
}

fn urls() -> impl Strategy<Value = Vec<String>> {
    vec("http://[a-z]{1,9}:[0-9]{4}", 0..3)
}

fn payload() -> impl Strategy<Value = Payload> {
    prop_oneof![
        Just(Payload::Noop),
        vec(any::<u8>(), 0..50).prop_map(|bytes| Payload::Command(Bytes::from(bytes))),
        members().prop_map(Payload::Members),
    ]
}

prop_compose! {
    fn append()(
        start in prop_oneof![Just(EntryId::ZERO), (number(), number()).prop_map(|(t, i)| EntryId::new(t, i))],
        steps in vec((0..3u64, payload()), 0..6),
        ahead in 1..5u64,
        commit in number(),
    ) -> Append {
        let mut at = start;
        let mut entries = Vec::new();
        for (step, payload) in steps {
            at = EntryId { term: Term((at.term.get() + step).max(1)), index: at.index.next() };
            entries.push(Entry { id: at, payload });
        }
        Append { term: Term(at.term.get() + ahead), prev: start, entries, commit: Index(commit) }
    }
}

fn request() -> impl Strategy<Value = Message> {
    prop_oneof![
        append().prop_map(Message::Append),
        (number(), number(), any::<u64>()).prop_map(|(term, commit, round)| Message::Heartbeat(Heartbeat {
            term: Term(term),
            commit: Index(commit),
            round: Round(round),
        })),
    ]
}

fn response() -> impl Strategy<Value = Message> {
    (number(), number(), number(), 0..3).prop_map(|(term, first, second, kind)| match kind {
        0 => Message::Accepted { term: Term(term), matched: Index(first) },
        1 => Message::Rejected { term: Term(term), prev: Index(first), hint: EntryId::new(second, first) },
        _ => Message::HeartbeatAck {
            term: Term(term),
            round: Round(first),
            received: Index(second),
            full: first.is_multiple_of(2),
        },
    })
}

proptest! {
    #[test]
    fn requests_come_back_as_they_were(message in request()) {
        let bytes = wire::append_request(message.clone()).unwrap().encode_to_vec();
        let decoded = pb::AppendEntriesRequest::decode(&bytes[..]).unwrap();
        prop_assert_eq!(wire::checked_append_request(decoded), Ok(message));
    }

    #[test]
    fn responses_come_back_as_they_were(message in response()) {
        let bytes = wire::append_response(message.clone()).unwrap().encode_to_vec();
        let decoded = pb::AppendEntriesResponse::decode(&bytes[..]).unwrap();
        prop_assert_eq!(wire::checked_append_response(decoded), Ok(message));
    }

    /// Whatever bytes arrive, they are refused or make a message that would be
    /// sent in the same form again; nothing panics.
    #[test]
    fn damaged_bytes_never_make_an_impossible_message(
        message in request(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = wire::append_request(message).unwrap().encode_to_vec();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(decoded) = pb::AppendEntriesRequest::decode(&bytes[..])
            && let Ok(message) = wire::checked_append_request(decoded)
        {
            let again = wire::append_request(message.clone()).unwrap();
            prop_assert_eq!(wire::checked_append_request(again), Ok(message));
        }
    }

    #[test]
    fn votes_come_back_as_they_were(last in 0..9u64, ahead in 1..9u64, pre: bool, transfer: bool, granted: bool) {
        let last = if last == 0 { EntryId::ZERO } else { EntryId::new(last, 7) };
        let asked = RequestVote { term: Term(last.term.get() + ahead), last, pre, transfer };
        let request = wire::vote_request(asked, pb::Sender::default());
        prop_assert_eq!(wire::checked_vote_request(&request), Ok(asked));
        let vote = Vote { term: asked.term, granted, pre };
        prop_assert_eq!(wire::checked_vote_response(wire::vote_response(vote), &asked), Ok(vote));
    }
}

fn append_of(change: impl FnOnce(&mut pb::Append)) -> pb::AppendEntriesRequest {
    let command = Some(pb::entry::Payload::Command(Bytes::from_static(b"x")));
    let entry = |term| pb::Entry { term, payload: command.clone() };
    let mut append = pb::Append {
        term: 3,
        prev: Some(pb::EntryId { term: 2, index: 5 }),
        entries: vec![entry(2), entry(3)],
        commit_index: 5,
    };
    change(&mut append);
    pb::AppendEntriesRequest { message: Some(pb::append_entries_request::Message::Append(append)) }
}

fn with_members(members: pb::Members) -> pb::AppendEntriesRequest {
    append_of(|append| append.entries[1].payload = Some(pb::entry::Payload::Members(members)))
}

#[test]
fn broken_rules_are_named() {
    wire::checked_append_request(append_of(|_| ())).expect("the sample itself is fine");
    let voters = |voters: &[u64], learners: &[u64]| {
        let node = |id: &u64, learner| pb::Member { id: *id, learner, ..Default::default() };
        let voting = voters.iter().map(|id| node(id, false));
        let nodes = voting.chain(learners.iter().map(|id| node(id, true))).collect();
        with_members(pb::Members { voters: voters.to_vec(), outgoing_voters: vec![], nodes })
    };
    let reached = |peer_urls: &[String]| {
        let member = pb::Member { id: 1, peer_urls: peer_urls.to_vec(), ..Default::default() };
        with_members(pb::Members { voters: vec![1], nodes: vec![member], ..Default::default() })
    };
    let noops =
        |count| vec![pb::Entry { term: 3, payload: Some(pb::entry::Payload::Noop(pb::NoOp {})) }; count];
    let cases = [
        (pb::AppendEntriesRequest { message: None }, "unknown kind"),
        (append_of(|append| append.term = 0), "term 0"),
        (append_of(|append| append.term = u64::MAX), "out of range"),
        (append_of(|append| append.prev = None), "is missing"),
        (append_of(|append| append.prev = Some(pb::EntryId { term: 0, index: 5 })), "5@0"),
        (append_of(|append| append.prev = Some(pb::EntryId { term: 2, index: 0 })), "0@2"),
        (append_of(|append| append.prev = Some(pb::EntryId { term: 4, index: 5 })), "behind 5@4"),
        (
            append_of(|append| append.prev = Some(pb::EntryId { term: 2, index: i64::MAX as u64 })),
            "out of range",
        ),
        (append_of(|append| append.entries[0].term = 1), "entry 6@1 behind 5@2"),
        (append_of(|append| append.entries[1].term = 4), "entry 7@4"),
        (append_of(|append| append.entries[1].term = 1), "entry 7@1 behind 6@2"),
        (append_of(|append| append.entries[0].payload = None), "entry 6@2 is empty"),
        (append_of(|append| append.entries = noops(wire::ENTRIES_MAX + 1)), "limit 65536"),
        (append_of(|append| append.commit_index = u64::MAX), "out of range"),
        (voters(&[], &[]), "without a voter"),
        (voters(&[1, 1], &[]), "twice"),
        (voters(&[0, 1], &[]), "the id 0"),
        (voters(&[1, 2], &[2]), "a voter and a learner"),
        (voters(&(1..2000).collect::<Vec<u64>>(), &[]), "limit 128"),
        (voters(&[1], &(2..200).collect::<Vec<u64>>()), "more than 128 members"),
        (with_members(pb::Members { voters: vec![1], ..Default::default() }), "votes and is not a member"),
        (reached(&vec![String::new(); 9]), "9 URLs of a kind, limit 8"),
        (reached(&["u".repeat(513)]), "a URL of 513 bytes, limit 512"),
    ];
    for (request, expected) in cases {
        let error = wire::checked_append_request(request).unwrap_err();
        assert!(error.0.contains(expected), "{error} should say {expected:?}");
    }
}

#[test]
fn answers_to_other_questions_are_refused() {
    let asked = RequestVote { term: Term(5), last: EntryId::new(4, 9), pre: false, transfer: false };
    let answer = |term, granted, pre_vote| pb::RequestVoteResponse { term, granted, pre_vote };
    assert!(wire::checked_vote_response(answer(5, true, true), &asked).is_err(), "of a pre-vote");
    assert!(wire::checked_vote_response(answer(4, true, false), &asked).is_err(), "for an older term");
    assert!(wire::checked_vote_response(answer(0, false, false), &asked).is_ok(), "a voter new to elections");

    let sender = pb::Sender::default();
    let stale = RequestVote { term: Term(4), ..asked };
    let error = wire::checked_vote_request(&wire::vote_request(stale, sender)).unwrap_err();
    assert!(error.0.contains("a candidate of term 4 whose log ends in term 4"), "{error}");
}

/// What goes into the log is a copy: there it stays for long after the rest of the message is gone.
#[test]
fn entries_pin_no_receive_buffer() {
    let buffer = Bytes::from(vec![7; 1 << 16]);
    let entry =
        |range| pb::Entry { term: 1, payload: Some(pb::entry::Payload::Command(buffer.slice(range))) };
    let append = pb::Append {
        term: 1,
        prev: Some(pb::EntryId { term: 0, index: 0 }),
        entries: vec![entry(0..3), entry(3..3), entry(10..20)],
        commit_index: 0,
    };
    let message = Some(pb::append_entries_request::Message::Append(append));
    let taken = wire::checked_append_request(pb::AppendEntriesRequest { message }).unwrap();
    let Message::Append(append) = taken else { panic!("{taken:?}") };
    let sizes = append.entries.iter().map(|entry| entry.payload.size() - Payload::Noop.size());
    assert_eq!(sizes.collect::<Vec<_>>(), [3, 0, 10]);
    assert!(buffer.is_unique());
}
