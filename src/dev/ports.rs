//! Whether the ports are free, and who has them if not.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, TcpListener};

/// A port that cannot be had.
#[derive(Debug)]
pub struct Taken {
    /// The port.
    pub port: u16,
    /// What the operating system says.
    pub error: io::Error,
    /// The process that listens there, if it can be found.
    pub holder: Option<Holder>,
}

/// A process that listens on a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// Its command line.
    pub command: String,
}

impl Holder {
    fn is_kontiki(&self) -> bool {
        let program = self.command.split(' ').next().unwrap_or_default();
        program.rsplit('/').next() == Some("kontiki")
    }
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "port {} on 127.0.0.1 cannot be used: {}.", self.port, self.error)?;
        match &self.holder {
            Some(holder) => {
                write!(f, " Process {} listens there: {}.", holder.pid, holder.command)?;
                if holder.is_kontiki() {
                    write!(f, " Is another `kontiki dev` running?")?;
                }
            }
            None if self.error.kind() == io::ErrorKind::AddrInUse => {
                write!(f, " Is another `kontiki dev` running?")?;
            }
            None => {}
        }
        write!(f, " Stop it, or choose other ports with --base-port.")
    }
}

/// Tries each port on 127.0.0.1.
///
/// # Errors
/// The first that cannot be bound.
pub fn check(ports: impl IntoIterator<Item = u16>) -> Result<(), Taken> {
    for port in ports {
        if let Err(error) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return Err(Taken { port, error, holder: holder_of(port) });
        }
    }
    Ok(())
}

/// Who listens on `port`, as `/proc` tells. It tells only of this user's own
/// processes, and nothing at all where there is no `/proc`.
fn holder_of(port: u16) -> Option<Holder> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .flat_map(|table| listeners(&table, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    if inodes.is_empty() {
        return None;
    }
    let processes = std::fs::read_dir("/proc").ok()?;
    for pid in processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
        let Ok(files) = std::fs::read_dir(format!("/proc/{pid}/fd")) else {
            continue;
        };
        let links = files.flatten().filter_map(|file| std::fs::read_link(file.path()).ok());
        if links.into_iter().any(|link| inodes.iter().any(|inode| link.as_os_str() == inode.as_str())) {
            return Some(Holder { pid, command: command_of(pid) });
        }
    }
    None
}

/// The sockets of `/proc/net/tcp` that listen on `port`. The columns: 1 the
/// local address, ending in `:PORT` in hexadecimal; 3 the state, `0A` for listening; 9 the inode.
fn listeners(table: &str, port: u16) -> Vec<u64> {
    let ending = format!(":{port:04X}");
    table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|columns| columns.len() > 9 && columns[1].ends_with(&ending) && columns[3] == "0A")
        .filter_map(|columns| columns[9].parse().ok())
        .collect()
}

fn command_of(pid: u32) -> String {
    let raw = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<_> = raw.split(|byte| *byte == 0).filter(|word| !word.is_empty()).collect();
    let line: String = String::from_utf8_lossy(&words.join(&b' ')).chars().take(80).collect();
    if line.is_empty() { "(name unknown)".to_owned() } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_port_passes_and_a_taken_one_is_named_with_its_holder() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let taken = check([port]).unwrap_err();
        assert_eq!(taken.port, port);
        if cfg!(target_os = "linux") {
            assert_eq!(taken.holder.as_ref().map(|holder| holder.pid), Some(std::process::id()));
        }
        assert!(taken.to_string().contains(&format!("port {port} on 127.0.0.1")), "{taken}");
        drop(listener);
        check([port]).unwrap();
    }

    #[test]
    fn another_kontiki_is_suspected_only_where_it_may_be() {
        let taken = |command: &str| Taken {
            port: 2379,
            error: io::ErrorKind::AddrInUse.into(),
            holder: Some(Holder { pid: 7, command: command.into() }),
        };
        assert!(taken("/usr/bin/kontiki serve --name n1").to_string().contains("another `kontiki dev`"));
        assert!(!taken("/usr/bin/etcd").to_string().contains("another `kontiki dev`"));
    }

    #[test]
    fn only_listeners_on_that_very_port_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt uid timeout inode\n\
             0: 0100007F:094B 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 111 1 0\n\
             1: 0100007F:094B 0100007F:9999 01 00000000:00000000 00:00000000 00000000 0 0 222 1 0\n\
             2: 0100007F:094C 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 333 1 0\n";
        assert_eq!(listeners(table, 2379), [111]);
    }
}
