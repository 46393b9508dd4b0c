//! Every rule, with the message for breaking it.

use super::Sources;
use kontiki::config::ConfigError;

fn refusal(flags: &[&str]) -> String {
    Sources::flags(flags).load().unwrap_err().to_string()
}

/// The members hold it, and what they cannot hold must not get into the log.
#[test]
fn a_url_is_as_long_as_the_members_can_hold() {
    let url = |length: usize| format!("http://{}:1", "y".repeat(length - "http://:1".len()));
    assert!(Sources::flags(&["--advertise-client", &url(512)]).load().is_ok());
    let (long, member) = (url(513), format!("n1={}", url(513)));
    for flags in [["--advertise-client", &long], ["--advertise-peer", &long], ["--initial-cluster", &member]]
    {
        let message = refusal(&flags);
        assert!(message.contains("a URL of 513 bytes is too long; the limit is 512"), "{message}");
    }
}

#[test]
fn a_value_that_cannot_be_is_refused_with_its_key_and_origin() {
    for (flags, expected) in [
        (
            ["--name", "a b"],
            "name: `a b` is not a valid name; use 1 to 64 letters, digits, `-`, `_` and `.` (flag --name)",
        ),
        (["--data-dir", ""], "data-dir: must not be empty"),
        (["--cluster-token", ""], "cluster-token: must not be empty"),
        (["--listen-client", "2379"], "listen-client: `2379` has no port; write HOST:PORT"),
        (["--listen-peer", "h:x"], "listen-peer: `x` in `h:x` is not a port; write a number from 1 to 65535"),
        (
            ["--advertise-client", "n1:2379"],
            "advertise-client: `n1:2379` is not a URL; write http://HOST:PORT",
        ),
        (
            ["--advertise-peer", "https://n1:1"],
            "advertise-peer: `https://n1:1` asks for TLS, which kontiki does not have yet",
        ),
        (["--initial-cluster", "n1"], "initial-cluster: `n1` has no `=`; write n1=http://host:2380"),
        (["--initial-cluster", ","], "initial-cluster: names no node"),
        (["--initial-cluster", "n1=ftp://a:1"], "initial-cluster: `ftp://a:1` has the scheme `ftp`"),
        (["--timing", "moon"], "timing: `moon` is not a preset; choose lan, fast or wan"),
        (["--heartbeat-ms", "fifty"], "heartbeat-ms: `fifty` is not a whole number; write one from 1 up"),
        (["--heartbeat-ms", "0"], "heartbeat-ms: must be at least 1"),
        (
            ["--election-max-ms", "600001"],
            "election-max-ms: 600001 ms is longer than 10 minutes; is the unit right?",
        ),
        (
            ["--max-key-size", "8KB"],
            "max-key-size: `8KB` is not a size; write bytes or a number with KiB, MiB or GiB",
        ),
        (
            ["--max-page-size", "99999999999GiB"],
            "max-page-size: `99999999999GiB` is too large for this machine",
        ),
        (["--max-streams", "4294967296"], "max-streams: `4294967296` is too large"),
        (["--log-format", "xml"], "log-format: `xml` is not a log format; choose auto, plain or json"),
        (
            ["--log-level", "noisy"],
            "log-level: `noisy` is not a level; write off, error, warn, info, debug or trace",
        ),
        (["--log-level", "kontiki=debug,inof"], "log-level: `inof` is not a level"),
        (
            ["--listen-client", "http://127.0.0.1:6379"],
            "listen-client: `http://127.0.0.1:6379` is a URL; write HOST:PORT, here 127.0.0.1:6379",
        ),
        (["--cache-mib", "16"], "cache-mib: 16 is less than 17"),
        (["--log-level", "info,=,"], "log-level: `info,=,` is not a log filter"),
    ] {
        let error = refusal(&flags);
        assert!(error.starts_with(expected), "{flags:?}: {error}");
        assert!(error.ends_with(&format!("(flag {})", flags[0])), "{flags:?}: {error}");
    }
    let error = refusal(&["--unsafe-no-fsync=perhaps"]);
    assert_eq!(error, "unsafe-no-fsync: `perhaps` is neither true nor false (flag --unsafe-no-fsync)");
}

