//! Many who ask at once, and what they ask for.

use super::arena::Arena;
use super::tally::Tally;
use futures_util::future::join_all;
use kontiki::proto::v1::kv_service_client::KvServiceClient;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

/// How large an answer the attackers take.
const ANSWER_BYTES: usize = 64 << 20;
/// After a refusal; long enough that being refused takes no more of the machine than being served.
const REST: Duration = Duration::from_millis(10);

/// How many, and for how long.
#[derive(Clone, Copy)]
pub struct Crowd {
    /// At each node.
    pub clients: usize,
    /// Which share those.
    pub connections: usize,
    pub time: Duration,
}

/// Where a crowd is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum At {
    Leader,
    Follower,
    Everywhere,
}

impl At {
    fn urls(self, arena: &Arena) -> Vec<String> {
        match self {
            Self::Leader => vec![arena.leader().client_url()],
            Self::Follower => vec![arena.follower().client_url()],
            Self::Everywhere => arena.cluster.nodes.iter().map(|node| node.client_url()).collect(),
        }
    }
}

pub fn kv(channel: Channel) -> KvServiceClient<Channel> {
    KvServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES)
}

impl Crowd {
    /// Each client asks, waits for the answer, and asks again.
    pub async fn ask<F, R, T>(self, arena: &Arena, at: At, ask: F) -> Tally
    where
        F: Fn(Channel, usize) -> R + Send + Sync + 'static,
        R: Future<Output = Result<T, Status>> + Send,
        T: Send,
    {
        self.ask_at(at.urls(arena), ask).await
    }

    /// The same of any nodes.
    pub async fn ask_at<F, R, T>(self, urls: Vec<String>, ask: F) -> Tally
    where
        F: Fn(Channel, usize) -> R + Send + Sync + 'static,
        R: Future<Output = Result<T, Status>> + Send,
        T: Send,
    {
        let (ask, end) = (Arc::new(ask), Instant::now() + self.time);
        let mut running = Vec::new();
        for url in urls {
            let endpoint = Endpoint::from_shared(url).unwrap();
            let channels: Vec<Channel> = (0..self.connections).map(|_| endpoint.connect_lazy()).collect();
            for number in 0..self.clients {
                let (channel, ask) = (channels[number % self.connections].clone(), ask.clone());
                running.push(tokio::spawn(async move {
                    let mut tally = Tally::default();
                    while Instant::now() < end {
                        let answer = ask(channel.clone(), number).await;
                        tally.add_answer(&answer);
                        if answer.is_err() {
                            tokio::time::sleep(REST).await;
                        }
                    }
                    tally
                }));
            }
        }
        let mut all = Tally::default();
        join_all(running).await.into_iter().for_each(|tally| all.join(tally.unwrap()));
        all
    }
}
