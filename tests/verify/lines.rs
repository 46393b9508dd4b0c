//! Histories as files.

use super::generate::{Shape, right};
use fastrand::Rng;
use kontiki::verify::{Answer, Call, Completion, History, Malformed, Value, read, write};

fn text(history: &History) -> String {
    let mut out = Vec::new();
    write(history, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn why(text: &str) -> String {
    match read(text.as_bytes()) {
        Err(error @ Malformed::Line { .. }) => error.to_string(),
        other => panic!("{text}: {other:?}"),
    }
}

const INVOKE: &str = r#"{"process":3,"type":"invoke","f":"write","key":"x","value":1,"time_ns":10}"#;

#[test]
fn what_is_written_is_read_again() {
    for seed in 0..200 {
        let mut rng = Rng::with_seed(seed);
        let shape = Shape {
            processes: 4,
            operations: 40,
            keys: 3,
            values: 5,
            unknown: 4,
            lasts: 9,
            revisions: seed % 2 == 0,
        };
        let history = right(&mut rng, shape);
        let again = read(text(&history).as_bytes()).unwrap();
        let sorted = |history: &History| {
            let mut operations = history.operations().to_vec();
            operations.sort_by_key(|one| (one.invoked_ns, one.process));
            operations
        };
        assert_eq!(sorted(&again), sorted(&history), "seed {seed}");
    }
}

#[test]
fn a_line_looks_like_this() {
    let history = super::Story::new()
        .write(1, 7, (5, 9))
        .at(2)
        .cas(2, 7, 8, true, (10, 20))
        .read(1, None, (30, 40))
        .lost(2, 3, 30)
        .failed(4, 3, 50)
        .0;
    let expected = r#"{"process":1,"type":"invoke","f":"write","key":"x","value":7,"time_ns":5}
{"process":1,"type":"ok","f":"write","key":"x","value":7,"revision":2,"time_ns":9}
{"process":2,"type":"invoke","f":"cas","key":"x","value":[7,8],"time_ns":10}
{"process":2,"type":"ok","f":"cas","key":"x","value":[7,8],"swapped":true,"time_ns":20}
{"process":2,"type":"invoke","f":"write","key":"x","value":3,"time_ns":30}
{"process":2,"type":"info","f":"write","key":"x","value":3,"time_ns":30}
{"process":1,"type":"invoke","f":"read","key":"x","value":null,"time_ns":30}
{"process":1,"type":"ok","f":"read","key":"x","value":null,"time_ns":40}
{"process":4,"type":"invoke","f":"write","key":"x","value":3,"time_ns":50}
{"process":4,"type":"fail","f":"write","key":"x","value":3,"time_ns":50}
"#;
    assert_eq!(text(&history), expected);
}

#[test]
fn values_are_compared_as_json() {
    let lines = r#"
{"process":1,"type":"invoke","f":"write","key":"ä\n","value":{"b":[1,null],"a":"ü"},"time_ns":1}
{"process":1,"type":"ok","f":"write","key":"ä\n","time_ns":2,"note":"unknown fields"}

{"process":1,"type":"invoke","f":"read","key":"ä\n","time_ns":3}
{"process":1,"type":"ok","f":"read","key":"ä\n","value":{ "a":"\u00fc", "b":[1, null]},"time_ns":4}"#;
    let history = read(lines.as_bytes()).unwrap();
    let [written, seen] = history.operations() else { panic!("{history:?}") };
    assert_eq!(&*written.key, "ä\n");
    let Call::Write(value) = &written.call else { panic!("{written:?}") };
    assert!(matches!(&seen.outcome, Completion::Ok { answer: Answer::Read(read), .. } if read == value));
    assert_eq!(Value::from(serde_json::Value::Null), Value::ABSENT);
}

#[test]
fn what_has_no_second_line_is_unknown() {
    let history = read(INVOKE.as_bytes()).unwrap();
    assert_eq!(history.operations()[0].outcome, Completion::Unknown);
    assert_eq!(read(&b""[..]).unwrap().len(), 0);
}

#[test]
fn what_makes_no_sense_is_told_with_its_line() {
    let second = |line: &str| why(&format!("{INVOKE}\n{line}\n"));
    assert!(why("{").starts_with("line 1: not JSON: EOF while parsing"), "{}", why("{"));
    assert!(why("\n\n[1]").starts_with("line 3: invalid"), "{}", why("\n\n[1]"));
    assert!(why("\u{0}").starts_with("line 1: "));
    let line = |from: &str, to: &str| why(&INVOKE.replace(from, to));
    assert_eq!(line(r#""process":3,"#, ""), "line 1: missing field `process` at column 62");
    assert!(line("invoke", "started").starts_with("line 1: unknown variant `started`"));
    assert!(line("write", "append").starts_with("line 1: unknown variant `append`"));
    assert!(line(":10", ":-10").starts_with("line 1: invalid value: integer `-10`"));
    assert!(line(":10", ":1.5").starts_with("line 1: invalid type: floating point"));
    assert!(line(":3", r#":"three""#).starts_with("line 1: invalid type: string"));
    assert!(line(r#""x""#, "7").starts_with("line 1: invalid type: integer `7`"));
    assert!(line("}", r#","key":"y"}"#).starts_with("line 1: duplicate field `key`"));
    assert!(line("}", "} {}").starts_with("line 1: not JSON: trailing characters"));
    let last = line(":10", ":18446744073709551615");
    assert_eq!(last, "line 1: time_ns is 18446744073709551615, which is not a time");
    for number in ["18446744073709551616", "1e300", "[1,{\"a\":-9007199254740992.5}]"] {
        let value = format!(r#""value":{number}"#);
        let lossy = "line 1: the value has a number that would lose digits: write it as text";
        assert_eq!(line(r#""value":1"#, &value), lossy);
    }
    assert_eq!(line(r#""value":1,"#, ""), "line 1: a write has a value (null deletes)");
    assert_eq!(line("write", "read"), "line 1: the value of a read is in its ok line");
    assert_eq!(line("write", "cas"), "line 1: the value of a cas is [old,new]");
    assert_eq!(second(INVOKE), "line 2: process 3 has an operation open already");
    assert_eq!(why(&INVOKE.replace("invoke", "ok")), "line 1: process 3 has no operation open");
    let ok = INVOKE.replace("invoke", "ok");
    assert_eq!(second(&ok.replace(":10", ":9")), "line 2: time_ns of process 3 goes back from 10 to 9");
    assert_eq!(
        second(&ok.replace("\"x\"", "\"y\"")),
        r#"line 2: process 3 has a write of "x" open, not this one"#
    );
    assert_eq!(
        second(&ok.replace("\"value\":1", "\"value\":2")),
        "line 2: the value differs from that of the call"
    );
    assert_eq!(
        second(&ok.replace('}', r#","swapped":true}"#)),
        r#"line 2: "swapped" belongs on the ok line of a cas"#
    );
    let cas = INVOKE.replace("write", "cas").replace(":1,", ":[1,2],");
    assert_eq!(
        why(&format!("{cas}\n{}", cas.replace("invoke", "ok"))),
        r#"line 2: the ok line of a cas says "swapped": true or false"#
    );
    let read = INVOKE.replace("write", "read").replace(r#""value":1,"#, "");
    assert_eq!(
        why(&format!("{read}\n{}", read.replace("invoke", "ok"))),
        "line 2: the ok line of a read has a value (null: absent)"
    );
}

#[test]
fn bytes_that_are_no_text_are_an_error() {
    let error = read(&b"{\"process\":1,\"key\":\"\xff\"}\n"[..]).unwrap_err();
    assert!(error.to_string().starts_with("line 1: "), "{error}");
}

/// Whatever is in the file, reading it ends with a history or an error.
#[test]
fn random_damage_is_no_panic() {
    let mut rng = Rng::with_seed(7);
    let shape =
        Shape { processes: 3, operations: 20, keys: 2, values: 5, unknown: 4, lasts: 9, revisions: true };
    let whole = text(&right(&mut rng, shape)).into_bytes();
    let (mut good, mut bad) = (0, 0);
    for _ in 0..3_000 {
        let mut damaged = whole.clone();
        for _ in 0..rng.usize(1..3) {
            let place = rng.usize(0..damaged.len());
            damaged[place] = if rng.bool() { rng.u8(..) } else { damaged[rng.usize(0..damaged.len())] };
        }
        *if read(&damaged[..]).is_ok() { &mut good } else { &mut bad } += 1;
    }
    assert!(good > 20 && bad > 1_000, "{good} read, {bad} refused");
}
