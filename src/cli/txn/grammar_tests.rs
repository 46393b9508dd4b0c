//! Transactions in words, and the errors for text that is not one.

use super::*;

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn put(key: &'static str, value: &'static str) -> TxnOp {
    TxnOp::Put(Put::new(bytes(key), bytes(value)))
}

#[test]
fn a_lock_is_taken_or_read() {
    let txn = parse("if absent(lock) then put lock me else get lock").unwrap();
    let absent =
        Compare { keys: Keys::One(bytes("lock")), target: Target::Version(0), relation: Relation::Equal };
    assert_eq!(txn.compares, [absent]);
    assert_eq!(txn.success, [put("lock", "me")]);
    assert_eq!(txn.failure, [TxnOp::Get(Get::new("lock"))]);
}

#[test]
fn every_comparison_and_relation_is_read() {
    let txn =
        parse("if value(a)=1 and version(b)!=2 and created(c)>3 and modified(d)<4 and exists(e) then get a")
            .unwrap();
    let compare = |key, target, relation| Compare { keys: Keys::One(bytes(key)), target, relation };
    let expected = [
        compare("a", Target::Value(bytes("1")), Relation::Equal),
        compare("b", Target::Version(2), Relation::NotEqual),
        compare("c", Target::CreateRevision(Revision(3)), Relation::Greater),
        compare("d", Target::ModRevision(Revision(4)), Relation::Less),
        compare("e", Target::Version(0), Relation::Greater),
    ];
    assert_eq!(txn.compares, expected);
}

#[test]
fn every_way_to_name_keys_is_read() {
    let txn = parse("delete a; delete prefix(b/); delete span(c d); delete all(); range prefix(e) limit 7")
        .unwrap();
    let delete = |keys| TxnOp::Delete(Delete { keys, return_previous: false });
    let mut range = Range::new(Keys::Prefix(bytes("e")));
    range.limit = 7;
    let span = Keys::Span { start: Some(bytes("c")), end: Some(bytes("d")) };
    let expected = [
        delete(Keys::One(bytes("a"))),
        delete(Keys::Prefix(bytes("b/"))),
        delete(span),
        delete(Keys::All),
        TxnOp::Range(range),
    ];
    assert_eq!(txn.success, expected);
}

#[test]
fn words_of_the_language_may_be_keys() {
    assert_eq!(parse("put prefix all").unwrap().success, [put("prefix", "all")]);
    assert_eq!(parse("put \"else\" \"if\"").unwrap().success, [put("else", "if")]);
}

#[test]
fn quotes_hold_any_bytes() {
    let txn = parse(r#"put "a b" "\x00\xff\n\"\\ü""#).unwrap();
    let value = Bytes::from_static(b"\x00\xff\n\"\\\xc3\xbc");
    assert_eq!(txn.success, [TxnOp::Put(Put::new("a b", value))]);
}

#[test]
fn transactions_nest_and_semicolons_may_trail() {
    let txn = parse("put a 1; (if exists(b) then put c 2;);").unwrap();
    let TxnOp::Txn(inner) = &txn.success[1] else { panic!("{txn:?}") };
    assert_eq!(inner.success, [put("c", "2")]);
    assert_eq!(txn.success.len(), 2);
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    for (source, expected) in [
        ("", "the transaction does nothing"),
        ("if exists(a) then", "the transaction does nothing"),
        ("put a", "at character 6: expected a value, found the end"),
        ("put a 1 put b 2", "at character 9: expected `;`, `else` or the end, found `put`"),
        ("if value(a) then get a", "at character 13: expected =, !=, > or <, found `then`"),
        (
            "if size(a) = 1 then get a",
            "at character 4: expected value(, version(, created(, modified(, exists( or absent(, found `size`",
        ),
        ("if version(a) = x then get a", "at character 17: expected a whole number, found `x`"),
        ("if exists(a) get a", "at character 14: expected `and` or `then`, found `get`"),
        ("get a else get b", "at character 7: expected no `else`, since there is no `if`, found `else`"),
        ("delete every(a)", "at character 8: expected a key, prefix(, span( or all(, found `every`"),
        ("put a \"b", "at character 7: the quote is never closed"),
        (
            r#"put a "\q""#,
            "at character 8: a backslash must be followed by n, t, \", \\ or x with two hexadecimal digits",
        ),
        ("put a !", "at character 7: unexpected `!`; quote it"),
        ("get a)", "at character 6: expected `;` or the end, found `)`"),
    ] {
        assert_eq!(parse(source).unwrap_err(), expected, "{source}");
    }
}

#[test]
fn nesting_is_bounded() {
    let deep = format!("{}get a{}", "(".repeat(17), ")".repeat(17));
    assert_eq!(parse(&deep).unwrap_err(), "transactions are nested more than 16 deep");
}

proptest::proptest! {
    #[test]
    fn no_input_makes_the_parser_panic(source in ".{0,80}") {
        let _ = parse(&source);
    }

    /// What `scan` and `txn` show can be put between quotes.
    #[test]
    fn what_is_shown_is_read_back(bytes in proptest::collection::vec(proptest::num::u8::ANY, 1..20), text in "\\PC{0,20}") {
        for bytes in [&bytes[..], text.as_bytes(), b"{\"a\": \"\\n\"}"] {
            let shown = crate::cli::text::shown(bytes, false);
            let txn = parse(&format!("put k \"{shown}\"")).unwrap();
            match &txn.success[..] {
                [TxnOp::Put(put)] => assert_eq!(put.value, bytes),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn nor_does_any_order_of_its_words(
        words in proptest::collection::vec(
            proptest::sample::select(vec![
                "if", "and", "then", "else", "put", "get", "delete", "range", "limit", "value", "version",
                "prefix", "span", "all", "(", ")", ";", "=", "!=", "\"x\"", "k", "1",
            ]),
            0..20,
        )
    ) {
        let _ = parse(&words.join(" "));
    }
}
