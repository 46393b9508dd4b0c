//! The calls of the maintenance and health services.

use crate::client::action::Action;
use crate::client::call::{CallSpec, Called, Client};
use crate::client::classify::classify;
use crate::client::error::{Error, Failure};
use crate::client::kv::MOST_BYTES;
use crate::client::model::{Answer, ReadLevel};
use crate::client::scan::STREAM_DEADLINE;
use crate::client::wire;
use crate::proto::v1 as pb;
use crate::proto::v1::maintenance_service_client::MaintenanceServiceClient;
use crate::reason::Outcome;
use crate::types::Revision;
use bytes::Bytes;
use tonic::Streaming;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};

/// A hash of one node's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateHash {
    /// The revision up to which the state was hashed.
    pub revision: Revision,
    /// The revision up to which the state was compacted.
    pub compact_revision: Revision,
    /// The hash, in hexadecimal.
    pub hash: String,
    /// How many versions of keys were hashed.
    pub records: u64,
}

/// What a node's health service says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthState {
    /// It serves what was asked about.
    Serving,
    /// It does not serve it.
    NotServing,
    /// It does not know the service that was asked about.
    Unknown,
}

/// The bytes of a snapshot file, as a stream. It cannot be resumed after a break: the next snapshot would be
/// of another state.
#[derive(Debug)]
pub struct Snapshot {
    client: Client,
    called: Called<Streaming<pb::SnapshotResponse>>,
}

impl Client {
    /// Hashes the asked node's state at `revision`, or at the newest.
    pub async fn hash(&self, revision: Option<Revision>) -> Result<Answer<StateHash>, Error> {
        let send =
            |channel, request| async move { MaintenanceServiceClient::new(channel).hash(request).await };
        let call = CallSpec::read(Action::Hash);
        let called = self.call(call, wire::hash(revision), send).await?;
        self.answer(call, called, |answer: pb::HashResponse| {
            let number = |number: i64| Revision(number.try_into().unwrap_or_default());
            let hash = StateHash {
                revision: number(answer.revision),
                compact_revision: number(answer.compact_revision),
                hash: answer.hash,
                records: answer.records,
            };
            (answer.header, Ok(hash))
        })
    }

    /// Streams a snapshot of the whole state: a linearizable one, or with [`ReadLevel::Local`] what the asked node has.
    pub async fn snapshot(&self, level: ReadLevel) -> Result<Snapshot, Error> {
        let read_level = match level {
            ReadLevel::Linearizable => pb::ReadLevel::Linearizable,
            ReadLevel::Local => pb::ReadLevel::Local,
            ReadLevel::AtLeast(_) => {
                return Err(Error::usage(Action::Snapshot, "a snapshot is linearizable or local"));
            }
        };
        let send = |channel, request| async move {
            MaintenanceServiceClient::new(channel)
                .max_decoding_message_size(MOST_BYTES)
                .snapshot(request)
                .await
        };
        let call = CallSpec::stream(Action::Snapshot, STREAM_DEADLINE);
        let called = self.call(call, pb::SnapshotRequest { read_level: read_level.into() }, send).await?;
        Ok(Snapshot { client: self.clone(), called })
    }

    /// Asks the standard gRPC health service of the asked node about
    /// `service`: "liveness", "readiness", or the full name of a service.
    pub async fn health(&self, service: &str) -> Result<HealthState, Error> {
        let send = |channel, request| async move { HealthClient::new(channel).check(request).await };
        let request = HealthCheckRequest { service: service.to_owned() };
        match self.call(CallSpec::read(Action::Health), request, send).await {
            Ok(called) => Ok(match called.answer.status() {
                ServingStatus::Serving => HealthState::Serving,
                ServingStatus::NotServing => HealthState::NotServing,
                ServingStatus::Unknown | ServingStatus::ServiceUnknown => HealthState::Unknown,
            }),
            Err(error)
                if error.server_error().is_some_and(|refusal| refusal.code == tonic::Code::NotFound) =>
            {
                Ok(HealthState::Unknown)
            }
            Err(error) => Err(error),
        }
    }
}

impl Snapshot {
    /// The node that streams it.
    pub fn endpoint(&self) -> &crate::address::NodeUrl {
        &self.called.endpoint
    }

    /// The next bytes; `None` at the end. The file's own checksums tell whether it is whole.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let timeout = self.client.options.timeout;
        let failure = match tokio::time::timeout(timeout, self.called.answer.message()).await {
            Ok(Ok(message)) => return Ok(message.map(|message| message.data)),
            Ok(Err(status)) => classify(&status, timeout),
            Err(_) => Failure::Timeout { after: timeout, outcome: Outcome::NotApplied },
        };
        Err(self.called.error(CallSpec::read(Action::Snapshot), failure))
    }
}
