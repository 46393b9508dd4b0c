//! Accepting connections.

use crate::coalescing::Coalescing;
use crate::connections::door::Door;
use crate::connections::guarded::Guarded;
use crate::connections::notices::Notice;
use futures_util::Stream;
use std::io;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// How long accepting rests when the process or the kernel lacks something. Those that come wait in the
/// listener's queue.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts forever: no error ends a listener, nor makes it spin.
pub fn incoming(listener: TcpListener, door: Door) -> impl Stream<Item = io::Result<Guarded>> + Unpin {
    Box::pin(futures_util::stream::unfold((listener, door), |(listener, door)| async move {
        loop {
            match listener.accept().await {
                Ok((connection, from)) => {
                    if let Some(place) = door.places.take(from.ip()) {
                        let connection = prepared(connection);
                        let guarded = Guarded::new(connection, place, &door);
                        return Some((Ok(guarded), (listener, door)));
                    }
                }
                // The client was gone before it was accepted: no reason to rest.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    door.places.notices().note(Notice::NotAccepted, &error);
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }))
}

fn prepared(connection: TcpStream) -> Coalescing {
    // Without it small answers wait up to 40 ms for the client's acknowledgement.
    if let Err(error) = connection.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
    Coalescing::new(connection)
}
