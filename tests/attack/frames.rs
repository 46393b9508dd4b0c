//! Bytes that are no call: frames without end, floods of them, other protocols, noise.

use super::arena::Arena;
use super::case::{Case, Ground, Limits, Step};
use super::pour::{Liquid, pour};
use super::raw::{
    CONTINUATION, DATA, END_HEADERS, HEADERS, PING, PREFACE, PRIORITY, RST_STREAM, Raw, SETTINGS,
    WINDOW_UPDATE, call, frame, header,
};
use super::tally::Tally;
use std::time::{Duration, Instant};

/// How long a flood lasts.
const FLOOD: Duration = Duration::from_secs(4);
/// Frames in one write.
const BATCH: u32 = 1_000;

/// The attacker's own work takes as much of two cores as the nodes leave it.
const FLOODED: Limits = Limits { slowest_put: Duration::from_millis(500), ..Limits::USUAL };

const fn flood(name: &'static str, what: &'static str, attack: Step<Tally>) -> Case {
    Case { name, fault: "F5", what, attack, limits: FLOODED, ..Case::USUAL }
}

pub const CASES: &[Case] = &[
    Case {
        quick: true,
        ..flood("flood-settings", "SETTINGS without end on 4 connections to each client port", |arena| {
            Box::pin(async { at_clients(arena, vec![frame(SETTINGS, 0, 0, &[]); BATCH as usize].concat()).await })
        })
    },
    flood("flood-settings-peers", "SETTINGS without end on 4 connections to each peer port", |arena| {
        Box::pin(async { at_peers(arena, vec![frame(SETTINGS, 0, 0, &[]); BATCH as usize].concat()).await })
    }),
    flood("flood-settings-big", "SETTINGS of 2,000 parameters each, without end", |arena| {
        Box::pin(async { at_clients(arena, frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 4, 0].repeat(2_000))).await })
    }),
    flood("flood-ping", "PING without end on 4 connections to each client port", |arena| {
        Box::pin(async { at_clients(arena, vec![frame(PING, 0, 0, &[7; 8]); BATCH as usize].concat()).await })
    }),
    flood("flood-ping-peers", "PING without end on 4 connections to each peer port", |arena| {
        Box::pin(async { at_peers(arena, vec![frame(PING, 0, 0, &[7; 8]); BATCH as usize].concat()).await })
    }),
    flood("flood-window-updates", "WINDOW_UPDATE of one byte without end", |arena| {
        let one = frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]);
        Box::pin(async move { at_clients(arena, one.repeat(BATCH as usize)).await })
    }),
    flood("flood-priority", "PRIORITY without end, for streams that are not open", |arena| {
        let one = frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 16]);
        Box::pin(async move { at_clients(arena, one.repeat(BATCH as usize)).await })
    }),
    flood("flood-unknown-frames", "frames of a kind that HTTP/2 does not have, 16 KiB each", |arena| {
        Box::pin(async { at_clients(arena, frame(0x77, 0, 0, &[7; 16_384])).await })
    }),
    Case {
        quick: true,
        ..flood("rapid-reset", "streams that are opened and reset at once (CVE-2023-44487)", |arena| {
            Box::pin(async { at_clients(arena, resets()).await })
        })
    },
    flood("rapid-reset-peers", "the same on the peer ports", |arena| {
        Box::pin(async { at_peers(arena, resets()).await })
    }),
    flood("flood-continuation", "a header block that never ends (CVE-2024-27316)", |arena| {
        let begin = frame(HEADERS, 0, 1, &call("KvService/Get"));
        let again = frame(CONTINUATION, 0, 1, &header("x", &"y".repeat(8_000)));
        Box::pin(async move { clients_from(arena, begin, again).await })
    }),
    flood("flood-empty-data", "DATA without a byte on one stream, without end", |arena| {
        let begin = frame(HEADERS, END_HEADERS, 1, &call("KvService/Put"));
        let again = frame(DATA, 0, 1, &[]).repeat(BATCH as usize);
        Box::pin(async move { clients_from(arena, begin, again).await })
    }),
    flood("headers-too-large", "a call with 15 KiB of headers in every stream", |arena| {
        Box::pin(async { at_clients(arena, calls(&header("x", &"y".repeat(15_000)), 8)).await })
    }),
    flood("headers-indexed-bomb", "headers that refer 3,000 times to one of 4 KiB (HPACK bomb)", |arena| {
        Box::pin(async { at_clients(arena, calls(&bomb(), 4)).await })
    }),
    flood("calls-of-unknown-methods", "calls of methods that do not exist, without end", |arena| {
        let block = call("KvService/Nothing");
        Box::pin(async move { at_clients(arena, opened(&block, 100)).await })
    }),
    flood("tls-hello", "the beginning of TLS on all ports", |arena| {
        Box::pin(async { everywhere(arena, &[&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3][..], &[7; 512]].concat()).await })
    }),
    flood("http1", "HTTP/1.1 on all ports", |arena| {
        Box::pin(async { everywhere(arena, b"GET /metrics HTTP/1.1\r\nhost: n1\r\n\r\n").await })
    }),
    Case {
        quick: true,
        ..flood("noise", "random bytes on all ports, before and after a preface", |arena| {
            Box::pin(noise(arena))
        })
    },
    Case {
        name: "noise-with-secret",
        fault: "F22",
        what: "random bytes on all ports where the nodes have a secret",
        ground: Ground { secret: true, ..Ground::USUAL },
        attack: |arena| Box::pin(noise(arena)),
        limits: FLOODED,
        ..Case::USUAL
    },
    flood("frame-too-long", "a frame that says it has 16 MiB, and never sends them", |arena| {
        Box::pin(frame_too_long(arena))
    }),
];

