//! The settings there are. The flags, the file's keys and the environment
//! variables are all read from this table, so that they cannot differ.

pub(super) struct Setting {
    pub key: &'static str,
    /// The placeholder for its value in the help.
    pub value: &'static str,
    /// Its default value; empty if it derives from another setting.
    pub default: &'static str,
    pub help: &'static str,
}

impl Setting {
    pub(super) fn variable(&self) -> String {
        format!("KONTIKI_{}", self.key.to_uppercase().replace('-', "_"))
    }

    /// Whether it is a switch: the flag without a value means `true`.
    pub(super) fn is_switch(&self) -> bool {
        self.value == "BOOL"
    }
}

const fn setting(
    key: &'static str,
    value: &'static str,
    default: &'static str,
    help: &'static str,
) -> Setting {
    Setting { key, value, default, help }
}

/// The environment variable that stands in for `--config`.
pub(super) const CONFIG_VARIABLE: &str = "KONTIKI_CONFIG";

/// All settings of `serve`, in the order in which they are shown.
pub(super) const SETTINGS: &[Setting] = &[
    setting("name", "NAME", "n1", "The node's name, one of those in --initial-cluster"),
    setting("data-dir", "DIR", "", "Where the node keeps its data [default: kontiki-data/NAME]"),
    setting("listen-client", "HOST:PORT", "127.0.0.1:2379", "Where to listen for clients"),
    setting("advertise-client", "URL", "", "How clients reach this node [default: http://LISTEN-CLIENT]"),
    setting("listen-peer", "HOST:PORT", "127.0.0.1:2380", "Where to listen for the other nodes"),
    setting(
        "advertise-peer",
        "URL",
        "",
        "How the other nodes reach this one [default: as in --initial-cluster, else http://LISTEN-PEER]",
    ),
    setting(
        "initial-cluster",
        "LIST",
        "",
        "The nodes that found a new cluster; later only where to look for them: n1=http://host:2380,n2=… [default: this node alone]",
    ),
    setting("cluster-token", "TEXT", "kontiki", "Distinguishes clusters whose nodes have the same names"),
    setting(
        "cluster-secret-file",
        "FILE",
        "none",
        "A secret that all nodes share, proven on each connection between them; required unless all are on this machine",
    ),
    setting(
        "create-cluster-secret",
        "BOOL",
        "false",
        "Make that file if it is not there: for nodes that share its folder",
    ),
    setting(
        "timing",
        "PRESET",
        "lan",
        "How fast the cluster reacts: lan, fast or wan; the same on all nodes",
    ),
    setting("tick-ms", "MS", "", "The unit of consensus time [default: by --timing]"),
    setting("heartbeat-ms", "MS", "", "How often a leader shows that it is alive [default: by --timing]"),
    setting("election-min-ms", "MS", "", "The shortest election timeout [default: by --timing]"),
    setting("election-max-ms", "MS", "", "The longest election timeout [default: by --timing]"),
    setting("max-key-size", "SIZE", "8KiB", "The longest key; at most 64KiB"),
    setting("max-request-size", "SIZE", "1536KiB", "The largest request; at most 4MiB"),
    setting("max-txn-ops", "N", "128", "The most operations in a transaction"),
    setting("max-page-keys", "N", "10000", "The most keys in a page of a range"),
    setting("max-page-size", "SIZE", "4MiB", "About the largest page of a range; at most 64MiB"),
    setting("max-scan-chunk-size", "SIZE", "256KiB", "About the largest chunk of a scan; at most 4MiB"),
    setting(
        "max-connections",
        "N",
        "4096",
        "The most connections of clients, as far as the limit of open files allows; at most 1000000",
    ),
    setting(
        "max-connections-per-address",
        "N",
        "2048",
        "The most of them from one address, or one /64 network of IPv6",
    ),
    setting("max-streams", "N", "1024", "The most streams on one connection"),
    setting("max-requests", "N", "16384", "The most requests in progress; more are refused at once"),
    setting(
        "max-request-memory",
        "SIZE",
        "128MiB",
        "The most bytes of requests that arrive or are in progress; at least two of the largest",
    ),
    setting(
        "max-answer-memory",
        "SIZE",
        "128MiB",
        "About the most bytes of answers that clients have not read yet; at least two of the largest pages",
    ),
    setting(
        "default-deadline-ms",
        "MS",
        "10000",
        "How long a request without a deadline may take, and any may take to arrive",
    ),
    setting("snapshot-rate", "SIZE", "64MiB", "The most bytes of a snapshot to send per second"),
    setting(
        "log-retain-entries",
        "N",
        "50000",
        "How many log entries to keep for followers that lag, although the state covers them; a leader keeps three times that while one does",
    ),
    setting(
        "log-retain-size",
        "SIZE",
        "32MiB",
        "About the most bytes of these entries; a leader keeps three times that while a follower lags",
    ),
    setting(
        "disk-reserve",
        "SIZE",
        "64MiB",
        "Only deletes and compactions are accepted while the disk has less room than this",
    ),
    setting("worker-threads", "N", "1", "The threads of the network runtime"),
    setting(
        "cache-mib",
        "MIB",
        "64",
        "Memory for caches, at least 17: 16 MiB of whole records, the rest for the engine's pages",
    ),
    setting(
        "log-level",
        "FILTER",
        "info",
        "What to log: a level, or directives as in info,kontiki::raft=debug",
    ),
    setting("log-format", "FORMAT", "auto", "How to log: plain, json, or auto (plain on a terminal)"),
    setting(
        "unsafe-no-fsync",
        "BOOL",
        "false",
        "Acknowledge writes that are not on stable storage: a power cut loses data. For tests only",
    ),
];

/// The headings in the help of `serve`, each with the setting that it stands above.
pub(super) const HEADINGS: [(&str, &str); 8] = [
    ("name", "This node"),
    ("initial-cluster", "The cluster, the same on all nodes"),
    ("timing", "Timing, the same on all nodes"),
    ("max-key-size", "Limits of requests"),
    ("max-connections", "Limits of connections and of what is in progress"),
    ("snapshot-rate", "Resources"),
    ("log-level", "Logs"),
    ("unsafe-no-fsync", "For tests"),
];

pub(super) fn find(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}
