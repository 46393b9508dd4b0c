//! The bytes of one connection in one direction.

use super::proxy::Counts;
use super::weather::Weather;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// The most bytes that are read at once.
const CHUNK_BYTES: usize = 16 << 10;

/// The most chunks under way: with [`CHUNK_BYTES`], 1 MiB. Then reading stops,
/// and the sender's own buffers fill up, as on a real line.
const CHUNKS_MAX: usize = 64;

/// What a pump needs beside the two ends.
pub(super) struct Pump {
    pub(super) weather: watch::Receiver<Weather>,
    pub(super) random: fastrand::Rng,
    pub(super) counts: Arc<Counts>,
}

/// Bytes that are under way.
struct Chunk {
    bytes: Vec<u8>,
    due: Instant,
}

/// Passes on what is read until the end, and then the end.
pub(super) async fn pump(from: ReadHalf<'_>, to: WriteHalf<'_>, pump: Pump) -> io::Result<()> {
    let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
    let weather = pump.weather.clone();
    tokio::try_join!(take(from, sender, pump), give(to, receiver, weather))?;
    Ok(())
}

/// Reads, and says of each chunk when it is to arrive.
async fn take(mut from: ReadHalf<'_>, sender: mpsc::Sender<Chunk>, mut pump: Pump) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let count = from.read(&mut buffer).await?;
        if pump.weather.borrow().blackhole {
            pump.counts.swallowed.fetch_add(1, Ordering::Relaxed);
            lifted(&mut pump.weather).await?;
        }
        if count == 0 {
            return Ok(());
        }
        let latency = pump.weather.borrow().latency(&mut pump.random);
        pump.counts.chunks.fetch_add(1, Ordering::Relaxed);
        if latency > Duration::ZERO {
            pump.counts.held.fetch_add(1, Ordering::Relaxed);
        }
        let chunk = Chunk { bytes: buffer[..count].to_vec(), due: Instant::now() + latency };
        if sender.send(chunk).await.is_err() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
    }
}

/// Writes each chunk when it is due, in order: what is late makes late what follows.
async fn give(
    mut to: WriteHalf<'_>,
    mut receiver: mpsc::Receiver<Chunk>,
    mut weather: watch::Receiver<Weather>,
) -> io::Result<()> {
    while let Some(chunk) = receiver.recv().await {
        tokio::time::sleep_until(chunk.due).await;
        lifted(&mut weather).await?;
        let occupied = weather.borrow().occupies(chunk.bytes.len());
        if occupied > Duration::ZERO {
            tokio::time::sleep(occupied).await;
        }
        to.write_all(&chunk.bytes).await?;
    }
    lifted(&mut weather).await?;
    to.shutdown().await
}

async fn lifted(weather: &mut watch::Receiver<Weather>) -> io::Result<()> {
    match weather.wait_for(|weather| !weather.blackhole).await {
        Ok(_) => Ok(()),
        Err(_) => Err(io::ErrorKind::ConnectionAborted.into()),
    }
}
