//! The conversion of any message is a value or a refusal, never a panic.

use kontiki::api::fault::Fault;
use kontiki::grpc::wire::{read, txn, write};
use kontiki::machine::Command;
use kontiki::proto::v1;
use kontiki::settings::Limits;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use prost::Message;
use tonic::Status;
use v1::txn_op::Op;

fn limits() -> Limits {
    Limits { key_bytes: 6, txn_ops: 8, ..Limits::default() }
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof!["[a-c]{0,8}", ".{0,4}"]
}

fn raw() -> impl Strategy<Value = bytes::Bytes> {
    vec(prop_oneof![Just(0u8), Just(0xff), any::<u8>()], 0..9).prop_map(Into::into)
}

fn number() -> impl Strategy<Value = i64> {
    prop_oneof![Just(0), 1..9i64, Just(-1), any::<i64>()]
}

fn choice() -> impl Strategy<Value = i32> {
    prop_oneof![4 => 0..6i32, 1 => any::<i32>()]
}

fn span() -> impl Strategy<Value = v1::KeySpan> {
    use v1::key_span::{EndForm, StartForm};
    let start = prop_oneof![word().prop_map(StartForm::Start), raw().prop_map(StartForm::StartBytes)];
    let end = prop_oneof![word().prop_map(EndForm::End), raw().prop_map(EndForm::EndBytes)];
    (option::of(start), option::of(end))
        .prop_map(|(start_form, end_form)| v1::KeySpan { start_form, end_form })
}

macro_rules! selector {
    ($module:ident) => {{
        use v1::$module::Selector;
        option::of(prop_oneof![
            word().prop_map(Selector::Key),
            raw().prop_map(Selector::KeyBytes),
            word().prop_map(Selector::Prefix),
            raw().prop_map(Selector::PrefixBytes),
            span().prop_map(Selector::Span),
            any::<bool>().prop_map(Selector::All),
        ])
    }};
}

fn put() -> impl Strategy<Value = v1::PutRequest> {
    use v1::put_request::{KeyForm, ValueForm};
    let key = prop_oneof![word().prop_map(KeyForm::Key), raw().prop_map(KeyForm::KeyBytes)];
    let value = prop_oneof![word().prop_map(ValueForm::Value), raw().prop_map(ValueForm::ValueBytes)];
    (option::of(key), option::of(value), any::<bool>()).prop_map(|(key_form, value_form, return_previous)| {
        v1::PutRequest { key_form, value_form, return_previous }
    })
}

fn get() -> impl Strategy<Value = v1::GetRequest> {
    use v1::get_request::KeyForm;
    let key = prop_oneof![word().prop_map(KeyForm::Key), raw().prop_map(KeyForm::KeyBytes)];
    (option::of(key), number(), choice(), number()).prop_map(
        |(key_form, revision, read_level, min_revision)| v1::GetRequest {
            key_form,
            revision,
            read_level,
            min_revision,
        },
    )
}

fn delete() -> impl Strategy<Value = v1::DeleteRequest> {
    (selector!(delete_request), any::<bool>())
        .prop_map(|(selector, return_previous)| v1::DeleteRequest { selector, return_previous })
}

fn range() -> impl Strategy<Value = v1::RangeRequest> {
    let what = (selector!(range_request), number(), number(), "[A-Za-z0-9_-]{0,6}");
    let how = (choice(), any::<bool>(), any::<bool>(), any::<bool>(), choice(), number());
    (what, how).prop_map(|((selector, revision, limit, page_token), how)| {
        let (order, keys_only, count_only, with_count, read_level, min_revision) = how;
        v1::RangeRequest {
            selector,
            revision,
            limit,
            page_token,
            order,
            keys_only,
            count_only,
            with_count,
            read_level,
            min_revision,
        }
    })
}

fn scan() -> impl Strategy<Value = v1::ScanRequest> {
    (selector!(scan_request), number(), number(), choice(), choice(), number()).prop_map(
        |(selector, revision, limit, order, read_level, min_revision)| v1::ScanRequest {
            selector,
            revision,
            limit,
            order,
            keys_only: false,
            read_level,
            min_revision,
        },
    )
}

fn compare() -> impl Strategy<Value = v1::Compare> {
    use v1::compare::Operand;
    let operand = prop_oneof![
        number().prop_map(Operand::Number),
        word().prop_map(Operand::Value),
        raw().prop_map(Operand::ValueBytes),
    ];
    (selector!(compare), choice(), choice(), option::of(operand))
        .prop_map(|(selector, target, relation, operand)| v1::Compare { selector, target, relation, operand })
}

