//! Transactions, between the wire and the domain.
//!
//! A transaction is checked as a whole before the state machine sees any of it. Its size counts along its
//! longest branch, including nested transactions, so that nesting buys nothing; and over all branches together,
//! since those that are not taken have to be read and checked, too.

use crate::api::fault::Fault;
use crate::grpc::wire::key_range::key_range;
use crate::grpc::wire::read::{
    at_least_zero, get_in_txn, get_response, range_in_txn, range_response, unknown_enum,
};
use crate::grpc::wire::text::Spoken;
use crate::grpc::wire::write::{delete, delete_response, put, put_response};
use crate::kv::{self, Relation, Target};
use crate::proto::v1;
use crate::reason::Reason;
use crate::settings::Limits;
use crate::types::Revision;
use v1::txn_op::Op as WireOp;
use v1::txn_op_result::Result as WireResult;

pub fn txn(request: &v1::TxnRequest, limits: &Limits) -> Result<kv::Txn, Fault> {
    check_cost(request, limits)?;
    convert(request, limits)
}

/// What the longest path through a transaction costs.
#[derive(Clone, Copy, Default)]
struct Cost {
    ops: u64,
    compares: u64,
    /// Operations and compares of all paths together.
    all: u64,
}

fn check_cost(request: &v1::TxnRequest, limits: &Limits) -> Result<(), Fault> {
    let limit = limits.txn_ops as u64;
    let success = branch_cost(&request.success, 1).map_err(|fault| fault.inside("success"))?;
    let failure = branch_cost(&request.failure, 1).map_err(|fault| fault.inside("failure"))?;
    for (cost, field) in [(success, "success"), (failure, "failure")] {
        if cost.ops > limit {
            let what = "too many operations in a branch, nested ones included";
            return Err(Fault::over(Reason::TooManyOps, field, what, limit, cost.ops));
        }
    }
    let compares = request.compares.len() as u64 + success.compares.max(failure.compares);
    if compares > limit {
        let what = "too many compares, nested ones included";
        return Err(Fault::over(Reason::TooManyCompares, "compares", what, limit, compares));
    }
    let all = request.compares.len() as u64 + success.all + failure.all;
    let limit = limit * Limits::ALL_BRANCHES as u64;
    if all > limit {
        let what = "too many operations and compares in all branches together";
        return Err(Fault::over(Reason::TooManyOps, "success", what, limit, all));
    }
    Ok(())
}

fn branch_cost(ops: &[v1::TxnOp], depth: usize) -> Result<Cost, Fault> {
    let mut cost = Cost { ops: ops.len() as u64, compares: 0, all: ops.len() as u64 };
    for op in ops {
        let Some(WireOp::Txn(nested)) = &op.op else {
            continue;
        };
        let depth = depth + 1;
        if depth > kv::Txn::MAX_DEPTH {
            let what = "transactions are nested too deeply";
            return Err(Fault::over(Reason::TooDeep, "txn", what, kv::Txn::MAX_DEPTH as u64, depth as u64));
        }
        let success = branch_cost(&nested.success, depth)?;
        let failure = branch_cost(&nested.failure, depth)?;
        cost.ops += success.ops.max(failure.ops);
        cost.compares += nested.compares.len() as u64 + success.compares.max(failure.compares);
        cost.all += nested.compares.len() as u64 + success.all + failure.all;
    }
    Ok(cost)
}

fn convert(request: &v1::TxnRequest, limits: &Limits) -> Result<kv::Txn, Fault> {
    Ok(kv::Txn {
        compares: each(&request.compares, "compares", |compare| self::compare(compare, limits))?,
        success: each(&request.success, "success", |op| self::op(op, limits))?,
        failure: each(&request.failure, "failure", |op| self::op(op, limits))?,
    })
}

/// Converts a list; a fault gets the index in it.
fn each<W, D>(list: &[W], field: &str, convert: impl Fn(&W) -> Result<D, Fault>) -> Result<Vec<D>, Fault> {
    list.iter()
        .enumerate()
        .map(|(place, item)| convert(item).map_err(|fault| fault.inside(&format!("{field}[{place}]"))))
        .collect()
}

