//! Keys and values in memory, and how the store misbehaves.

use super::words::{header_at, refusal};
use bytes::Bytes;
use kontiki::proto::v1 as pb;
use std::collections::BTreeMap;
use std::time::Duration;
use tonic::{Code, Status};

/// How the store misbehaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Not at all.
    #[default]
    None,
    /// Each write takes this long.
    Slow(Duration),
    /// Each `nth` write is refused.
    RefuseEvery { nth: u64, reason: &'static str },
    /// Each `nth` write is acknowledged and forgotten.
    ForgetEvery { nth: u64 },
    /// Each status has a higher term than the last.
    NewTermWithEachStatus,
}

/// What was asked of the store.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub echoes: u64,
    pub puts: u64,
    pub txns: u64,
    pub local_gets: u64,
    pub linearizable_gets: u64,
    pub compactions: u64,
    pub refused: u64,
}

pub(super) struct Store {
    keys: BTreeMap<Bytes, pb::KeyValue>,
    revision: i64,
    writes: u64,
    /// The cluster that it says it is of.
    pub cluster: u64,
    pub fault: Fault,
    pub counts: Counts,
}

impl Default for Store {
    fn default() -> Self {
        // An empty store has revision 1, so that the first write is 2.
        Self {
            keys: BTreeMap::new(),
            revision: 1,
            writes: 0,
            cluster: header_at(1).cluster_id,
            fault: Fault::default(),
            counts: Counts::default(),
        }
    }
}

impl Store {
    pub(super) fn header(&self) -> Option<pb::ResponseHeader> {
        Some(pb::ResponseHeader { cluster_id: self.cluster, ..header_at(self.revision) })
    }

    /// How long the next write takes.
    pub(super) fn delay(&self) -> Duration {
        if let Fault::Slow(delay) = self.fault { delay } else { Duration::ZERO }
    }

    /// Puts at one revision, or misbehaves.
    pub(super) fn write(&mut self, puts: Vec<pb::PutRequest>) -> Result<Option<pb::ResponseHeader>, Status> {
        self.writes += 1;
        let due = |nth: u64| self.writes.is_multiple_of(nth);
        match self.fault {
            Fault::RefuseEvery { nth, reason } if due(nth) => {
                self.counts.refused += 1;
                return Err(refusal(Code::ResourceExhausted, reason, "NOT_APPLIED", None));
            }
            Fault::ForgetEvery { nth } if due(nth) => {
                self.revision += 1;
                return Ok(self.header());
            }
            _ => {}
        }
        self.revision += 1;
        for put in puts {
            self.counts.puts += 1;
            self.put(put)?;
        }
        Ok(self.header())
    }

    fn put(&mut self, put: pb::PutRequest) -> Result<(), Status> {
        let Some(pb::put_request::KeyForm::KeyBytes(key)) = put.key_form else {
            return Err(Status::invalid_argument("our clients speak bytes"));
        };
        let Some(pb::put_request::ValueForm::ValueBytes(value)) = put.value_form else {
            return Err(Status::invalid_argument("our clients speak bytes"));
        };
        let held = self.keys.get(&key);
        let kv = pb::KeyValue {
            key_form: Some(pb::key_value::KeyForm::KeyBytes(key.clone())),
            value_form: Some(pb::key_value::ValueForm::ValueBytes(value)),
            create_revision: held.map_or(self.revision, |held| held.create_revision),
            mod_revision: self.revision,
            version: held.map_or(1, |held| held.version + 1),
        };
        self.keys.insert(key, kv);
        Ok(())
    }

    pub(super) fn is_future(&self, revision: i64) -> bool {
        revision > self.revision
    }

    pub(super) fn get(&mut self, get: pb::GetRequest) -> Result<Option<pb::KeyValue>, Status> {
        match get.read_level() {
            pb::ReadLevel::Local => self.counts.local_gets += 1,
            _ => self.counts.linearizable_gets += 1,
        }
        if self.is_future(get.revision) {
            return Err(refusal(Code::OutOfRange, "FUTURE_REVISION", "NOT_APPLIED", None));
        }
        let Some(pb::get_request::KeyForm::KeyBytes(key)) = get.key_form else {
            return Err(Status::invalid_argument("our clients speak bytes"));
        };
        Ok(self.keys.get(&key).cloned())
    }
}
