//! The answer of a transaction as text and as JSON.

use crate::cli::text;
use crate::client::{KeyValue, Page, Txn, TxnAnswer, TxnOp, TxnResult};
use serde_json::{Value, json};

/// One line for each operation of the branch taken, followed by what it read.
pub(super) fn lines(txn: &Txn, answer: &TxnAnswer, hex: bool) -> Vec<String> {
    let branch = if answer.succeeded { &txn.success } else { &txn.failure };
    let pairs = branch.iter().zip(&answer.results);
    pairs.flat_map(|(op, result)| op_lines(op, result, hex)).collect()
}

fn op_lines(op: &TxnOp, result: &TxnResult, hex: bool) -> Vec<String> {
    let shown = |bytes: &[u8]| text::shown(bytes, hex);
    match (op, result) {
        (TxnOp::Put(put), TxnResult::Put(_)) => vec![format!("put {}: ok", shown(&put.key))],
        (TxnOp::Get(get), TxnResult::Get(None)) => vec![format!("get {}: absent", shown(&get.key))],
        (TxnOp::Get(get), TxnResult::Get(Some(kv))) => {
            vec![format!("get {}: {}  (revision {})", shown(&get.key), shown(&kv.value), kv.mod_revision)]
        }
        (_, TxnResult::Delete(deleted)) => vec![format!("delete: {} removed", deleted.deleted)],
        (_, TxnResult::Range(page)) => {
            let more = if page.more { ", and there are more" } else { "" };
            let head = format!("range: {} keys{more}", page.kvs.len());
            let rows = page.kvs.iter().map(|kv| format!("  {}\t{}", shown(&kv.key), shown(&kv.value)));
            std::iter::once(head).chain(rows).collect()
        }
        (TxnOp::Txn(inner), TxnResult::Txn(answer)) => {
            let how = if answer.succeeded { "succeeded" } else { "a condition did not hold" };
            let inner = lines(inner, answer, hex).into_iter().map(|line| format!("  {line}"));
            std::iter::once(format!("txn: {how}")).chain(inner).collect()
        }
        // Whatever else a server may answer is shown as it is.
        (_, result) => vec![result_json(result, hex).to_string()],
    }
}

/// The answer as JSON: each result under the name of its operation.
pub(super) fn json(answer: &TxnAnswer, hex: bool) -> Value {
    let results: Vec<Value> = answer.results.iter().map(|result| result_json(result, hex)).collect();
    json!({"succeeded": answer.succeeded, "results": results})
}

fn result_json(result: &TxnResult, hex: bool) -> Value {
    let kv = |kv: &Option<KeyValue>| kv.as_ref().map(|kv| text::key_value(kv, false, hex));
    match result {
        TxnResult::Put(previous) => json!({"put": {"previous": kv(previous)}}),
        TxnResult::Get(found) => json!({"get": {"kv": kv(found)}}),
        TxnResult::Delete(deleted) => {
            let previous = key_values(&deleted.previous, hex);
            json!({"delete": {"deleted": deleted.deleted, "previous": previous}})
        }
        TxnResult::Range(Page { kvs, more, count, .. }) => {
            json!({"range": {"kvs": key_values(kvs, hex), "more": more, "count": count}})
        }
        TxnResult::Txn(answer) => json!({"txn": json(answer, hex)}),
    }
}

fn key_values(kvs: &[KeyValue], hex: bool) -> Vec<Value> {
    kvs.iter().map(|kv| text::key_value(kv, false, hex)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::txn::grammar;
    use crate::types::Revision;

    fn kv(key: &'static str, value: &'static str) -> KeyValue {
        let revision = Revision(4);
        let (key, value) = (key.into(), value.into());
        KeyValue { key, value, create_revision: revision, mod_revision: revision, version: 1 }
    }

    #[test]
    fn the_branch_taken_is_shown_line_by_line() {
        let txn = grammar::parse("if exists(z) then get z else put a 1; get b; (range all())").unwrap();
        let page = Page { kvs: vec![kv("c", "3")], ..Page::default() };
        let inner = TxnAnswer { succeeded: true, results: vec![TxnResult::Range(page)] };
        let results = vec![TxnResult::Put(None), TxnResult::Get(Some(kv("b", "2"))), TxnResult::Txn(inner)];
        let answer = TxnAnswer { succeeded: false, results };
        let expected =
            ["put a: ok", "get b: 2  (revision 4)", "txn: succeeded", "  range: 1 keys", "    c\t3"];
        assert_eq!(lines(&txn, &answer, false), expected);
        assert_eq!(json(&answer, false)["results"][1]["get"]["kv"]["value"], "2");
    }
}
