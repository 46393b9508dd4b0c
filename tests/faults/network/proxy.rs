//! One directed link: what a node dials instead of the other node's address.

use super::pump::{Pump, pump};
use super::weather::Weather;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Which way bytes go on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From who dialled: its requests.
    Forward,
    /// To who dialled: the answers.
    Backward,
}

/// What a link has done so far.
#[derive(Debug, Default)]
pub struct Counts {
    /// Connections that were passed on.
    pub connections: AtomicU64,
    /// Connections that nobody took at the other end.
    pub unanswered: AtomicU64,
    /// Connections that it broke on command.
    pub resets: AtomicU64,
    /// Chunks that it passed on.
    pub chunks: AtomicU64,
    /// Chunks among them that came late because of the weather.
    pub held: AtomicU64,
    /// How often a blackhole swallowed something that wanted to pass.
    pub swallowed: AtomicU64,
}

/// Dropping it closes everything.
pub struct Link {
    address: SocketAddr,
    forward: watch::Sender<Weather>,
    backward: watch::Sender<Weather>,
    resets: watch::Sender<u64>,
    counts: Arc<Counts>,
    accepting: JoinHandle<()>,
}

/// Where a link is and where it leads.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    /// Where it listens; with port 0 a free one is taken.
    pub listen: SocketAddr,
    /// The address from which it connects, if that matters.
    pub from: Option<IpAddr>,
    /// To where it connects.
    pub to: SocketAddr,
}

impl Link {
    /// A link in fair weather. All its chances follow from the seed.
    pub async fn open(ends: Ends, seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind(ends.listen).await?;
        let address = listener.local_addr()?;
        let forward = watch::Sender::new(Weather::default());
        let backward = watch::Sender::new(Weather::default());
        let resets = watch::Sender::new(0);
        let counts = Arc::new(Counts::default());
        let acceptor = Acceptor {
            ends,
            weathers: [forward.subscribe(), backward.subscribe()],
            resets: resets.subscribe(),
            counts: counts.clone(),
            random: fastrand::Rng::with_seed(seed),
        };
        let accepting = tokio::spawn(acceptor.run(listener));
        Ok(Self { address, forward, backward, resets, counts, accepting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the weather in one direction, for open connections too.
    pub fn set(&self, direction: Direction, weather: Weather) {
        match direction {
            Direction::Forward => self.forward.send_replace(weather),
            Direction::Backward => self.backward.send_replace(weather),
        };
    }

    /// Changes the weather in both.
    pub fn set_both(&self, weather: Weather) {
        self.set(Direction::Forward, weather);
        self.set(Direction::Backward, weather);
    }

    /// Breaks all open connections: both ends get a reset.
    pub fn reset(&self) {
        self.resets.send_modify(|count| *count += 1);
    }

    /// What it has done so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

struct Acceptor {
    ends: Ends,
    weathers: [watch::Receiver<Weather>; 2],
    resets: watch::Receiver<u64>,
    counts: Arc<Counts>,
    random: fastrand::Rng,
}

impl Acceptor {
    /// Takes connections until the link is dropped; its connections go with it.
    async fn run(mut self, listener: TcpListener) {
        let mut open = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((near, _)) => drop(open.spawn(self.connection(near).run())),
                    // No descriptor is free, as a rule: that passes.
                    Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
                },
                Some(_) = open.join_next() => {}
            }
        }
    }

    fn connection(&mut self, near: TcpStream) -> Connection {
        Connection {
            near,
            ends: self.ends,
            weathers: self.weathers.clone(),
            resets: self.resets.clone(),
            counts: self.counts.clone(),
            random: self.random.fork(),
        }
    }
}

struct Connection {
    near: TcpStream,
    ends: Ends,
    weathers: [watch::Receiver<Weather>; 2],
    resets: watch::Receiver<u64>,
    counts: Arc<Counts>,
    random: fastrand::Rng,
}

impl Connection {
    async fn run(mut self) {
        // Those before this connection are not about it.
        self.resets.mark_unchanged();
        let mut resets = self.resets.clone();
        let _ = self.near.set_nodelay(true);
        let mut far = tokio::select! {
            far = self.reach() => match far {
                Some(far) => far,
                None => return break_off(&self.near),
            },
            Ok(()) = resets.changed() => return self.reset(None),
        };
        let orderly = tokio::select! {
            passed = self.pass(&mut far) => passed.is_ok(),
            Ok(()) = resets.changed() => return self.reset(Some(&far)),
        };
        if !orderly {
            break_off(&self.near);
            break_off(&far);
        }
    }

    /// The connection to the other end, once the weather lets a handshake pass.
    async fn reach(&mut self) -> Option<TcpStream> {
        for weather in &mut self.weathers {
            weather.wait_for(|weather| !weather.blackhole).await.ok()?;
        }
        let Ok(far) = dial(self.ends).await else {
            self.counts.unanswered.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        self.counts.connections.fetch_add(1, Ordering::Relaxed);
        let _ = far.set_nodelay(true);
        Some(far)
    }

    /// Both directions, until both have ended or one has failed: an orderly end of one
    /// leaves the other open.
    async fn pass(&mut self, far: &mut TcpStream) -> io::Result<()> {
        let (near_read, near_write) = self.near.split();
        let (far_read, far_write) = far.split();
        let [forward, backward] = self.weathers.clone();
        let (there, back) = (self.random.fork(), self.random.fork());
        let there = Pump { weather: forward, random: there, counts: self.counts.clone() };
        let back = Pump { weather: backward, random: back, counts: self.counts.clone() };
        tokio::try_join!(pump(near_read, far_write, there), pump(far_read, near_write, back))?;
        Ok(())
    }

    fn reset(&self, far: Option<&TcpStream>) {
        self.counts.resets.fetch_add(1, Ordering::Relaxed);
        break_off(&self.near);
        far.into_iter().for_each(break_off);
    }
}

/// Makes the end of this stream a reset, as the two ends would see it of each other.
fn break_off(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

async fn dial(ends: Ends) -> io::Result<TcpStream> {
    let socket = if ends.to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(from) = ends.from {
        socket.bind(SocketAddr::new(from, 0))?;
    }
    socket.connect(ends.to).await
}
