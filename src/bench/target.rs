//! Asking about the cluster, and opening channels to its nodes.

use crate::bench::args::Api;
use crate::bench::cluster::Cluster;
use crate::bench::error::BenchError;
use crate::bench::{etcd, kontiki};
use crate::coalescing;
use std::error::Error as _;
use std::time::{Duration, Instant};
use tonic::transport::{Channel, Endpoint};

const CONNECT_PATIENCE: Duration = Duration::from_secs(3);
const STATUS_PATIENCE: Duration = Duration::from_secs(5);
/// Large enough for 64 values of 16 KiB under way on a connection; the
/// defaults of HTTP/2 (64 KiB) would measure flow control.
const STREAM_WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;

/// How long the leader of a new cluster may take to advertise where clients reach it, and how often to look.
const ADVERTISING_PATIENCE: Duration = Duration::from_secs(3);
const ADVERTISING_INTERVAL: Duration = Duration::from_millis(50);

/// Asks the endpoints about their cluster, in turn until one answers, and again while a leader has not
/// advertised its URL yet.
///
/// # Errors
/// [`BenchError::Unreachable`] with each endpoint's reason.
pub async fn ask(api: Api, endpoints: &[String]) -> Result<Cluster, BenchError> {
    let patience = Instant::now() + ADVERTISING_PATIENCE;
    loop {
        let cluster = ask_each(api, endpoints).await?;
        let is_known = cluster.leader.as_ref().is_none_or(|leader| !leader.url.is_empty());
        if is_known || Instant::now() >= patience {
            return Ok(cluster);
        }
        tokio::time::sleep(ADVERTISING_INTERVAL).await;
    }
}

async fn ask_each(api: Api, endpoints: &[String]) -> Result<Cluster, BenchError> {
    let mut reasons = String::new();
    for url in endpoints {
        match ask_one(api, url).await {
            Ok(cluster) => return Ok(cluster),
            Err(reason) => reasons += &format!("\n  {url}: {reason}"),
        }
    }
    Err(BenchError::Unreachable(reasons))
}

async fn ask_one(api: Api, url: &str) -> Result<Cluster, String> {
    let question = async {
        let channel = endpoint(url)?
            .connect_with_connector(coalescing::connector(CONNECT_PATIENCE))
            .await
            .map_err(|error| causes(&error))?;
        let answer = match api {
            Api::Native => kontiki::describe(channel).await,
            Api::Etcd => etcd::describe(channel).await,
        };
        answer.map_err(|status| format!("{:?}: {}", status.code(), status.message()))
    };
    match tokio::time::timeout(STATUS_PATIENCE, question).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer within {} s", STATUS_PATIENCE.as_secs())),
    }
}

/// Opens a new channel, on the runtime that will use it.
///
/// # Errors
/// [`BenchError::Connect`].
pub async fn connect(url: &str) -> Result<Channel, BenchError> {
    let failed = |reason| BenchError::Connect { url: url.to_owned(), reason };
    endpoint(url)
        .map_err(failed)?
        .connect_with_connector(coalescing::connector(CONNECT_PATIENCE))
        .await
        .map_err(|error| failed(causes(&error)))
}

fn endpoint(url: &str) -> Result<Endpoint, String> {
    let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|error| causes(&error))?;
    Ok(endpoint
        .connect_timeout(CONNECT_PATIENCE)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW))
}

/// An error with its causes: "transport error" alone helps nobody.
fn causes(error: &tonic::transport::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        // Some errors say what their cause says.
        if !text.ends_with(&words) {
            text += &format!(": {words}");
        }
        cause = error.source();
    }
    text
}
