//! Writes, on any node.

use crate::api::call::Call;
use crate::api::context::Api;
use crate::api::fault::Fault;
use crate::api::served::Served;
use crate::kv::{Compact, Delete, DeleteResult, Put, PutResult, Txn, TxnResult};
use crate::machine::{Command, Outcome};
use crate::reason::Reason;

impl Api {
    /// Puts a value.
    pub async fn put(&self, call: &Call, put: Put) -> Result<Served<PutResult>, Fault> {
        self.write(call, &Command::Put(put), |outcome| match outcome {
            Outcome::Put(result) => Ok(result),
            other => Err(other),
        })
        .await
    }

    /// Removes keys.
    pub async fn delete(&self, call: &Call, delete: Delete) -> Result<Served<DeleteResult>, Fault> {
        self.write(call, &Command::Delete(delete), |outcome| match outcome {
            Outcome::Delete(result) => Ok(result),
            other => Err(other),
        })
        .await
    }

    /// Decides and does a transaction. One that changes nothing in either branch
    /// needs no place in the log.
    pub async fn txn(&self, call: &Call, txn: Txn) -> Result<Served<TxnResult>, Fault> {
        if txn.is_read_only() {
            return self.read_txn(call, txn).await;
        }
        self.write(call, &Command::Txn(txn), |outcome| match outcome {
            Outcome::Txn(result) => Ok(result),
            other => Err(other),
        })
        .await
    }

    /// Forgets history.
    pub async fn compact(&self, call: &Call, compact: Compact) -> Result<Served<()>, Fault> {
        self.write(call, &Command::Compact(compact), |outcome| match outcome {
            Outcome::Compact => Ok(()),
            other => Err(other),
        })
        .await
    }

    async fn write<T>(
        &self,
        call: &Call,
        command: &Command,
        result: impl FnOnce(Outcome) -> Result<T, Outcome>,
    ) -> Result<Served<T>, Fault> {
        let (leader, applied) = self.router.propose(call, command.encode()).await?;
        let origin = self.origin_of_write(leader, &applied);
        let value = result(applied.reply.outcome).map_err(refused)?;
        Ok(Served { origin, value })
    }
}

/// The store refused the command, on every node alike; or the answer is another command's, which is a bug.
fn refused(outcome: Outcome) -> Fault {
    match outcome {
        Outcome::Refused(refusal) => Fault::from(refusal).not_applied(),
        other => {
            tracing::error!(?other, "a command was answered by the result of another one; this is a bug");
            Fault::new(Reason::Internal, "the command was applied, but its result is lost").unknown()
        }
    }
}
