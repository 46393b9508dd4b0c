//! `KvService`: what clients do with keys.
//!
//! Each handler checks the message as a whole, then has it executed: a write by
//! the leader ([`forward`](crate::grpc::forward)), a read on a view that is fresh
//! enough ([`crate::grpc::read_path`]); and answers in the form in
//! which it was asked.

use crate::grpc::answer_stream::{AnswerStream, Answering};
use crate::grpc::context::{Call, Context};
use crate::grpc::error::{Fault, overloaded};
use crate::grpc::forward::{Done, Forwardable, on_leader};
use crate::grpc::wire::read::Level;
use crate::grpc::wire::{read, txn, write};
use crate::grpc::{paging, read_path, scan};
use crate::kv::{self, Command, Outcome, View};
use crate::proto::v1;
use crate::proto::v1::kv_service_server::KvService;
use crate::reason::Reason;
use crate::replica::Applied;
use bytes::Bytes;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The service. Cheap to clone.
#[derive(Clone)]
pub struct Kv {
    context: Arc<Context>,
}

impl Kv {
    /// Serves from this context.
    pub fn new(context: Arc<Context>) -> Self {
        Self { context }
    }

    /// Has the leader execute a command, and says what came of it here; or
    /// passes on what it answered there.
    async fn write<M: Forwardable>(
        &self,
        call: &Call,
        message: &M,
        command: Command,
    ) -> Result<Done<Applied, M::Answer>, Status> {
        let command = command.encode();
        on_leader(&self.context, call, message, || self.propose(call, command.clone())).await
    }

    async fn propose(&self, call: &Call, command: Bytes) -> Result<Applied, Fault> {
        // The write goes on if this wait ends: that is why the outcome is then unknown.
        let write = self.context.handle.write(command, call.deadline.at());
        match call.deadline.bound_loosely(write).await {
            Some(outcome) => Ok(outcome?),
            None => Err(Fault::deadline("the write waited to be replicated and applied").unknown()),
        }
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
        Ok(self.context.bounds.heavy.run(&call.deadline, move || work(&view)).await??)
    }

    async fn read_txn(
        &self,
        call: &Call,
        request: &v1::TxnRequest,
        txn: kv::Txn,
    ) -> Result<v1::TxnResponse, Status> {
        let level = Level::Linearizable;
        let view = read_path::view(&self.context, call, level).await?;
        let is_light = paging::is_light_txn(&txn);
        let result = self.read(call, is_light, &view, move |view| view.read_txn(&txn)).await?;
        let mut response = txn::txn_response(request, result);
        response.header = Some(self.context.read_header(&view, view.revision(), level));
        Ok(response)
    }
}

/// The store refused a command, on every node alike; or answered another kind, which is a bug.
fn refused(outcome: Outcome) -> Status {
    match outcome {
        Outcome::Refused(refusal) => Fault::from(refusal).not_applied().into(),
        other => {
            tracing::error!(?other, "a command was answered by the result of another one; this is a bug");
            Fault::new(Reason::Internal, "the command was applied, but its result is lost").unknown().into()
        }
    }
}

#[tonic::async_trait]
impl KvService for Kv {
    async fn put(&self, request: Request<v1::PutRequest>) -> Result<Response<v1::PutResponse>, Status> {
        let call = self.context.call(request.metadata());
        let request = request.get_ref();
        write::check_size(request, &self.context.limits)?;
        let put = write::put(request, &self.context.limits)?;
        let applied = match self.write(&call, request, Command::Put(put)).await? {
            Done::Here(applied) => applied,
            Done::There(answer) => return Ok(Response::new(answer)),
        };
        let header = self.context.write_header(&applied);
        match applied.reply.outcome {
            Outcome::Put(result) => {
                let response = write::put_response(request, result);
                Ok(Response::new(v1::PutResponse { header: Some(header), ..response }))
            }
            other => Err(refused(other)),
        }
    }

