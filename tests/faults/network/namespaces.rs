//! A network namespace per node, each with its own wire to a bridge, and packet
//! filters that drop what they are told to.
//!
//! A node has one address, [`Namespaces::address`]. Its peers know it by another
//! one, its *door*: an address on this side of the bridge, where the proxies that
//! lead to it listen, and from which connect those that it dialled. So each
//! namespace sees each peer at one address in both directions, and a rule on a
//! door is a rule on a pair of nodes. Nodes learn each other's own addresses from
//! the log; these are refused, or they would pass the proxies by.
//!
//! The tools are `ip` (iproute2), `nft` (nftables) and `nsenter` (util-linux).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};

/// Dropping it removes them.
pub struct Namespaces {
    /// Names of what belongs to this set begin so; interfaces have at most 15 letters.
    prefix: String,
    subnet: u8,
    rules: Vec<Rules>,
    dropped: u64,
}

/// What is dropped in one namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rules {
    /// By peer: packets from it, packets to it.
    peers: BTreeMap<usize, (bool, bool)>,
    /// Percent of all packets from and to peers.
    loss: u32,
}

/// How many sets this process has made so far.
static SETS: AtomicU8 = AtomicU8::new(0);

/// The last number of the tester's own address, from which it talks to nodes.
const TESTER: u8 = 254;

/// The last number of the first door.
const DOORS: u8 = 100;

impl Namespaces {
    /// One for each of `count` nodes. Fails with the reason where they cannot be
    /// made: without root, or without the tools.
    pub fn create(count: usize) -> Result<Self, String> {
        sweep();
        let process = std::process::id();
        let nth = SETS.fetch_add(1, Ordering::Relaxed) % 26;
        let namespaces = Self {
            prefix: format!("kt{process}{}", char::from(b'a' + nth)),
            subnet: u8::try_from((process + u32::from(nth)) % 250).unwrap_or_default(),
            rules: vec![Rules::default(); count],
            dropped: 0,
        };
        namespaces.build()?;
        Ok(namespaces)
    }

    /// The node's own address.
    pub fn address(&self, node: usize) -> IpAddr {
        self.numbered(u8::try_from(node + 1).unwrap_or_default())
    }

    /// Where the node's peers see it.
    pub fn door(&self, node: usize) -> IpAddr {
        self.numbered(DOORS + u8::try_from(node).unwrap_or_default())
    }

    /// Words to put before a program so that it runs in the node's namespace, as
    /// the very process that is started.
    pub fn prefix(&self, node: usize) -> Vec<String> {
        vec!["nsenter".into(), format!("--net=/run/netns/{}", self.name(node)), "--".into()]
    }

    /// Drops what `from` sends to `to`, on arrival.
    pub fn cut(&mut self, from: usize, to: usize) {
        self.rules[to].peers.entry(from).or_default().0 = true;
        self.enforce(to);
    }

    /// Drops this many percent of the packets between the node and its peers, each way.
    pub fn lose(&mut self, node: usize, percent: u32) {
        self.rules[node].loss = percent;
        self.enforce(node);
    }

    /// Drops nothing any more.
    pub fn heal(&mut self) {
        for node in 0..self.rules.len() {
            if self.rules[node] != Rules::default() {
                self.rules[node] = Rules::default();
                self.enforce(node);
            }
        }
    }

