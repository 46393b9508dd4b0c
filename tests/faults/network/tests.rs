//! The proxy itself, in short.

use super::proxy::{Direction, Ends, Link};
use super::weather::Weather;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Long enough that something that comes through would have come.
const SILENCE: Duration = Duration::from_millis(150);

/// A link, and a connection through it with both its ends.
async fn connected() -> (Link, TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ends =
        Ends { listen: "127.0.0.1:0".parse().unwrap(), from: None, to: listener.local_addr().unwrap() };
    let link = Link::open(ends, 1).await.unwrap();
    let near = TcpStream::connect(link.address()).await.unwrap();
    let (far, _) = listener.accept().await.unwrap();
    (link, near, far)
}

async fn is_silent(stream: &mut TcpStream) -> bool {
    tokio::time::timeout(SILENCE, stream.read_u8()).await.is_err()
}

#[tokio::test]
async fn in_fair_weather_bytes_and_ends_pass() {
    let (link, mut near, mut far) = connected().await;
    let sent: Vec<u8> = (0..1_000_000_u32).map(|number| (number % 251) as u8).collect();
    let copy = sent.clone();
    let writing = tokio::spawn(async move {
        near.write_all(&copy).await.unwrap();
        near.shutdown().await.unwrap();
        near
    });
    let mut received = Vec::new();
    far.read_to_end(&mut received).await.unwrap();
    assert!(received == sent, "every byte, in order, and then the end");
    far.write_all(b"answer").await.unwrap();
    let mut near = writing.await.unwrap();
    let mut answer = [0; 6];
    near.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"answer", "one direction has ended, the other has not");
    assert_eq!(link.counts().connections.load(Ordering::Relaxed), 1);
    assert_eq!(link.counts().held.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_delay_delays_one_direction() {
    let (link, mut near, mut far) = connected().await;
    link.set(Direction::Forward, Weather::late(Duration::from_millis(200), Duration::ZERO));
    let sent = Instant::now();
    near.write_u8(1).await.unwrap();
    far.read_u8().await.unwrap();
    assert!(sent.elapsed() >= Duration::from_millis(200), "it came after {:?}", sent.elapsed());
    let sent = Instant::now();
    far.write_u8(2).await.unwrap();
    near.read_u8().await.unwrap();
    assert!(sent.elapsed() < Duration::from_millis(200), "the way back took {:?}", sent.elapsed());
    assert_eq!(link.counts().held.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn what_is_lost_comes_when_it_is_sent_again_and_in_order() {
    let (link, mut near, mut far) = connected().await;
    link.set(Direction::Forward, Weather::lossy(0.5));
    for number in 0..8 {
        near.write_u8(number).await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for number in 0..8 {
        assert_eq!(far.read_u8().await.unwrap(), number);
    }
    assert!(link.counts().held.load(Ordering::Relaxed) > 0, "with this seed some are lost");
}

#[tokio::test]
async fn a_blackhole_swallows_one_direction_until_it_is_lifted() {
    let (link, mut near, mut far) = connected().await;
    link.set(Direction::Forward, Weather::blackhole());
    near.write_u8(1).await.unwrap();
    assert!(is_silent(&mut far).await);
    far.write_u8(2).await.unwrap();
    assert_eq!(near.read_u8().await.unwrap(), 2, "the way back is open");
    near.shutdown().await.unwrap();
    assert!(is_silent(&mut far).await, "the end of a connection is swallowed as well");
    link.set_both(Weather::default());
    assert_eq!(far.read_u8().await.unwrap(), 1);
    assert_eq!(far.read(&mut [0; 1]).await.unwrap(), 0, "and now the end");
    assert!(link.counts().swallowed.load(Ordering::Relaxed) > 0);
}

#[tokio::test]
async fn a_new_connection_vanishes_in_a_blackhole() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap();
    let ends = Ends { listen: "127.0.0.1:0".parse().unwrap(), from: None, to };
    let link = Link::open(ends, 1).await.unwrap();
    link.set(Direction::Backward, Weather::blackhole());
    let mut near = TcpStream::connect(link.address()).await.unwrap();
    near.write_u8(1).await.unwrap();
    assert!(tokio::time::timeout(SILENCE, listener.accept()).await.is_err(), "no handshake without answers");
    link.set_both(Weather::default());
    let (mut far, _) = listener.accept().await.unwrap();
    assert_eq!(far.read_u8().await.unwrap(), 1);
}

#[tokio::test]
async fn a_reset_reaches_both_ends_and_spares_later_connections() {
    let (link, mut near, mut far) = connected().await;
    near.write_u8(1).await.unwrap();
    far.read_u8().await.unwrap();
    link.reset();
    for end in [&mut near, &mut far] {
        let error = end.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
    assert_eq!(link.counts().resets.load(Ordering::Relaxed), 1);
    let again = TcpStream::connect(link.address()).await;
    assert!(again.is_ok(), "{again:?}");
}

#[tokio::test]
async fn what_nobody_takes_is_broken() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let ends = Ends { listen: "127.0.0.1:0".parse().unwrap(), from: None, to: gone };
    let link = Link::open(ends, 1).await.unwrap();
    let mut near = TcpStream::connect(link.address()).await.unwrap();
    let ended = near.read_u8().await.unwrap_err();
    assert_eq!(ended.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(link.counts().unanswered.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_narrow_line_takes_its_time() {
    let (link, mut near, mut far) = connected().await;
    link.set_both(Weather::narrow(100_000));
    let sent = Instant::now();
    near.write_all(&[0; 30_000]).await.unwrap();
    far.read_exact(&mut [0; 30_000]).await.unwrap();
    assert!(
        sent.elapsed() >= Duration::from_millis(290),
        "30 kB at 100 kB/s came after {:?}",
        sent.elapsed()
    );
}

/// What a slow line holds is bounded; the sender must wait, as for a real one.
#[tokio::test]
async fn what_is_under_way_is_bounded() {
    let (link, near, _far) = connected().await;
    link.set_both(Weather::late(Duration::from_secs(3600), Duration::ZERO));
    let mut written = 0;
    let limit = 64 << 20;
    loop {
        let writable = tokio::time::timeout(SILENCE, near.writable()).await;
        match writable.map(|ready| ready.and_then(|()| near.try_write(&[0; 65536]))) {
            Ok(Ok(count)) => written += count,
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Ok(Err(error)) => panic!("{error}"),
            Err(_) => break,
        }
        assert!(written < limit, "{written} bytes went into a line that delivers none");
    }
}
