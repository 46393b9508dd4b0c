//! One server process: started, killed, stopped for a while, watched.

use crate::faults::process::clock::Clock;
use crate::faults::process::signal;
use kontiki::client::{Client, Options, Role};
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long a node may take to end in order.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long it may take to say whether it leads.
const STATUS_TIMEOUT: Duration = Duration::from_millis(700);

/// A member, running or not.
pub struct Node {
    pub name: String,
    pub client_url: String,
    pub log: PathBuf,
    /// The whole command line.
    pub words: Vec<String>,
    pub clock: Option<Clock>,
    client: Client,
    child: Option<Child>,
    paused: bool,
}

/// A node ended although nobody had asked it to.
pub struct Exit {
    pub node: String,
    pub status: ExitStatus,
    pub last_words: String,
}

impl Node {
    pub fn new(
        name: String,
        client_url: String,
        log: PathBuf,
        words: Vec<String>,
        clock: Option<Clock>,
    ) -> Self {
        let options = Options { timeout: STATUS_TIMEOUT, connect_timeout: STATUS_TIMEOUT, attempts: 1 };
        let client = Client::connect(&[&client_url], options).unwrap();
        Self { name, client_url, log, words, clock, client, child: None, paused: false }
    }

    pub fn start(&mut self) {
        assert!(self.child.is_none(), "{} runs already", self.name);
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("KONTIKI_")) {
            command.env_remove(name);
        }
        if let Some(clock) = &self.clock {
            clock.wear(&mut command);
        }
        self.child = Some(command.spawn().unwrap());
        self.paused = false;
    }

    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// Whether it runs and is not stopped.
    pub fn is_awake(&self) -> bool {
        self.is_running() && !self.paused
    }

    /// kill -9. False if there was nothing to kill.
    pub fn kill(&mut self) -> bool {
        let Some(mut child) = self.child.take() else { return false };
        child.kill().unwrap();
        child.wait().unwrap();
        true
    }

    /// SIGSTOP. False if there was nothing to stop.
    pub fn pause(&mut self) -> bool {
        let Some(child) = self.child.as_ref().filter(|_| !self.paused) else { return false };
        signal::pause(child.id());
        self.paused = true;
        true
    }

    /// SIGCONT.
    pub fn resume(&mut self) {
        if let Some(child) = self.child.as_ref().filter(|_| self.paused) {
            signal::resume(child.id());
        }
        self.paused = false;
    }

    /// Asks it to end in order and waits for that. `None`: it did not, and was killed.
    pub async fn terminate(&mut self) -> Option<ExitStatus> {
        self.resume();
        signal::terminate(self.child.as_ref()?.id());
        let asked = Instant::now();
        while asked.elapsed() < PATIENCE {
            if let Some(status) = self.child.as_mut()?.try_wait().unwrap() {
                self.child = None;
                return Some(status);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.kill();
        None
    }

    /// Whether it has ended by itself.
    pub fn exited(&mut self) -> Option<Exit> {
        let status = self.child.as_mut()?.try_wait().unwrap()?;
        self.child = None;
        Some(Exit { node: self.name.clone(), status, last_words: self.log_tail(12) })
    }

    /// Whether it says that it leads, and in which term.
    pub async fn leads(&self) -> Option<u64> {
        if !self.is_awake() {
            return None;
        }
        let status = self.client.local_status().await.ok()?.value;
        status.nodes.into_iter().find(|node| node.role == Role::Leader).map(|node| node.term)
    }

    pub fn log_text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn log_tail(&self, lines: usize) -> String {
        let text = self.log_text();
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}
