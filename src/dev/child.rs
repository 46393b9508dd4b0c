//! One node as a child process: started, watched, stopped.

use crate::dev::layout::NodePlan;
use crate::dev::parent::EXIT_WITH_PARENT;
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

#[derive(Debug)]
pub struct Node {
    pub plan: NodePlan,
    /// Its process id, even after it has ended.
    pub pid: u32,
    /// `None` once its end has been seen. Its standard input is the pipe that tells it when this process ends.
    child: Option<Child>,
}

impl Node {
    /// Starts `program` with `flags`. Its output is appended to the log.
    ///
    /// # Errors
    /// If the log cannot be written or the program cannot be started.
    pub fn start(program: &Path, flags: &[OsString], plan: NodePlan) -> io::Result<Self> {
        let log = OpenOptions::new().create(true).append(true).open(&plan.log)?;
        let mut command = Command::new(program);
        // The flags set everything; variables that the user exported for other uses (KONTIKI_DATA_DIR, …)
        // must not leak in, except those for logging.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("KONTIKI_") && !text.starts_with("KONTIKI_LOG") {
                command.env_remove(&name);
            }
        }
        let child = command
            .args(flags)
            .env(EXIT_WITH_PARENT, "1")
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            // In its own process group: the terminal's Ctrl-C reaches only this process, which stops the
            // nodes in order.
            .process_group(0)
            .spawn()?;
        Ok(Self { plan, pid: child.id(), child: Some(child) })
    }

    /// Whether its end has not been seen yet.
    pub fn is_alive(&self) -> bool {
        self.child.is_some()
    }

    /// Its exit status, once, after it has ended.
    pub fn reap(&mut self) -> Option<ExitStatus> {
        let status = self.child.as_mut()?.try_wait().ok().flatten()?;
        self.child = None;
        Some(status)
    }

    /// Sends a signal, if it is still alive. The process id cannot belong to another process: the kernel does
    /// not reuse it before [`reap`](Self::reap).
    pub fn signal(&self, signal: Signal) {
        if self.child.is_none() {
            return;
        }
        if let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
            // The only possible error is that it has just ended.
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for Node {
    /// However the command ends, no node outlives it.
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// How a process ended, for people.
pub fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(0), _) => "stopped by itself (exit status 0)".to_owned(),
        (Some(code), _) => format!("ended with exit status {code}"),
        (None, Some(9)) => "was killed (signal 9, SIGKILL)".to_owned(),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => format!("ended: {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    /// A shell in place of a node.
    fn start(script: &str, dir: &Path) -> Node {
        let plan = NodePlan {
            name: "n1".into(),
            client_port: 1,
            peer_port: 2,
            data_dir: dir.join("n1"),
            log: dir.join("n1.log"),
        };
        Node::start(Path::new("/bin/sh"), &["-c".into(), script.into()], plan).unwrap()
    }

    fn wait_for_end(node: &mut Node) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(status) = node.reap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the process did not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn what_a_node_prints_is_in_its_log_and_its_status_is_told_once() {
        let tmp = tempfile::tempdir().unwrap();
        let mut node = start("echo out; echo err >&2; exit 3", tmp.path());
        let status = wait_for_end(&mut node);
        assert_eq!(ending(status), "ended with exit status 3");
        assert!(!node.is_alive() && node.reap().is_none());
        assert_eq!(std::fs::read_to_string(&node.plan.log).unwrap(), "out\nerr\n");
    }

    #[test]
    fn a_killed_node_is_said_to_be_killed() {
        let tmp = tempfile::tempdir().unwrap();
        let mut node = start("sleep 60", tmp.path());
        node.signal(Signal::KILL);
        assert_eq!(ending(wait_for_end(&mut node)), "was killed (signal 9, SIGKILL)");
    }

    #[test]
    fn the_pipe_closes_with_the_parent_and_a_node_is_told_to_watch_it() {
        let tmp = tempfile::tempdir().unwrap();
        // `read` fails at the end of the input, which comes when this process closes it.
        let mut node =
            start(r#"[ "$KONTIKI_EXIT_WITH_PARENT" = 1 ] || exit 4; read line || exit 5"#, tmp.path());
        drop(node.child.as_mut().and_then(|child| child.stdin.take()));
        assert_eq!(ending(wait_for_end(&mut node)), "ended with exit status 5");
    }

    #[test]
    fn dropping_a_node_ends_it() {
        let tmp = tempfile::tempdir().unwrap();
        let node = start("exec sleep 60", tmp.path());
        let pid = Pid::from_raw(node.pid.try_into().unwrap()).unwrap();
        drop(node);
        assert!(rustix::process::test_kill_process(pid).is_err(), "it is gone and reaped");
    }
}
