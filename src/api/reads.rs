//! Reads, from a view of this node that is fresh enough.

use crate::api::call::Call;
use crate::api::context::Api;
use crate::api::fault::Fault;
use crate::api::heavy::{NetworkThread, Waiting};
use crate::api::paging::{self, Page, PageRead};
use crate::api::read_level::ReadLevel;
use crate::api::served::Served;
use crate::kv::{self, KeyValue, Txn, TxnResult};
use crate::machine::{StateHash, View};
use crate::types::Revision;
use std::sync::Arc;

impl Api {
    /// Reads one key; `range` must be that of a single key.
    pub async fn get(
        &self,
        call: &Call,
        range: &kv::Range,
        level: ReadLevel,
    ) -> Result<Served<Option<KeyValue>>, Fault> {
        let view = self.router.view(call, level).await?;
        let found = view.range(range)?;
        let revision = range.revision.unwrap_or_else(|| view.revision());
        let origin = self.origin_of(&view, revision, Some(level));
        Ok(Served { origin, value: found.kvs.into_iter().next() })
    }

    pub async fn page(&self, call: &Call, read: PageRead) -> Result<Served<Page>, Fault> {
        let level = read.level;
        let view = self.router.view(call, level).await?;
        let (is_light, limits) = (paging::is_light(&read), self.limits.clone());
        let page =
            self.read(call, is_light, &view, move |view, caller| paging::page(view, caller, &read, &limits));
        let page = page.await?;
        let origin = self.origin_of(&view, page.revision, Some(level));
        Ok(Served { origin, value: page })
    }

    pub(in crate::api) async fn read_txn(&self, call: &Call, txn: Txn) -> Result<Served<TxnResult>, Fault> {
        let level = ReadLevel::Linearizable;
        let view = self.router.view(call, level).await?;
        let is_light = paging::is_light_txn(&txn);
        let value =
            self.read(call, is_light, &view, move |view, caller| view.read_txn_for(caller, &txn)).await?;
        Ok(Served { origin: self.origin_of(&view, view.revision(), Some(level)), value })
    }

    /// Hashes the whole state of this node, at a revision or as it is.
    pub async fn hash(&self, call: &Call, revision: Option<Revision>) -> Result<Served<StateHash>, Fault> {
        let level = revision.map_or(ReadLevel::Local, ReadLevel::AtLeast);
        let view = self.router.view(call, level).await?;
        let work = {
            let view = Arc::clone(&view);
            move |caller: &Waiting| view.hash_for(caller, revision)
        };
        let hash = self.bounds.hashes.run(&call.deadline, work).await??;
        Ok(Served { origin: self.origin_of(&view, hash.revision, Some(level)), value: hash })
    }

    /// Runs a read here or on a blocking thread. What looks light is tried here; if it turns out not to be (a
    /// short page over many deleted keys), it begins again there.
    async fn read<T: Send + 'static>(
        &self,
        call: &Call,
        is_light: bool,
        view: &Arc<View>,
        work: impl Fn(&View, &dyn kv::Caller) -> Result<T, kv::ReadError> + Send + 'static,
    ) -> Result<T, Fault> {
        if is_light {
            match work(view, &NetworkThread::default()) {
                Err(kv::ReadError::Abandoned) => {}
                done => return Ok(done?),
            }
        }
        let view = Arc::clone(view);
        Ok(self.bounds.heavy.run(&call.deadline, move |caller| work(&view, caller)).await??)
    }
}
