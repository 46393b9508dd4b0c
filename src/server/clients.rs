//! The thread that serves clients.
//!
//! The loop, the peers and their heartbeats have a thread of their own: whatever clients ask for, and however many they
//! are, a leader goes on leading.

use crate::api::context::Api;
use crate::grpc::listener;
use crate::server::error::ServeError;
use std::io;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Serves clients on so many threads of their own until `shutdown`. `api` is called there. When the task is aborted, the
/// connections are cut.
pub(super) fn serve(
    threads: usize,
    socket: TcpListener,
    api: impl FnOnce() -> Api + Send + 'static,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<JoinHandle<Result<(), tonic::transport::Error>>, ServeError> {
    let failed = |source| ServeError::Listen { address: "the client address".into(), whom: "clients", source };
    let runtime = runtime(threads).map_err(failed)?;
    // Its events come by the reactor with which it is registered.
    let socket = socket.into_std().map_err(failed)?;
    let (outcome, ended) = oneshot::channel();
    let (task, aborted) = oneshot::channel::<()>();
    let serving = async move {
        let socket = TcpListener::from_std(socket).expect("it was one before");
        tokio::select! {
            served = listener::serve_clients(Arc::new(api()), socket, shutdown) => {
                let _ = outcome.send(served); // The node may have ended already.
            }
            _ = aborted => {}
        }
    };
    let run = move || {
        runtime.block_on(serving);
        // Reads on blocking threads look up when their callers are gone.
        runtime.shutdown_background();
    };
    std::thread::Builder::new().name("clients".into()).spawn(run).map_err(failed)?;
    Ok(tokio::spawn(async move {
        let _task = task;
        ended.await.unwrap_or(Ok(()))
    }))
}

/// One thread is fastest where it is enough: a message then never waits for another thread to wake up.
fn runtime(threads: usize) -> io::Result<Runtime> {
    let mut builder = match threads {
        1 => Builder::new_current_thread(),
        threads => {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(threads);
            builder
        }
    };
    builder.enable_all().thread_name("clients").build()
}
