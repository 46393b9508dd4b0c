//! What a node does before it can take part: it tells clients that it is alive, and the other members who it is.

use crate::config::ServeConfig;
use crate::grpc::listener;
use crate::peers::Peers;
use crate::replica::Ending;
use crate::server::error::ServeError;
use crate::server::signals::given;
use crate::storage::IdentityFile;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long the connections of this phase may take to close.
const END_TIMEOUT: Duration = Duration::from_secs(1);

/// The client listener until the replica runs: health, reflection, and a refusal that says what the node is
/// waiting for. However long that takes, the node counts as alive.
pub(super) struct EarlyClients {
    socket: std::net::TcpListener,
    task: JoinHandle<Result<(), tonic::transport::Error>>,
    end: watch::Sender<bool>,
}

impl EarlyClients {
    pub(super) fn serve(
        config: &ServeConfig,
        socket: TcpListener,
        waiting_for: watch::Receiver<String>,
    ) -> Result<Self, ServeError> {
        let failed =
            |source| ServeError::Listen { address: config.listen_client.clone(), whom: "clients", source };
        let (socket, early) = duplicated(socket).map_err(failed)?;
        let (end, ended) = watch::channel(false);
        let (name, limits) = (config.name.clone(), config.limits.clone());
        let task = tokio::spawn(async move {
            listener::serve_starting(&name, waiting_for, &limits, early, given(ended)).await
        });
        Ok(Self { socket, task, end })
    }

    /// Stops it, and returns the socket for the full listener.
    pub(super) async fn end(self) -> Result<TcpListener, ServeError> {
        self.end.send_replace(true);
        finish(self.task).await;
        let failed =
            |source| ServeError::Listen { address: "the client address".into(), whom: "clients", source };
        TcpListener::from_std(self.socket).map_err(failed)
    }
}

/// A new data directory takes part only after the others have accepted it; see
/// [`Peers::introduce`]. Meanwhile this node answers the others' introductions.
pub(super) async fn introduce(
    peers: &Peers,
    socket: TcpListener,
    mut identity: IdentityFile,
) -> Result<TcpListener, ServeError> {
    if identity.identity().introduced {
        return Ok(socket);
    }
    let failed =
        |source| ServeError::Listen { address: "the peer address".into(), whom: "the other nodes", source };
    let (socket, early) = duplicated(socket).map_err(failed)?;
    let (end, ended) = watch::channel(false);
    let serving = peers.clone();
    let task = tokio::spawn(async move { serving.serve(early, given(ended)).await });
    peers.introduce().await?;
    // Connected peers are made to reconnect, to the listener that has all services.
    end.send_replace(true);
    finish(task).await;
    let marked = tokio::task::spawn_blocking(move || identity.mark_introduced()).await;
    marked.map_err(|error| {
        ServeError::Fatal(Ending::bug(format!("the data directory could not be marked: {error}")))
    })??;
    TcpListener::from_std(socket).map_err(failed)
}

/// One socket for two listeners, one after the other: connections made in between wait in its queue.
fn duplicated(socket: TcpListener) -> std::io::Result<(std::net::TcpListener, TcpListener)> {
    let socket = socket.into_std()?;
    let early = TcpListener::from_std(socket.try_clone()?)?;
    Ok((socket, early))
}

async fn finish(mut task: JoinHandle<Result<(), tonic::transport::Error>>) {
    if tokio::time::timeout(END_TIMEOUT, &mut task).await.is_err() {
        task.abort();
    }
}
