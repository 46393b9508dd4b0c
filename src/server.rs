//! server

use crate::config::ServeConfig;

/// The server stopped because of a failure.
#[derive(Debug, thiserror::Error)]
#[error("the server is not there yet")]
pub struct ServeError;

/// Runs a node until it is told to stop.
#[allow(clippy::unused_async)] // stub
pub async fn run(_config: ServeConfig) -> Result<(), ServeError> {
    Err(ServeError)
}
