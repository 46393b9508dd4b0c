//! `kontiki verify`: exit codes, words, files.

use super::{kontiki, kontiki_with_input};

const NOWHERE: &str = "http://127.0.0.1:1";

const RIGHT: &str = r#"{"process":1,"type":"invoke","f":"write","key":"x","value":1,"time_ns":1000}
{"process":1,"type":"ok","f":"write","key":"x","value":1,"time_ns":5000}
{"process":2,"type":"invoke","f":"read","key":"x","value":null,"time_ns":6000}
{"process":2,"type":"ok","f":"read","key":"x","value":1,"time_ns":7000}
{"process":3,"type":"invoke","f":"cas","key":"x","value":[1,2],"time_ns":6000}
"#;

fn wrong() -> String {
    RIGHT.replace(r#""value":1,"time_ns":7000"#, r#""value":null,"time_ns":7000"#)
}

#[tokio::test]
async fn a_right_history_is_zero() {
    let run = kontiki_with_input(NOWHERE, &["verify", "-"], RIGHT).await;
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    assert!(
        run.out.starts_with("Linearizable: 3 operations (1 of unknown outcome), keys: 1, processes: 3, ")
    );
}

#[tokio::test]
async fn a_wrong_history_is_one_and_names_the_window() {
    let run = kontiki_with_input(NOWHERE, &["verify", "-"], &wrong()).await;
    assert_eq!((run.code, run.err.as_str()), (1, ""));
    let (first, rest) = run.out.split_once('\n').unwrap();
    assert!(first.starts_with("NOT linearizable: 3 operations"), "{first}");
    let expected = "\
key \"x\" is not linearizable: process 2, read: absent (6 µs to 7 µs): the key cannot have been absent at any moment \
of that time, given process 1, write 1 (1 µs to 5 µs)
The shortest offending window:
   process 1, write 1 (1 µs to 5 µs)
 x process 2, read: absent (6 µs to 7 µs)
";
    assert_eq!(rest, expected);
}

#[tokio::test]
async fn as_json_too() {
    let run = kontiki_with_input(NOWHERE, &["-o", "json", "verify", "-"], &wrong()).await;
    let json = run.json();
    assert_eq!(run.code, 1);
    assert_eq!((&json["verdict"], &json["kind"]), (&"not_linearizable".into(), &"order".into()));
    assert_eq!((&json["key"], &json["culprit"]), (&"x".into(), &1.into()));
    assert_eq!((&json["from_ns"], &json["until_ns"]), (&1000.into(), &7000.into()));
    assert_eq!(json["window"].as_array().unwrap().len(), 2);
    let run = kontiki_with_input(NOWHERE, &["-o", "json", "verify", "-"], RIGHT).await;
    assert_eq!((run.code, &run.json()["verdict"]), (0, &"linearizable".into()));
}

#[tokio::test]
async fn revisions_that_lie_are_one_too() {
    let lines: String = [("x", 10, 7), ("y", 30, 7)]
        .map(|(key, time, revision)| {
            format!(
                "{{\"process\":1,\"type\":\"invoke\",\"f\":\"write\",\"key\":\"{key}\",\"value\":1,\"time_ns\":{time}}}\n\
                 {{\"process\":1,\"type\":\"ok\",\"f\":\"write\",\"key\":\"{key}\",\"revision\":{revision},\"time_ns\":{}}}\n",
                time + 10
            )
        })
        .concat();
    let run = kontiki_with_input(NOWHERE, &["verify", "-"], &lines).await;
    assert_eq!(run.code, 1);
    assert!(run.out.contains("breaks the promise of its revisions"), "{}", run.out);
    assert!(run.out.contains("two changes have the same revision"), "{}", run.out);
}

#[tokio::test]
async fn a_malformed_file_is_two_and_names_the_line() {
    let run = kontiki_with_input(NOWHERE, &["verify", "-"], &RIGHT.replace("\"time_ns\":6000", "")).await;
    assert_eq!((run.code, run.out.as_str()), (2, ""));
    assert!(run.err.starts_with("error: standard input, line 3: "), "{}", run.err);
    let run = kontiki_with_input(NOWHERE, &["verify", "-"], "\n").await;
    assert_eq!((run.code, run.out.as_str()), (2, ""), "an empty file is not a history");
    assert!(run.err.contains("standard input: there are no operations to check"), "{}", run.err);
    let run = kontiki_with_input(NOWHERE, &["verify", "-"], "# Kontiki\n").await;
    let text = "error: standard input, line 1: not JSON: expected value at column 1; kontiki verify --help";
    assert!(run.code == 2 && run.err.starts_with(text), "{}", run.err);
    let run = kontiki(NOWHERE, &["verify", "/nonexistent/history"]).await;
    assert_eq!(run.code, 2);
    assert!(run.err.starts_with("error: cannot read /nonexistent/history: "), "{}", run.err);
}

#[tokio::test]
async fn what_costs_too_much_is_four() {
    let mut lines = String::new();
    for process in 0..12 {
        let write = format!(r#""process":{process},"f":"write","key":"x","value":{}"#, process % 2);
        lines += &format!("{{{write},\"type\":\"invoke\",\"time_ns\":0}}\n");
    }
    for turn in 0..13 {
        let (from, until) = (10 + turn * 20, 20 + turn * 20);
        let read = r#""process":99,"f":"read","key":"x","value""#;
        lines += &format!("{{{read}:null,\"type\":\"invoke\",\"time_ns\":{from}}}\n");
        lines += &format!("{{{read}:{},\"type\":\"ok\",\"time_ns\":{until}}}\n", turn % 2);
    }
    let run = kontiki_with_input(NOWHERE, &["verify", "-", "--configurations", "1"], &lines).await;
    assert_eq!(run.code, 4, "{} {}", run.out, run.err);
    assert!(run.out.contains("gave up on key \"x\": 1 configurations are not enough"), "{}", run.out);
}

#[tokio::test]
async fn the_window_is_drawn() {
    let directory = tempfile::tempdir().unwrap();
    for (name, beginning) in [("why.svg", "<svg "), ("why.html", "<!doctype html>")] {
        let path = directory.path().join(name);
        let path = path.to_str().unwrap();
        let run = kontiki_with_input(NOWHERE, &["verify", "-", "--picture", path], &wrong()).await;
        assert_eq!(run.code, 1);
        let drawing = std::fs::read_to_string(path).unwrap();
        assert!(drawing.starts_with(beginning) && drawing.contains("read: absent"), "{drawing}");
    }
    let run = kontiki_with_input(NOWHERE, &["verify", "-", "--picture", "why.png"], RIGHT).await;
    assert_eq!(run.code, 2);
    assert!(run.err.contains("the name must end in .svg or .html"), "{}", run.err);
}

#[tokio::test]
async fn the_help_is_the_manual_of_the_format() {
    let run = kontiki(NOWHERE, &["verify", "--help"]).await;
    assert_eq!(run.code, 0);
    for word in ["invoke", "info", "fail", "[old,new]", "swapped", "time_ns", "revision", "undecided"] {
        assert!(run.out.contains(word), "{word}: {}", run.out);
    }
}
