//! The names, ports, directories and flags of all nodes.

use crate::dev::args::DevArgs;
use crate::dev::directory::Marker;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// One node of the cluster to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodePlan {
    /// `n1`, `n2`, …
    pub name: String,
    pub client_port: u16,
    /// Where it listens for the other nodes.
    pub peer_port: u16,
    pub data_dir: PathBuf,
    /// The file that gets its standard output and error.
    pub log: PathBuf,
}

impl NodePlan {
    /// The address for clients, as a URL.
    pub fn client_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.client_port)
    }

    /// The address for the other nodes, as a URL.
    pub fn peer_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.peer_port)
    }
}

/// The nodes that the marker describes, in the directory that holds it.
pub fn plan(marker: &Marker, dir: &Path) -> Vec<NodePlan> {
    (0..marker.nodes)
        .map(|n| {
            let name = format!("n{}", n + 1);
            NodePlan {
                client_port: marker.base_port + 2 * n,
                peer_port: marker.base_port + 2 * n + 1,
                data_dir: dir.join(&name),
                log: dir.join(format!("{name}.log")),
                name,
            }
        })
        .collect()
}

/// The arguments that start `node`.
pub fn serve_flags(node: &NodePlan, all: &[NodePlan], token: &str, args: &DevArgs) -> Vec<OsString> {
    let cluster: Vec<String> = all.iter().map(|n| format!("{}={}", n.name, n.peer_url())).collect();
    let mut flags: Vec<OsString> = vec!["serve".into()];
    let mut flag = |name: &str, value: OsString| flags.extend([name.into(), value]);
    flag("--name", node.name.clone().into());
    flag("--data-dir", node.data_dir.clone().into());
    flag("--listen-client", format!("127.0.0.1:{}", node.client_port).into());
    flag("--advertise-client", node.client_url().into());
    flag("--listen-peer", format!("127.0.0.1:{}", node.peer_port).into());
    flag("--advertise-peer", node.peer_url().into());
    flag("--initial-cluster", cluster.join(",").into());
    flag("--cluster-token", token.into());
    if let Some(timing) = &args.timing {
        flag("--timing", timing.into());
    }
    if args.unsafe_no_fsync {
        flags.push("--unsafe-no-fsync".into());
    }
    flags
}

/// A command line that a shell splits into exactly these words.
pub fn shell_line(program: &str, flags: &[OsString]) -> String {
    std::iter::once(program.into())
        .chain(flags.iter().map(|flag| flag.to_string_lossy()))
        .map(|word| quoted(&word))
        .collect::<Vec<_>>()
        .join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Vec<NodePlan> {
        plan(&Marker { format: 1, nodes: 3, base_port: 2379, token: "t".into() }, Path::new("/d"))
    }

    #[test]
    fn clients_and_peers_alternate_from_the_base_port() {
        let ports: Vec<_> = three().iter().map(|n| (n.name.clone(), n.client_port, n.peer_port)).collect();
        assert_eq!(ports, [("n1".into(), 2379, 2380), ("n2".into(), 2381, 2382), ("n3".into(), 2383, 2384)]);
    }

    #[test]
    fn a_node_gets_its_own_addresses_and_those_of_all_peers() {
        let nodes = three();
        let args = DevArgs { timing: Some("fast".into()), unsafe_no_fsync: true, ..DevArgs::default() };
        let line = shell_line("kontiki", &serve_flags(&nodes[1], &nodes, "dev-1", &args));
        assert_eq!(
            line,
            "kontiki serve --name n2 --data-dir /d/n2 --listen-client 127.0.0.1:2381 \
             --advertise-client http://127.0.0.1:2381 --listen-peer 127.0.0.1:2382 \
             --advertise-peer http://127.0.0.1:2382 --initial-cluster \
             n1=http://127.0.0.1:2380,n2=http://127.0.0.1:2382,n3=http://127.0.0.1:2384 \
             --cluster-token dev-1 --timing fast --unsafe-no-fsync"
        );
    }

    #[test]
    fn words_with_blanks_and_quotes_survive_the_shell() {
        assert_eq!(shell_line("a b", &["it's".into(), "".into()]), r"'a b' 'it'\''s' ''");
    }
}
