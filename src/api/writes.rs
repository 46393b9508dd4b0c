//! Writes, on any node.

use crate::api::call::Call;
use crate::api::context::Api;
use crate::api::fault::Fault;
use crate::api::served::Served;
use crate::kv::{Compact, Delete, DeleteResult, Put, PutResult, Refusal, Txn, TxnResult};
use crate::machine::{Command, CommandResult};
use crate::reason::Reason;

impl Api {
    pub async fn put(&self, call: &Call, put: Put) -> Result<Served<PutResult>, Fault> {
        self.write(call, &Command::Put(put), |outcome| match outcome {
            CommandResult::Put(result) => Ok(result),
            other => Err(other),
        })
        .await
    }

    pub async fn delete(&self, call: &Call, delete: Delete) -> Result<Served<DeleteResult>, Fault> {
        self.write(call, &Command::Delete(delete), |outcome| match outcome {
            CommandResult::Delete(result) => Ok(result),
            other => Err(other),
        })
        .await
    }

    /// Executes a transaction. One that writes in neither branch does not go through the log.
    pub async fn txn(&self, call: &Call, txn: Txn) -> Result<Served<TxnResult>, Fault> {
        let limit = self.router.handle.view().limits().work;
        if txn.is_read_only() {
            txn.check(limit)?;
            return self.read_txn(call, txn).await;
        }
        // What every state would refuse does not enter the log.
        txn.check_command(limit).map_err(|refusal| Fault::from(refusal).not_applied())?;
        self.write(call, &Command::Txn(txn), |outcome| match outcome {
            CommandResult::Txn(result) => Ok(result),
            other => Err(other),
        })
        .await
    }

    pub async fn compact(&self, call: &Call, compact: Compact) -> Result<Served<()>, Fault> {
        self.write(call, &Command::Compact(compact), |outcome| match outcome {
            // What is wanted holds already: whoever asks twice, or after another, is not wrong.
            CommandResult::Compact | CommandResult::Refused(Refusal::Compacted { .. }) => Ok(()),
            other => Err(other),
        })
        .await
    }

    async fn write<T>(
        &self,
        call: &Call,
        command: &Command,
        result: impl FnOnce(CommandResult) -> Result<T, CommandResult>,
    ) -> Result<Served<T>, Fault> {
        let (leader, applied) = self.router.propose(call, command.encode()).await?;
        let origin = self.origin_of_write(leader, &applied);
        let value = result(applied.reply.result).map_err(refused)?;
        Ok(Served { origin, value })
    }
}

/// The fault for a command that the store refused, as it does on every node; or for an answer of the wrong
/// kind, which is a bug.
fn refused(outcome: CommandResult) -> Fault {
    match outcome {
        CommandResult::Refused(refusal) => Fault::from(refusal).not_applied(),
        other => {
            tracing::error!(?other, "a command was answered by the result of another one; this is a bug");
            Fault::new(Reason::Internal, "the command was applied, but its result is lost").unknown()
        }
    }
}