fn op(op: &v1::TxnOp, limits: &Limits) -> Result<kv::Op, Fault> {
    let Some(op) = &op.op else {
        return Err(Fault::field(Reason::OpMissing, "op", "set one of put, get, delete, range, txn"));
    };
    let (kind, op) = match op {
        WireOp::Put(request) => ("put", put(request, limits).map(kv::Op::Put)),
        WireOp::Get(request) => ("get", get_in_txn(request, limits).map(kv::Op::Range)),
        WireOp::Delete(request) => ("delete", delete(request, limits).map(kv::Op::Delete)),
        WireOp::Range(request) => ("range", range_in_txn(request, limits).map(kv::Op::Range)),
        WireOp::Txn(request) => ("txn", convert(request, limits).map(kv::Op::Txn)),
    };
    op.map_err(|fault| fault.inside(kind))
}

fn compare(compare: &v1::Compare, limits: &Limits) -> Result<kv::Compare, Fault> {
    Ok(kv::Compare {
        range: key_range(compare.selector.as_ref(), limits)?,
        target: target(compare)?,
        relation: relation(compare.relation)?,
    })
}

fn target(compare: &v1::Compare) -> Result<Target, Fault> {
    use v1::CompareTarget as Wire;
    use v1::compare::Operand;
    let target = match Wire::try_from(compare.target) {
        Ok(Wire::Unspecified) => {
            return Err(Fault::field(
                Reason::EnumUnknown,
                "target",
                "the target is unset: set what to compare",
            ));
        }
        Ok(target) => target,
        Err(_) => return Err(unknown_enum("target", compare.target)),
    };
    let number = || match &compare.operand {
        Some(Operand::Number(number)) => at_least_zero("number", *number),
        _ => Err(mismatch("this target is compared with a `number`")),
    };
    match (target, &compare.operand) {
        (Wire::Version, _) => Ok(Target::Version(number()?)),
        (Wire::CreateRevision, _) => Ok(Target::CreateRevision(Revision(number()?))),
        (Wire::ModRevision, _) => Ok(Target::ModRevision(Revision(number()?))),
        (_, Some(Operand::Value(value))) => Ok(Target::Value(Spoken::Text(value).to_bytes())),
        (_, Some(Operand::ValueBytes(value))) => Ok(Target::Value(value.clone())),
        (_, Some(Operand::Number(_)) | None) => {
            Err(mismatch("the target VALUE is compared with a `value` or `value_bytes`"))
        }
    }
}

fn mismatch(what: &str) -> Fault {
    Fault::field(Reason::OperandMismatch, "operand", what)
}

fn relation(relation: i32) -> Result<Relation, Fault> {
    use v1::CompareRelation as Wire;
    match Wire::try_from(relation) {
        Ok(Wire::Unspecified | Wire::Equal) => Ok(Relation::Equal),
        Ok(Wire::NotEqual) => Ok(Relation::NotEqual),
        Ok(Wire::Greater) => Ok(Relation::Greater),
        Ok(Wire::Less) => Ok(Relation::Less),
        Err(_) => Err(unknown_enum("relation", relation)),
    }
}

// To the wire.

/// The answer to a transaction, each result in the form of its operation.
pub fn txn_response(
    header: Option<v1::ResponseHeader>,
    request: &v1::TxnRequest,
    result: kv::TxnResult,
) -> v1::TxnResponse {
    let branch = if result.succeeded { &request.success } else { &request.failure };
    let results = branch.iter().zip(result.results).map(|(op, result)| op_result(op, result)).collect();
    v1::TxnResponse { header, succeeded: result.succeeded, results }
}

