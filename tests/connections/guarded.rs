//! Connections that introduce themselves, late or never.

use futures_util::StreamExt as _;
use kontiki::connections::door::{Door, Introduction};
use kontiki::connections::guarded::Guarded;
use kontiki::connections::incoming::incoming;
use kontiki::connections::notices::Notice;
use kontiki::connections::places::Places;
use std::io::ErrorKind;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tonic::transport::server::Connected as _;

/// Far longer than any of these tests.
const LATER: Duration = Duration::from_secs(600);
const AT_ONCE: Duration = Duration::ZERO;
/// What is waited for is there long before.
const PATIENCE: Duration = Duration::from_secs(10);
/// The client's preface and an empty SETTINGS frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Both ends of a connection, and the places of its listener.
async fn accepted(
    introduction: Introduction,
    time: Duration,
) -> (TcpStream, Guarded, std::sync::Arc<Places>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let places = Places::new("clients", 10, 10);
    let door = Door { places: places.clone(), introduction, introduction_time: time, turns: None };
    let mut incoming = incoming(listener, door);
    let client = TcpStream::connect(address).await.unwrap();
    let server = incoming.next().await.unwrap().unwrap();
    (client, server, places)
}

#[tokio::test]
async fn a_silent_connection_is_closed() {
    let (mut client, mut server, places) = accepted(Introduction::Preface, AT_ONCE).await;
    let refused = tokio::time::timeout(PATIENCE, server.read(&mut [0; 100])).await.unwrap().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionAborted);
    assert_eq!(places.notices().count(Notice::Silent), 1);
    drop(server);
    assert_eq!(places.taken(), (0, 0));
    assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test]
async fn part_of_a_preface_is_no_introduction() {
    let (mut client, mut server, places) = accepted(Introduction::Preface, LATER).await;
    client.write_all(&PREFACE[..32]).await.unwrap();
    server.read_exact(&mut [0; 32]).await.unwrap();
    assert_eq!(places.taken(), (1, 1));
    client.write_all(&PREFACE[32..]).await.unwrap();
    server.read_exact(&mut [0; 1]).await.unwrap();
    assert_eq!(places.taken(), (1, 0));
}

#[tokio::test]
async fn who_has_introduced_itself_may_be_silent() {
    let (mut client, mut server, _) = accepted(Introduction::Preface, AT_ONCE).await;
    server.connect_info().standing.introduce();
    client.write_all(b"x").await.unwrap();
    server.read_exact(&mut [0; 1]).await.unwrap();
}

#[tokio::test]
async fn a_stranger_among_the_peers_says_little() {
    const MOST: usize = 64 << 10;
    let (mut client, mut server, _) = accepted(Introduction::Identity { bytes: MOST }, LATER).await;
    let standing = server.connect_info().standing;
    let sending = tokio::spawn(async move {
        client.write_all(&vec![7; 16 << 20]).await.unwrap();
        client
    });
    let mut buffer = vec![0; 8 << 10];
    let mut read = 0;
    while read < MOST {
        read += server.read(&mut buffer).await.unwrap();
    }
    assert!(read < MOST + buffer.len(), "{read} bytes of a stranger");
    let more = tokio::time::timeout(AT_ONCE, server.read(&mut buffer)).await;
    assert!(more.is_err(), "more was read of a stranger: {more:?}");
    standing.introduce();
    while read < 16 << 20 {
        read += server.read(&mut buffer).await.unwrap();
    }
    sending.await.unwrap();
}

#[tokio::test]
async fn a_stranger_goes_when_its_place_is_needed() {
    let (_client, mut server, places) = accepted(Introduction::Preface, LATER).await;
    let reading = tokio::spawn(async move { server.read(&mut [0; 1]).await.unwrap_err().kind() });
    tokio::task::yield_now().await;
    for _ in 0..10 {
        places.take("127.0.0.1".parse().unwrap()).unwrap().standing().introduce();
    }
    let others: Vec<_> = (0..10).map(|_| places.take("127.0.0.1".parse().unwrap()).unwrap()).collect();
    assert_eq!(others.len(), 10);
    let outcome = tokio::time::timeout(PATIENCE, reading).await.unwrap();
    assert_eq!(outcome.unwrap(), ErrorKind::ConnectionAborted);
}
