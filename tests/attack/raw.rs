//! A client that speaks HTTP/2 frame by frame (RFC 9113), also where a library would be too polite.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::task::JoinHandle;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Kinds of frames.
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

/// Flags of frames.
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// A connection whose answers are read and thrown away.
pub struct Raw {
    writer: OwnedWriteHalf,
    heard: Arc<AtomicU64>,
    reader: JoinHandle<()>,
}

impl Raw {
    /// Connects and says nothing.
    pub async fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).await.unwrap()
    }

    /// None if it is refused.
    pub async fn try_connect(address: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect(address).await.ok()?;
        stream.set_nodelay(true).ok()?;
        let (mut reader, writer) = stream.into_split();
        let heard = Arc::new(AtomicU64::new(0));
        let counter = heard.clone();
        let reader = tokio::spawn(async move {
            let mut buffer = vec![0; 16 << 10];
            while let Ok(bytes @ 1..) = reader.read(&mut buffer).await {
                counter.fetch_add(bytes as u64, Ordering::Relaxed);
            }
        });
        Some(Self { writer, heard, reader })
    }

    /// Connects, and begins HTTP/2.
    pub async fn introduced(address: SocketAddr) -> Self {
        let mut raw = Self::connect(address).await;
        raw.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await;
        raw
    }

    /// Sends bytes as they are. False if the connection is gone.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        !self.is_closed() && self.writer.write_all(bytes).await.is_ok()
    }

    /// Whether the other end has closed the connection.
    pub fn is_closed(&self) -> bool {
        self.reader.is_finished()
    }

    /// How many bytes came.
    pub fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A header as HPACK has it: a literal, not indexed, not compressed (RFC 7541 §6.2.2).
pub fn header(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        length(text.len(), &mut bytes);
        bytes.extend(text.as_bytes());
    }
    bytes
}

/// An integer with a prefix of seven bits (RFC 7541 §5.1).
fn length(mut length: usize, bytes: &mut Vec<u8>) {
    if length < 127 {
        bytes.push(length as u8);
        return;
    }
    bytes.push(127);
    length -= 127;
    while length >= 128 {
        bytes.push((length % 128) as u8 | 128);
        length /= 128;
    }
    bytes.push(length as u8);
}

/// The headers of a call, without those that mark their end.
pub fn call(method: &str) -> Vec<u8> {
    let path = format!("/kontiki.v1.{method}");
    [
        header(":method", "POST"),
        header(":scheme", "http"),
        header(":path", &path),
        header(":authority", "n1"),
        header("content-type", "application/grpc"),
        header("te", "trailers"),
    ]
    .concat()
}
