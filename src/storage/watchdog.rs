//! Bounds the time that the engine may take, and catches its panics.
//!
//! One flipped bit can make sled spin forever or panic while it opens or on
//! the first scan. Neither may look like a node that is just starting.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::time::Duration;

/// Why [`watched`] has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfinished {
    /// It did not end in time. Its thread is still running; the process should end.
    #[error("it did not end within {0:?}")]
    Hung(Duration),
    #[error("it panicked: {0}")]
    Panicked(String),
}

/// Runs `work` on its own thread and waits for it at most `timeout`.
pub fn watched<T: Send + 'static>(
    name: &str,
    timeout: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Unfinished> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        // After the timeout nobody listens any more; then the result is useless.
        let _ = sender.send(caught(work));
    });
    if let Err(error) = spawned {
        return Err(Unfinished::Panicked(format!("no thread could be started: {error}")));
    }
    match receiver.recv_timeout(timeout) {
        Ok(result) => result.map_err(Unfinished::Panicked),
        Err(_) => Err(Unfinished::Hung(timeout)),
    }
}

/// Runs `work`; a panic becomes its message.
///
/// The state that the panic left behind is never used again: every caller marks its store as failed.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| message(&*panic))
}

fn message(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a message".to_owned()
    }
}