/// Boxed at each level: the strategies' own types would not fit on a test's stack.
fn transaction() -> BoxedStrategy<v1::TxnRequest> {
    let leaf = prop_oneof![
        put().prop_map(Op::Put).boxed(),
        get().prop_map(Op::Get).boxed(),
        delete().prop_map(Op::Delete).boxed(),
        range().prop_map(Op::Range).boxed(),
    ]
    .boxed();
    let of = |op: BoxedStrategy<Option<Op>>| {
        let ops = vec(op.prop_map(|op| v1::TxnOp { op }), 0..4).boxed();
        (vec(compare(), 0..3).boxed(), ops.clone(), ops)
            .prop_map(|(compares, success, failure)| v1::TxnRequest { compares, success, failure })
    };
    let flat = of(option::weighted(0.95, leaf.clone()).boxed()).boxed();
    flat.prop_recursive(4, 40, 4, move |nested| {
        let op = prop_oneof![3 => leaf.clone(), 1 => nested.prop_map(Op::Txn)];
        of(option::weighted(0.95, op).boxed()).boxed()
    })
    .boxed()
}

/// As deep as protobuf itself lets a message be: it is refused, on the stack of any thread.
#[test]
fn the_deepest_message_is_refused() {
    let nest = |levels: usize| {
        (0..levels).fold(v1::TxnRequest::default(), |inner, _| v1::TxnRequest {
            success: vec![v1::TxnOp { op: Some(Op::Txn(inner)) }],
            ..Default::default()
        })
    };
    let readable = |levels: &usize| v1::TxnRequest::decode(&nest(*levels).encode_to_vec()[..]).is_ok();
    let deepest = (1..100).take_while(readable).last().unwrap();
    assert!(deepest > 16, "protobuf stops before our own limit does");
    let fault = txn::txn(&nest(deepest), &Limits::default()).unwrap_err();
    assert_eq!(fault.reason(), kontiki::reason::Reason::TooDeep);
}

/// A refusal is one that a client can act on.
fn sensible(fault: Fault) -> Result<(), TestCaseError> {
    let at = fault.at().map(str::to_owned);
    let status: Status = fault.into();
    prop_assert_eq!(status.code(), tonic::Code::InvalidArgument);
    prop_assert!(!status.message().is_empty());
    prop_assert!(at.is_some(), "no field is named: {}", status.message());
    prop_assert_eq!(status.metadata().get("kontiki-write-outcome").unwrap(), "NOT_APPLIED");
    Ok(())
}

/// What passes keeps to the limits, and the log can hold it.
fn storable(command: Command) -> Result<(), TestCaseError> {
    let back = Command::decode(&command.encode());
    prop_assert_eq!(back.unwrap(), command);
    Ok(())
}

proptest! {
    #[test]
    fn puts(request in put()) {
        match write::put(&request, &limits()) {
            Ok(put) => {
                prop_assert!((1..=6).contains(&put.key.len()));
                storable(Command::Put(put))?;
            }
            Err(fault) => sensible(fault)?,
        }
    }

    #[test]
    fn deletes(request in delete()) {
        match write::delete(&request, &limits()) {
            Ok(delete) => {
                prop_assert!(!delete.range.is_empty());
                storable(Command::Delete(delete))?;
            }
            Err(fault) => sensible(fault)?,
        }
    }

    #[test]
    fn transactions(request in transaction()) {
        match txn::txn(&request, &limits()) {
            Ok(txn) => storable(Command::Txn(txn))?,
            Err(fault) => sensible(fault)?,
        }
    }

    #[test]
    fn reads(get in get(), range in range(), scan in scan()) {
        if let Err(fault) = read::get(&get, &limits()) {
            sensible(fault)?;
        }
        match read::page(&range, &limits()) {
            Ok(page) => prop_assert!(!page.whole.is_empty() && page.read.limit.is_some_and(|limit| limit > 0)),
            Err(fault) => sensible(fault)?,
        }
        if let Err(fault) = read::scan(&scan, &limits()) {
            sensible(fault)?;
        }
    }

    /// Bytes of a message, damaged: mostly another message, sometimes none.
    #[test]
    fn damaged_messages(request in transaction(), damage in vec((any::<usize>(), any::<u8>()), 0..4)) {
        let mut bytes = request.encode_to_vec();
        for (at, byte) in damage {
            if !bytes.is_empty() {
                let at = at % bytes.len();
                bytes[at] = byte;
            }
        }
        if let Ok(request) = v1::TxnRequest::decode(&bytes[..]) {
            match txn::txn(&request, &limits()) {
                Ok(txn) => storable(Command::Txn(txn))?,
                Err(fault) => sensible(fault)?,
            }
        }
        if let Ok(request) = v1::RangeRequest::decode(&bytes[..]) {
            let _ = read::page(&request, &limits());
        }
        if let Ok(request) = v1::DeleteRequest::decode(&bytes[..]) {
            let _ = write::delete(&request, &limits());
        }
    }
}
