//! Whether the ports are free, and who uses them if not.

use procfs::net::TcpState;
use procfs::process::{FDTarget, Process};
use std::collections::HashSet;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, TcpListener};

/// A port that cannot be bound.
#[derive(Debug)]
pub struct Taken {
    pub port: u16,
    pub error: io::Error,
    /// The process that listens there, if it can be found.
    pub holder: Option<Holder>,
}

/// A process that listens on a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub pid: u32,
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
        Ok(())
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

/// Who listens on `port`, if it is a process of this user.
fn holder_of(port: u16) -> Option<Holder> {
    let tables = [procfs::net::tcp(), procfs::net::tcp6()];
    let sockets: HashSet<u64> = tables
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.state == TcpState::Listen && entry.local_address.port() == port)
        .map(|entry| entry.inode)
        .collect();
    if sockets.is_empty() {
        return None;
    }
    let holds = |process: &Process| {
        process.fd().is_ok_and(|files| {
            files
                .flatten()
                .any(|file| matches!(file.target, FDTarget::Socket(inode) if sockets.contains(&inode)))
        })
    };
    let process = procfs::process::all_processes().ok()?.flatten().find(holds)?;
    Some(Holder { pid: process.pid.cast_unsigned(), command: command_of(&process) })
}

fn command_of(process: &Process) -> String {
    let words = process.cmdline().unwrap_or_default();
    match words.join(" ") {
        line if line.is_empty() => "(name unknown)".to_owned(),
        line => shortened(&line),
    }
}

/// At most 80 characters; an ellipsis shows where it was cut.
fn shortened(line: &str) -> String {
    match line.char_indices().nth(80) {
        None => line.to_owned(),
        Some(_) => line.chars().take(79).chain(['…']).collect(),
    }
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
        assert_eq!(taken.holder.as_ref().map(|holder| holder.pid), Some(std::process::id()));
        assert!(taken.to_string().contains(&format!("port {port} on 127.0.0.1")), "{taken}");
        drop(listener);
        check([port]).unwrap();
    }

    #[test]
    fn a_long_command_line_shows_that_it_was_cut() {
        assert_eq!(shortened(&"a".repeat(80)), "a".repeat(80));
        assert_eq!(shortened(&"a".repeat(81)), "a".repeat(79) + "…");
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
}