/// Text would have to be interpreted, and `"no"` must never switch durability off.
#[test]
fn a_switch_in_the_file_is_a_boolean() {
    for wrong in ["\"yes\"", "\"false\"", "1"] {
        let error =
            Sources::default().file(&format!("unsafe-no-fsync = {wrong}")).load().unwrap_err().to_string();
        assert!(error.starts_with("unsafe-no-fsync: must be true or false, without quotes"), "{error}");
    }
    assert!(!Sources::default().file("unsafe-no-fsync = true").load().unwrap().fsync);
    assert!(Sources::default().file("name = true").load().is_err());
}

#[test]
fn rules_between_settings_are_told_with_both_sides() {
    let two = "n1=http://127.0.0.1:2380,n2=http://127.0.0.2:2380";
    let apart = "n1=http://127.0.0.1:2380,n2=http://b:2380";
    for (flags, expected) in [
        (
            vec!["--name", "n3", "--initial-cluster", two],
            "name: `n3` is not in initial-cluster, which has n1, n2 (flag --name)",
        ),
        (
            vec!["--initial-cluster", two, "--advertise-peer", "http://c:2380"],
            "advertise-peer: is http://c:2380, but initial-cluster says that n1 is at http://127.0.0.1:2380 (flag --advertise-peer)",
        ),
        (
            vec!["--initial-cluster", "n1=http://127.0.0.1:1,n1=http://127.0.0.1:2"],
            "initial-cluster: names `n1` twice (flag --initial-cluster)",
        ),
        (
            vec!["--initial-cluster", "n1=http://127.0.0.1:1,n2=http://127.0.0.1:1"],
            "initial-cluster: has two nodes at http://127.0.0.1:1 (flag --initial-cluster)",
        ),
        (
            vec!["--listen-client", "0.0.0.0:2379"],
            "advertise-client: http://0.0.0.0:2379 is every machine's own address; set advertise-client to one that others can reach (from listen-client)",
        ),
        (
            vec!["--listen-peer", "127.0.0.1:2379"],
            "listen-peer: is 127.0.0.1:2379, as is listen-client; they need a port each (flag --listen-peer)",
        ),
        (
            vec!["--initial-cluster", apart],
            "cluster-secret-file: is required, since http://b:2380 is not a loopback address: give all nodes the same file, made by `openssl rand -hex 32` (default)",
        ),
        (
            vec![
                "--initial-cluster",
                two,
                "--listen-peer",
                "0.0.0.0:2380",
                "--advertise-peer",
                "http://127.0.0.1:2380",
            ],
            "cluster-secret-file: is required, since 0.0.0.0:2380 is not a loopback address: give all nodes the same file, made by `openssl rand -hex 32` (default)",
        ),
        (
            vec!["--create-cluster-secret"],
            "create-cluster-secret: needs cluster-secret-file, the file to make (flag --create-cluster-secret)",
        ),
        (vec!["--tick-ms", "51"], "tick-ms: 51 ms is longer than the heartbeat of 50 ms (flag --tick-ms)"),
        (
            vec!["--heartbeat-ms", "151"],
            "election-min-ms: 300 ms is less than two heartbeats of 151 ms: one lost message would start an election (from timing lan)",
        ),
        (
            vec!["--election-max-ms", "300"],
            "election-max-ms: 300 ms must be more than election-min-ms, 300 ms: nodes that wait equally long split the vote (flag --election-max-ms)",
        ),
        (
            vec!["--max-key-size", "16KiB", "--max-request-size", "16KiB"],
            "max-key-size: 16384 B must be less than max-request-size, 16384 B (flag --max-key-size)",
        ),
        (
            vec!["--max-scan-chunk-size", "2MiB", "--max-page-size", "1MiB"],
            "max-scan-chunk-size: 2097152 B must not be more than max-page-size, 1048576 B (flag --max-scan-chunk-size)",
        ),
        (
            vec!["--max-txn-ops", "2049"],
            "max-txn-ops: 2049 is more than 2048: the thread that decodes them serves everybody (flag --max-txn-ops)",
        ),
        (vec!["--worker-threads", "257"], "worker-threads: 257 is more than 256 (flag --worker-threads)"),
    ] {
        assert_eq!(refusal(&flags), expected);
    }
}