fn op_result(op: &v1::TxnOp, result: kv::OpResult) -> v1::TxnOpResult {
    let result = match (&op.op, result) {
        (Some(WireOp::Put(request)), kv::OpResult::Put(result)) => {
            Some(WireResult::Put(put_response(None, request, result)))
        }
        (Some(WireOp::Delete(request)), kv::OpResult::Delete(result)) => {
            Some(WireResult::Delete(delete_response(None, request, result)))
        }
        (Some(WireOp::Get(request)), kv::OpResult::Range(result)) => {
            Some(WireResult::Get(get_response(None, request, result.kvs.into_iter().next())))
        }
        (Some(WireOp::Range(request)), kv::OpResult::Range(result)) => {
            Some(WireResult::Range(range_response(None, request, result)))
        }
        (Some(WireOp::Txn(request)), kv::OpResult::Txn(result)) => {
            Some(WireResult::Txn(txn_response(None, request, result)))
        }
        // The state machine answers each operation with a result of its kind; a leader of another version might not.
        _ => None,
    };
    v1::TxnOpResult { result }
}

#[cfg(test)]
mod tests {
    use super::*;
    use v1::compare::{Operand, Selector};
    use v1::put_request::KeyForm;

    fn put_op(key: &str) -> v1::TxnOp {
        let request = v1::PutRequest { key_form: Some(KeyForm::Key(key.into())), ..Default::default() };
        v1::TxnOp { op: Some(WireOp::Put(request)) }
    }

    fn get_op(key: &str) -> v1::TxnOp {
        let key_form = Some(v1::get_request::KeyForm::Key(key.into()));
        v1::TxnOp { op: Some(WireOp::Get(v1::GetRequest { key_form, ..Default::default() })) }
    }

    fn txn_op(nested: v1::TxnRequest) -> v1::TxnOp {
        v1::TxnOp { op: Some(WireOp::Txn(nested)) }
    }

    fn success(ops: Vec<v1::TxnOp>) -> v1::TxnRequest {
        v1::TxnRequest { success: ops, ..Default::default() }
    }

    fn compares(compare: v1::Compare) -> v1::TxnRequest {
        v1::TxnRequest { compares: vec![compare], ..Default::default() }
    }

    fn version_is(number: i64) -> v1::Compare {
        v1::Compare {
            selector: Some(Selector::Key("k".into())),
            target: v1::CompareTarget::Version.into(),
            relation: v1::CompareRelation::Equal.into(),
            operand: Some(Operand::Number(number)),
        }
    }

    fn refused(request: &v1::TxnRequest) -> Fault {
        txn(request, &Limits::default()).unwrap_err()
    }

    #[test]
    fn a_branch_takes_128_operations_nested_ones_included() {
        let many = |count| (0..count).map(|n| put_op(&n.to_string())).collect::<Vec<_>>();
        assert!(txn(&success(many(128)), &Limits::default()).is_ok());
        let fault = refused(&success(many(129)));
        assert_eq!((fault.reason(), fault.at()), (Reason::TooManyOps, Some("success")));
        assert_eq!((fault.get("limit"), fault.get("actual")), (Some("128"), Some("129")));

        // The nested transaction counts as one, and its longer branch is added.
        let nested = v1::TxnRequest { success: many(70), failure: many(20), ..Default::default() };
        let mut ops = many(57);
        ops.push(txn_op(nested.clone()));
        assert!(txn(&success(ops.clone()), &Limits::default()).is_ok());
        ops.push(put_op("one more"));
        assert_eq!(refused(&success(ops)).get("actual"), Some("129"));
    }

    /// Four branches on the way, eight times as much in all.
    #[test]
    fn branches_that_are_not_taken_count_together() {
        let both = |inner: &v1::TxnRequest, gets: usize| {
            let ops = || [vec![get_op("k"); gets], vec![txn_op(inner.clone())]].concat();
            v1::TxnRequest { success: ops(), failure: ops(), ..Default::default() }
        };
        let request = (0..4).fold(v1::TxnRequest::default(), |inner, _| both(&inner, 30));
        // 4 × 31 along each path; 31 × (2 + 4 + 8 + 16) in all.
        assert!(txn(&request, &Limits::default()).is_ok());
        let fault = refused(&both(&request, 3));
        assert_eq!(fault.reason(), Reason::TooManyOps);
        assert_eq!((fault.get("limit"), fault.get("actual")), (Some("1024"), Some("1868")));
    }

