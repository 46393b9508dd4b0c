//! Lets only those connections through to the peer listener's server that come from nodes of this cluster.

use crate::connections::guarded::Guarded;
use crate::peers::handshake;
use crate::peers::patience::LogThrottle;
use crate::peers::secret::ClusterSecret;
use crate::peers::settings::PeerSettings;
use futures_util::{Stream, StreamExt as _};
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected as _;

/// The most handshakes at a time: far more than there are nodes. One more ends the oldest, so that silent strangers keep
/// nobody out.
const HANDSHAKES_MAX: usize = 256;

/// Those of the `connections` whose other end knows the secret. Each has `settings.connect_timeout` to prove it, and
/// none waits for another.
pub fn admitted(
    connections: impl Stream<Item = io::Result<Guarded>> + Send + 'static,
    secret: ClusterSecret,
    settings: &PeerSettings,
) -> impl Stream<Item = io::Result<Guarded>> {
    let (through, admitted) = mpsc::channel(1);
    let gate = Gate {
        secret,
        patience: settings.connect_timeout,
        through,
        log_throttle: Arc::new(Mutex::new(LogThrottle::new(settings.log_interval))),
    };
    tokio::spawn(gate.run(connections));
    ReceiverStream::new(admitted)
}

struct Gate {
    secret: ClusterSecret,
    patience: Duration,
    through: mpsc::Sender<io::Result<Guarded>>,
    log_throttle: Arc<Mutex<LogThrottle>>,
}

impl Gate {
    /// Until the server is gone; with it go the listener and all handshakes.
    async fn run(self, connections: impl Stream<Item = io::Result<Guarded>>) {
        let mut connections = std::pin::pin!(connections);
        let mut handshakes = JoinSet::new();
        let mut oldest: VecDeque<AbortHandle> = VecDeque::new();
        loop {
            let connection = tokio::select! {
                () = self.through.closed() => return,
                Some(_) = handshakes.join_next() => {
                    oldest.retain(|handshake| !handshake.is_finished());
                    continue;
                }
                connection = connections.next() => match connection {
                    Some(Ok(connection)) => connection,
                    // An error of the listener is its server's to judge.
                    Some(error) => {
                        let _ = self.through.send(error).await;
                        continue;
                    }
                    None => return,
                },
            };
            if oldest.len() >= HANDSHAKES_MAX
                && let Some(handshake) = oldest.pop_front()
            {
                handshake.abort();
            }
            oldest.push_back(handshakes.spawn(self.handshake(connection)));
        }
    }

    fn handshake(&self, mut connection: Guarded) -> impl Future<Output = ()> + Send + 'static {
        let Self { secret, patience, through, log_throttle } = self;
        let (secret, patience) = (secret.clone(), *patience);
        let (through, log_throttle) = (through.clone(), log_throttle.clone());
        async move {
            let listening = handshake::listen(&mut connection, &secret);
            let trouble = match tokio::time::timeout(patience, listening).await {
                // An error only says that the server has ended.
                Ok(Ok(())) => return drop(through.send(Ok(connection)).await),
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("it said nothing of the cluster's secret within {patience:?}"),
            };
            // One line per interval, whoever it is about: strangers may come from anywhere, and as often as they like.
            if !log_throttle.lock().unwrap_or_else(PoisonError::into_inner).is_due("refused") {
                return;
            }
            let from = connection.connect_info().tcp.remote_addr();
            let from = from.map_or_else(|| "an unknown address".into(), |address| address.ip().to_string());
            tracing::warn!("a connection from {from} to the peer listener is refused: {trouble}");
        }
    }
}
