//! Reads, on a view that is fresh enough, of this node.

use crate::api::call::Call;
use crate::api::context::Api;
use crate::api::fault::Fault;
use crate::api::paging::{self, Page, PageRead};
use crate::api::read_level::Level;
use crate::api::served::Served;
use crate::kv::{self, KeyValue, Txn, TxnResult};
use crate::machine::{StateHash, View};
use crate::types::Revision;
use std::sync::Arc;

impl Api {
    /// Reads one key; `range` names just it.
    pub async fn get(
        &self,
        call: &Call,
        range: &kv::Range,
        level: Level,
    ) -> Result<Served<Option<KeyValue>>, Fault> {
        let view = self.router.view(call, level).await?;
        let found = view.range(range)?;
        let revision = range.revision.unwrap_or_else(|| view.revision());
        let origin = self.origin_of(&view, revision, Some(level));
        Ok(Served { origin, value: found.kvs.into_iter().next() })
    }

    /// Reads a page of a range.
    pub async fn page(&self, call: &Call, read: PageRead) -> Result<Served<Page>, Fault> {
        let level = read.level;
        let view = self.router.view(call, level).await?;
        let (is_light, limits) = (paging::is_light(&read), self.limits.clone());
        let page = self.read(call, is_light, &view, move |view| paging::page(view, read, &limits)).await?;
        let origin = self.origin_of(&view, page.revision, Some(level));
        Ok(Served { origin, value: page })
    }

    pub(in crate::api) async fn read_txn(&self, call: &Call, txn: Txn) -> Result<Served<TxnResult>, Fault> {
        let level = Level::Linearizable;
        let view = self.router.view(call, level).await?;
        let is_light = paging::is_light_txn(&txn);
        let value = self.read(call, is_light, &view, move |view| view.read_txn(&txn)).await?;
        Ok(Served { origin: self.origin_of(&view, view.revision(), Some(level)), value })
    }

    /// Hashes the whole state: as it is here, or at a revision.
    pub async fn hash(&self, call: &Call, revision: Option<Revision>) -> Result<Served<StateHash>, Fault> {
        let level = revision.map_or(Level::Local, Level::AtLeast);
        let view = self.router.view(call, level).await?;
        let work = {
            let view = Arc::clone(&view);
            move || view.hash(revision)
        };
        let hash = self.bounds.hashes.run(&call.deadline, work).await??;
        Ok(Served { origin: self.origin_of(&view, hash.revision, Some(level)), value: hash })
    }

    /// Runs a read where its size asks for.
    async fn read<T: Send + 'static>(
        &self,
        call: &Call,
        is_light: bool,
        view: &Arc<View>,
        work: impl FnOnce(&View) -> Result<T, kv::ReadError> + Send + 'static,
    ) -> Result<T, Fault> {
        if is_light {
            return Ok(work(view)?);
        }
        let view = Arc::clone(view);
        Ok(self.bounds.heavy.run(&call.deadline, move || work(&view)).await??)
    }
}