    /// How many packets were dropped until the last [`Self::heal`].
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn numbered(&self, last: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 213, self.subnet, last))
    }

    fn name(&self, node: usize) -> String {
        format!("{}n{}", self.prefix, node + 1)
    }

    fn bridge(&self) -> String {
        format!("{}b", self.prefix)
    }

    fn build(&self) -> Result<(), String> {
        let bridge = self.bridge();
        ip(&format!("link add {bridge} type bridge"))?;
        // The tester's comes first: connections without a wish start from it.
        ip(&format!("addr add {}/24 dev {bridge}", self.numbered(TESTER)))?;
        for node in 0..self.rules.len() {
            ip(&format!("addr add {}/24 dev {bridge}", self.door(node)))?;
        }
        ip(&format!("link set {bridge} up"))?;
        (0..self.rules.len()).try_for_each(|node| self.build_node(node))?;
        (0..self.rules.len()).try_for_each(|node| self.nft(node, &self.script(node)).map(drop))
    }

    fn build_node(&self, node: usize) -> Result<(), String> {
        let (name, wire, bridge) = (self.name(node), format!("{}v{node}", self.prefix), self.bridge());
        ip(&format!("netns add {name}"))?;
        ip(&format!("link add {wire} type veth peer name eth0 netns {name}"))?;
        ip(&format!("link set {wire} master {bridge} up"))?;
        ip(&format!("-n {name} link set lo up"))?;
        ip(&format!("-n {name} addr add {}/24 dev eth0", self.address(node)))?;
        ip(&format!("-n {name} link set eth0 up"))?;
        self.nft(node, "list ruleset\n").map(drop)
    }

    fn enforce(&mut self, node: usize) {
        // Whoever replaces rules takes their counters along.
        let listed = self.nft(node, "list ruleset\n").unwrap_or_else(|error| panic!("{error}"));
        self.dropped += counted(&listed);
        let script = self.script(node);
        self.nft(node, &script).unwrap_or_else(|error| panic!("{error}"));
    }

    /// The rules of one namespace, in nft's words.
    fn script(&self, node: usize) -> String {
        let mut inward = String::new();
        let mut outward = String::new();
        let rules = &self.rules[node];
        for peer in (0..self.rules.len()).filter(|peer| *peer != node) {
            let _ =
                writeln!(outward, "ip daddr {} reject with icmp type port-unreachable", self.address(peer));
        }
        for (peer, (from, to)) in &rules.peers {
            let door = self.door(*peer);
            if *from {
                let _ = writeln!(inward, "ip saddr {door} counter drop");
            }
            if *to {
                let _ = writeln!(outward, "ip daddr {door} counter drop");
            }
        }
        if rules.loss > 0 {
            for peer in (0..self.rules.len()).filter(|peer| *peer != node) {
                let (door, loss) = (self.door(peer), rules.loss);
                let _ = writeln!(inward, "ip saddr {door} numgen random mod 100 < {loss} counter drop");
                let _ = writeln!(outward, "ip daddr {door} numgen random mod 100 < {loss} counter drop");
            }
        }
        format!(
            "flush ruleset\ntable inet chaos {{\n\
             chain inward {{ type filter hook input priority 0;\n{inward}}}\n\
             chain outward {{ type filter hook output priority 0;\n{outward}}}\n}}\n"
        )
    }

    fn nft(&self, node: usize, script: &str) -> Result<String, String> {
        let words = [&self.prefix(node)[..], &["nft".into(), "-f".into(), "-".into()]].concat();
        run(&words, script)
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        remove(&self.prefix);
    }
}

/// Removes what processes left behind that have ended.
fn sweep() {
    let listed = ip("-o link show type bridge").unwrap_or_default();
    for line in listed.lines() {
        let name = line.split(": ").nth(1).unwrap_or_default();
        let Some(set) = name.strip_prefix("kt").and_then(|rest| rest.strip_suffix('b')) else { continue };
        let process = set.trim_end_matches(|letter: char| letter.is_ascii_lowercase());
        let is_ours = process.parse::<u32>().is_ok();
        if is_ours && !std::path::Path::new(&format!("/proc/{process}")).exists() {
            remove(&format!("kt{set}"));
        }
    }
}

/// Removes all that begins so. What is gone already does no harm.
fn remove(prefix: &str) {
    let _ = ip(&format!("link del {prefix}b"));
    let listed = ip("netns list").unwrap_or_default();
    for name in listed.lines().filter_map(|line| line.split_whitespace().next()) {
        if name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('n')) {
            // Its end of the wire goes with it, and so does the other end.
            let _ = ip(&format!("netns del {name}"));
        }
    }
}

/// The sum of nft's packet counters.
fn counted(ruleset: &str) -> u64 {
    let words: Vec<&str> = ruleset.split_whitespace().collect();
    words
        .windows(3)
        .filter(|three| three[..2] == ["counter", "packets"])
        .filter_map(|three| three[2].parse::<u64>().ok())
        .sum()
}

fn ip(arguments: &str) -> Result<String, String> {
    let words: Vec<String> = std::iter::once("ip").chain(arguments.split(' ')).map(str::to_owned).collect();
    run(&words, "")
}

fn run(words: &[String], input: &str) -> Result<String, String> {
    let failed = |why: &dyn std::fmt::Display| format!("`{}`: {why}", words.join(" "));
    let mut child = Command::new(&words[0])
        .args(&words[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(&error))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).map_err(|error| failed(&error))?;
    }
    let output = child.wait_with_output().map_err(|error| failed(&error))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(failed(&String::from_utf8_lossy(&output.stderr).trim()))
    }
}

#[tokio::test]
async fn what_is_cut_is_silent_in_one_direction_only() {
    let mut namespaces = match Namespaces::create(2) {
        Ok(namespaces) => namespaces,
        Err(why) => {
            assert!(std::env::var_os("KONTIKI_TEST_ALL").is_none(), "{why}");
            return;
        }
    };
    // Nobody listens there: a refusal is an answer, silence is none.
    assert!(is_refused(&namespaces).await);
    namespaces.cut(0, 1);
    assert!(!is_refused(&namespaces).await, "what comes from the first node's door is dropped");
    namespaces.heal();
    assert!(is_refused(&namespaces).await);
    assert!(namespaces.dropped() > 0);
    namespaces.cut(1, 0);
    assert!(is_refused(&namespaces).await, "that was about the other direction");
}

/// Whether the second node answers to what comes from the first one's door.
#[cfg(test)]
async fn is_refused(namespaces: &Namespaces) -> bool {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind((namespaces.door(0), 0).into()).unwrap();
    let connecting = socket.connect((namespaces.address(1), 9).into());
    match tokio::time::timeout(std::time::Duration::from_millis(300), connecting).await {
        Ok(outcome) => outcome.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused),
        Err(_) => false,
    }
}