/// HTTP/2 begun, and so on.
fn introduced(more: &[u8]) -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, &[]), more].concat()
}

async fn at_clients(arena: &mut Arena, again: Vec<u8>) -> Tally {
    clients_from(arena, Vec::new(), again).await
}

async fn clients_from(arena: &mut Arena, begin: Vec<u8>, again: Vec<u8>) -> Tally {
    pour(&arena.ports()[0], 4, &Liquid { begin: introduced(&begin), again }, FLOOD).await
}

async fn at_peers(arena: &mut Arena, again: Vec<u8>) -> Tally {
    pour(&arena.ports()[1], 4, &Liquid { begin: introduced(&[]), again }, FLOOD).await
}

/// On all ports, as the first bytes and all that follow.
async fn everywhere(arena: &mut Arena, bytes: &[u8]) -> Tally {
    let liquid = Liquid { begin: bytes.to_vec(), again: bytes.to_vec() };
    pour(&arena.ports().concat(), 4, &liquid, FLOOD).await
}

/// So many calls with these headers besides. The stream ids begin anew with each batch, which ends the connection:
/// the next one has them again.
fn calls(besides: &[u8], count: u32) -> Vec<u8> {
    opened(&[call("KvService/Get"), besides.to_vec()].concat(), count)
}

fn opened(block: &[u8], count: u32) -> Vec<u8> {
    (0..count).flat_map(|number| headers(2 * number + 1, block)).collect()
}

/// A block of headers in as many frames as it takes.
fn headers(stream: u32, block: &[u8]) -> Vec<u8> {
    let pieces: Vec<&[u8]> = block.chunks(16_384).collect();
    let last = pieces.len() - 1;
    let frames = pieces.iter().enumerate().map(|(number, piece)| {
        let kind = if number == 0 { HEADERS } else { CONTINUATION };
        frame(kind, if number == last { END_HEADERS } else { 0 }, stream, piece)
    });
    frames.collect::<Vec<_>>().concat()
}

fn resets() -> Vec<u8> {
    let block = call("KvService/Get");
    let streams = (0..BATCH).map(|number| 2 * number + 1);
    let frames = streams.map(|stream| {
        [frame(HEADERS, END_HEADERS, stream, &block), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
    });
    frames.collect::<Vec<_>>().concat()
}

/// A header of 4,000 bytes that is put into the table, then asked for by its place (RFC 7541 §6.2.1, §6.1).
fn bomb() -> Vec<u8> {
    let mut indexed = header("x", &"y".repeat(3_900));
    indexed[0] = 0x40;
    indexed.extend([0x80 | 62; 3_000]);
    indexed
}

async fn noise(arena: &mut Arena) -> Tally {
    let mut random = fastrand::Rng::with_seed(7);
    let bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(4_096).collect();
    let mut tally = everywhere(arena, &bytes).await;
    tally.join(at_clients(arena, bytes.clone()).await);
    tally.join(at_peers(arena, bytes).await);
    tally
}

async fn frame_too_long(arena: &mut Arena) -> Tally {
    let mut crowd = Vec::new();
    for address in arena.ports().concat() {
        for _ in 0..50 {
            let mut raw = Raw::introduced(address).await;
            raw.send(&[0xff, 0xff, 0xff, DATA, 0, 0, 0, 0, 1, 7, 7, 7]).await;
            crowd.push(raw);
        }
    }
    let began = Instant::now();
    while began.elapsed() < FLOOD && !crowd.iter().all(Raw::is_closed) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut tally = Tally::default();
    crowd.iter().for_each(|raw| tally.add(if raw.is_closed() { "closed" } else { "open" }));
    assert_eq!(tally.count("open"), 0, "a frame that is too long is waited for: {tally}");
    tally
}