    async fn get(&self, request: Request<v1::GetRequest>) -> Result<Response<v1::GetResponse>, Status> {
        let call = self.context.call(request.metadata());
        let get = read::get(request.get_ref(), &self.context.limits)?;
        let view = read_path::view(&self.context, &call, get.level).await?;
        let found = view.range(&get.range).map_err(Fault::from)?;
        let revision = get.range.revision.unwrap_or_else(|| view.revision());
        let mut response = paging::get_response(found, get.form);
        response.header = Some(self.context.read_header(&view, revision, get.level));
        Ok(Response::new(response))
    }

    async fn delete(
        &self,
        request: Request<v1::DeleteRequest>,
    ) -> Result<Response<v1::DeleteResponse>, Status> {
        let call = self.context.call(request.metadata());
        let request = request.get_ref();
        write::check_size(request, &self.context.limits)?;
        let delete = write::delete(request, &self.context.limits)?;
        let applied = match self.write(&call, request, Command::Delete(delete)).await? {
            Done::Here(applied) => applied,
            Done::There(answer) => return Ok(Response::new(answer)),
        };
        let header = self.context.write_header(&applied);
        match applied.reply.outcome {
            Outcome::Delete(result) => {
                let response = write::delete_response(request, result);
                Ok(Response::new(v1::DeleteResponse { header: Some(header), ..response }))
            }
            other => Err(refused(other)),
        }
    }

    async fn range(&self, request: Request<v1::RangeRequest>) -> Result<Response<v1::RangeResponse>, Status> {
        let call = self.context.call(request.metadata());
        let page = read::page(request.get_ref(), &self.context.limits)?;
        let level = page.level;
        let view = read_path::view(&self.context, &call, level).await?;
        let limits = self.context.limits.clone();
        let is_light = paging::is_light(&page);
        let read = self.read(&call, is_light, &view, move |view| paging::page(view, page, &limits));
        let (mut response, revision) = read.await?;
        response.header = Some(self.context.read_header(&view, revision, level));
        Ok(Response::new(response))
    }

    type ScanStream = AnswerStream<v1::ScanResponse>;

    async fn scan(&self, request: Request<v1::ScanRequest>) -> Result<Response<Self::ScanStream>, Status> {
        let call = self.context.call(request.metadata());
        let scan = read::scan(request.get_ref(), &self.context.limits)?;
        let permit = Arc::clone(&self.context.bounds.scans)
            .try_acquire_owned()
            .map_err(|_| overloaded("too many scans are running on this node"))?;
        let view = read_path::view(&self.context, &call, scan.level).await?;
        let answering = Answering { what: "scan", deadline: call.own_deadline(), permit };
        Ok(Response::new(scan::start(Arc::clone(&self.context), answering, view, scan)))
    }

    async fn txn(&self, request: Request<v1::TxnRequest>) -> Result<Response<v1::TxnResponse>, Status> {
        let call = self.context.call(request.metadata());
        let request = request.get_ref();
        write::check_size(request, &self.context.limits)?;
        let txn = txn::txn(request, &self.context.limits)?;
        if txn::is_read_only(&txn) {
            return Ok(Response::new(self.read_txn(&call, request, txn).await?));
        }
        let applied = match self.write(&call, request, Command::Txn(txn)).await? {
            Done::Here(applied) => applied,
            Done::There(answer) => return Ok(Response::new(answer)),
        };
        let header = self.context.write_header(&applied);
        match applied.reply.outcome {
            Outcome::Txn(result) => {
                let response = txn::txn_response(request, result);
                Ok(Response::new(v1::TxnResponse { header: Some(header), ..response }))
            }
            other => Err(refused(other)),
        }
    }

    async fn compact(
        &self,
        request: Request<v1::CompactRequest>,
    ) -> Result<Response<v1::CompactResponse>, Status> {
        let call = self.context.call(request.metadata());
        let request = request.get_ref();
        let compact = write::compact(request)?;
        let applied = match self.write(&call, request, Command::Compact(compact)).await? {
            Done::Here(applied) => applied,
            Done::There(answer) => return Ok(Response::new(answer)),
        };
        let header = self.context.write_header(&applied);
        match applied.reply.outcome {
            Outcome::Compact => Ok(Response::new(v1::CompactResponse { header: Some(header) })),
            other => Err(refused(other)),
        }
    }
}