#[test]
fn limits_have_limits_that_say_why() {
    for (flags, expected) in [
        (
            ["--max-key-size", "65537"],
            "max-key-size: 65537 B is more than 65536 B: every node searches its index by whole keys",
        ),
        (
            ["--max-request-size", "20MiB"],
            "max-request-size: 20971520 B is more than 4194304 B: it is one entry of the log, which is written and applied as a whole",
        ),
        (
            ["--max-page-size", "65MiB"],
            "max-page-size: 68157440 B is more than 67108864 B: a page is built in memory; a scan streams",
        ),
        (
            ["--max-scan-chunk-size", "4194305"],
            "max-scan-chunk-size: 4194305 B is more than 4194304 B: each open scan holds a chunk in memory",
        ),
        (
            ["--max-request-memory", "1MiB"],
            "max-request-memory: 1048576 B is less than twice max-request-size, 1572864 B",
        ),
        (
            ["--max-answer-memory", "4MiB"],
            "max-answer-memory: 4194304 B is less than twice max-page-size, 4194304 B",
        ),
    ] {
        let error = refusal(&flags);
        assert!(error.starts_with(expected), "{flags:?}: {error}");
    }
    let largest = ["--max-key-size", "64KiB", "--max-request-size", "4MiB", "--max-page-size", "64MiB"];
    assert!(Sources::flags(&largest).load().is_ok());
    assert!(Sources::flags(&["--max-scan-chunk-size", "4MiB"]).load().is_ok());
}

#[test]
fn more_voters_than_help_are_refused() {
    let list: Vec<String> = (1..=16).map(|n| format!("n{n}=http://127.0.0.{n}:1")).collect();
    let error = refusal(&["--initial-cluster", &list.join(",")]);
    assert_eq!(error, "initial-cluster: has 16 nodes; at most 15 may vote (flag --initial-cluster)");
}

#[test]
fn all_problems_are_told_at_once() {
    let error = refusal(&["--name", "", "--timing", "moon", "--cache-mib", "x"]);
    let keys: Vec<&str> = error.lines().filter_map(|line| line.split(':').next()).collect();
    assert_eq!(keys, ["name", "timing", "cache-mib"]);
}

#[test]
fn the_file_names_its_line_and_key() {
    let sources = Sources::default().file("name = \"n1\"\nlisten-cleint = \"x\"\ntiming = [1]\n");
    let path = sources.path().display().to_string();
    let expected = format!(
        "listen-cleint: there is no such setting; did you mean `listen-client`? ({path} line 2)\n\
         timing: must be text in quotes, or a whole number ({path} line 3)"
    );
    assert_eq!(sources.load().unwrap_err().to_string(), expected);
    let sources = Sources::default().file("\n\nheartbeat-ms = \"soon\"");
    let error = sources.load().unwrap_err().to_string();
    assert!(error.ends_with("kontiki.toml line 3)"), "{error}");
    let sources = Sources::default().file("telescope = 1");
    let error = sources.load().unwrap_err().to_string();
    assert!(error.contains("`kontiki serve --help` lists them"), "{error}");
}

#[test]
fn a_file_that_is_no_toml_or_not_there_is_told() {
    let error = Sources::default().file("name = \nx").load().unwrap_err();
    assert!(matches!(error, ConfigError::Syntax { .. }));
    let words = error.to_string();
    assert!(words.contains("kontiki.toml: ") && words.contains("line 2"), "{words}");
    for (line, quoted) in [
        ("name = n1", "name = \"n1\""),
        ("listen-client = 0.0.0.0:2379  # all", "listen-client = \"0.0.0.0:2379\""),
        ("max-key-size = 8KiB", "max-key-size = \"8KiB\""),
    ] {
        let words =
            Sources::default().file(&format!("cache-mib = 64\n{line}\n")).load().unwrap_err().to_string();
        assert!(words.ends_with(&format!("\ntext must be in quotes: {quoted}")), "{words}");
    }
    let words = Sources::default().file("name = \"a\nb\"").load().unwrap_err().to_string();
    assert!(!words.contains("in quotes"), "{words}");
    let error = Sources::flags(&["--config", "/nowhere/kontiki.toml"]).load().unwrap_err();
    assert!(error.to_string().starts_with("cannot read the configuration file /nowhere/kontiki.toml: "));
}