    #[test]
    fn compares_count_along_the_way_too() {
        let many = |count| vec![version_is(0); count];
        let nested = v1::TxnRequest { compares: many(100), ..Default::default() };
        let both = v1::TxnRequest { compares: many(29), failure: vec![txn_op(nested)], ..Default::default() };
        let fault = refused(&both);
        assert_eq!((fault.reason(), fault.get("actual")), (Reason::TooManyCompares, Some("129")));
    }

    #[test]
    fn nesting_is_bounded_as_in_the_log() {
        let nest =
            |levels| (1..levels).fold(success(vec![put_op("k")]), |inner, _| success(vec![txn_op(inner)]));
        assert!(txn(&nest(kv::Txn::MAX_DEPTH), &Limits::default()).is_ok());
        assert_eq!(refused(&nest(kv::Txn::MAX_DEPTH + 1)).reason(), Reason::TooDeep);
    }

    #[test]
    fn a_mistake_deep_inside_is_named_by_its_path() {
        let nested = v1::TxnRequest { failure: vec![get_op("k"), put_op("")], ..Default::default() };
        let fault = refused(&success(vec![put_op("a"), txn_op(nested)]));
        assert_eq!(fault.reason(), Reason::KeyEmpty);
        assert_eq!(fault.at(), Some("success[1].txn.failure[1].put.key"));
        assert_eq!(refused(&success(vec![v1::TxnOp::default()])).reason(), Reason::OpMissing);
    }

    #[test]
    fn compares_are_checked() {
        let mistakes = [
            (v1::Compare { target: 0, ..version_is(0) }, Reason::EnumUnknown, "compares[0].target"),
            (v1::Compare { target: 99, ..version_is(0) }, Reason::EnumUnknown, "compares[0].target"),
            (v1::Compare { relation: 99, ..version_is(0) }, Reason::EnumUnknown, "compares[0].relation"),
            (v1::Compare { operand: None, ..version_is(0) }, Reason::OperandMismatch, "compares[0].operand"),
            (v1::Compare { target: 4, ..version_is(0) }, Reason::OperandMismatch, "compares[0].operand"),
            (
                v1::Compare { selector: None, ..version_is(0) },
                Reason::SelectorMissing,
                "compares[0].selector",
            ),
            (version_is(-1), Reason::NumberTooSmall, "compares[0].number"),
        ];
        for (compare, reason, field) in mistakes {
            let fault = refused(&compares(compare));
            assert_eq!((fault.reason(), fault.at()), (reason, Some(field)));
        }
    }

    #[test]
    fn reads_inside_leave_freshness_to_the_transaction() {
        let get = v1::GetRequest {
            key_form: Some(v1::get_request::KeyForm::Key("k".into())),
            read_level: v1::ReadLevel::Local.into(),
            ..Default::default()
        };
        let fault = refused(&success(vec![v1::TxnOp { op: Some(WireOp::Get(get)) }]));
        assert_eq!(fault.reason(), Reason::FieldNotAllowed);
        assert_eq!(fault.at(), Some("success[0].get.read_level"));
    }

    #[test]
    fn only_what_writes_needs_the_log() {
        let is_read_only = |request| txn(&request, &Limits::default()).unwrap().is_read_only();
        assert!(is_read_only(success(vec![get_op("a"), txn_op(success(vec![get_op("b")]))])));
        assert!(!is_read_only(success(vec![get_op("a"), txn_op(success(vec![put_op("b")]))])));
        assert!(!is_read_only(v1::TxnRequest { failure: vec![put_op("b")], ..Default::default() }));
    }

    #[test]
    fn results_follow_the_branch_that_was_taken() {
        let request = v1::TxnRequest { failure: vec![get_op("k"), put_op("k")], ..Default::default() };
        let result = kv::TxnResult {
            succeeded: false,
            results: vec![
                kv::OpResult::Range(kv::RangeResult::default()),
                kv::OpResult::Put(kv::PutResult::default()),
            ],
        };
        let answer = txn_response(None, &request, result);
        assert!(!answer.succeeded);
        assert!(matches!(answer.results[0].result, Some(WireResult::Get(v1::GetResponse { kv: None, .. }))));
        assert!(matches!(answer.results[1].result, Some(WireResult::Put(_))));
    }
}
