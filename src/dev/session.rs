//! One run of `kontiki dev`, from the first check to the last process.

use crate::dev::args::DevArgs;
use crate::dev::child::{Node, ending};
use crate::dev::directory::{Directory, DirectoryError};
use crate::dev::layout::{self, NodePlan};
use crate::dev::observe::{ByHand, Leader, Leadership, News, Picture, leader_of, observe};
use crate::dev::words::say;
use crate::dev::{logs, ports, words};
use rustix::process::Signal;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How long the first leader may take. A large resumed directory takes a while to load.
const LEADER_PATIENCE: Duration = Duration::from_secs(60);
/// Once there is a leader, how long the others may take to answer too, so that the table shows them all.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);
/// How often to say that there is still no leader.
const REMINDER: Duration = Duration::from_secs(5);
/// How long a node may take to stop gracefully.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// How much of a dead node's log to show.
const LOG_LINES: usize = 10;

#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// The event loop or the signal handlers could not be set up.
    #[error("the operating system refused what is needed to start: {0}")]
    Runtime(#[source] io::Error),
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error("{taken} {}", if *resumed {
        "Stop it: a cluster that is resumed keeps its ports."
    } else {
        "Stop it, or choose other ports with --base-port."
    })]
    Port { taken: ports::Taken, resumed: bool },
    /// A node could not be started.
    #[error("cannot start {name}: {source}")]
    Start { name: String, source: io::Error },
    /// Too few nodes lived long enough to elect a leader.
    #[error("the cluster did not come up: {alive} of {of} nodes are running, and a majority is needed")]
    NoMajority { alive: usize, of: usize },
    /// The nodes are running but elect no leader.
    #[error("no node became leader within {} s. Their last reports:\n{picture}", LEADER_PATIENCE.as_secs())]
    NoLeader {
        /// The table of the nodes, and the ends of their logs.
        picture: String,
    },
    /// All nodes ended by themselves, or were killed.
    #[error("no node is left")]
    NobodyLeft,
}

impl DevError {
    /// Whether other flags would help.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Directory(error) => error.is_usage(),
            Self::Port { .. } => true,
            _ => false,
        }
    }
}

/// Runs a cluster until a signal, or until no node is left.
///
/// # Errors
/// If it cannot be started or does not survive. All nodes are stopped then.
pub async fn run(args: DevArgs) -> Result<(), DevError> {
    // Before the first child is started, so that no exit goes unnoticed.
    let mut signals = Signals::listen().map_err(DevError::Runtime)?;
    let mut session = Session::start(args)?;
    let outcome = session.watch(&mut signals).await;
    session.stop(&mut signals).await;
    outcome
}

struct Session {
    // Dropped in this order: the processes end before their directory is removed.
    nodes: Vec<Node>,
    directory: Directory,
    /// How to start each node by hand.
    restart: Vec<String>,
    program: String,
    leadership: Leadership,
    by_hand: ByHand,
    /// Whether the table has been printed.
    up: bool,
    /// When a leader was first seen.
    first_leader: Option<Instant>,
}

impl Session {
    fn start(args: DevArgs) -> Result<Self, DevError> {
        let program: PathBuf = std::env::current_exe().map_err(DevError::Runtime)?;
        let directory = Directory::open(args.data_dir.as_deref(), args.nodes, args.base_port)?;
        let plans = layout::plan(&directory.marker, &directory.path);
        ports::check(plans.iter().flat_map(|plan| [plan.client_port, plan.peer_port]))
            .map_err(|taken| DevError::Port { taken, resumed: directory.resumed })?;
        say(words::opening(&directory));
        let called = words::call_name(&program);
        let mut session = Self {
            nodes: Vec::new(),
            restart: Vec::new(),
            program: called,
            leadership: Leadership::default(),
            by_hand: ByHand::default(),
            up: false,
            first_leader: None,
            directory,
        };
        for plan in &plans {
            let flags = layout::serve_flags(plan, &plans, &session.directory.marker.token, &args);
            session.restart.push(layout::shell_line(&session.program, &flags));
            let node = Node::start(&program, &flags, plan.clone())
                .map_err(|source| DevError::Start { name: plan.name.clone(), source })?;
            session.nodes.push(node);
        }
        Ok(session)
    }

    /// Reports what happens until it is time to stop.
    async fn watch(&mut self, signals: &mut Signals) -> Result<(), DevError> {
        let plans: Vec<NodePlan> = self.nodes.iter().map(|node| node.plan.clone()).collect();
        let (sender, mut pictures) = mpsc::channel(1);
        tokio::spawn(observe(plans, sender));
        let started = Instant::now();
        let mut remind = tokio::time::interval_at(started + REMINDER, REMINDER);
        let mut last: Picture = vec![None; self.nodes.len()];
        loop {
            tokio::select! {
                heard = signals.next() => match heard {
                    Heard::Stop => return Ok(()),
                    Heard::Child => self.bury_the_dead()?,
                },
                Some(picture) = pictures.recv() => {
                    self.look_at(&picture);
                    last = picture;
                }
                _ = remind.tick(), if !self.up => {
                    if started.elapsed() >= LEADER_PATIENCE {
                        return Err(DevError::NoLeader { picture: self.last_words(&last) });
                    }
                    say(format!("Still waiting for a leader; logs are in {}.", self.directory.path.display()));
                }
            }
        }
    }

    fn look_at(&mut self, picture: &Picture) {
        if !self.up {
            let Some(leader) = leader_of(picture) else { return };
            let since = *self.first_leader.get_or_insert_with(Instant::now);
            let silent = |(node, status): (&Node, &Option<_>)| node.is_alive() && status.is_none();
            if self.nodes.iter().zip(picture).any(silent) && since.elapsed() < ANSWER_PATIENCE {
                return;
            }
            self.up = true;
            self.leadership.update(picture);
            self.greet(picture, &leader);
            return;
        }
        let is_ours: Vec<bool> = self.nodes.iter().map(Node::is_alive).collect();
        for (place, came) in self.by_hand.update(&is_ours, picture) {
            let what = if came { "is back, started by hand" } else { "is gone again" };
            say(format!("{} {what}.", self.nodes[place].plan.name));
        }
        match self.leadership.update(picture) {
            Some(News::Leads(leader)) => {
                say(format!("{} leads now (term {}).", self.nodes[leader.place].plan.name, leader.term));
            }
            Some(News::Nobody) => say("No node leads at the moment: writes wait."),
            None => {}
        }
    }

    fn greet(&self, picture: &Picture, leader: &Leader) {
        say(format!("\n{}\n", words::table(&self.nodes, picture)));
        say(format!("{}\n", words::leads(&self.nodes, picture, leader)));
        say(format!("{}\n", words::what_next(&self.program, &self.nodes, leader)));
    }

    /// Reports each node that has ended.
    fn bury_the_dead(&mut self) -> Result<(), DevError> {
        let of = self.nodes.len();
        for place in 0..of {
            let Some(status) = self.nodes[place].reap() else {
                continue;
            };
            let alive = self.alive();
            let node = &self.nodes[place];
            let tail = tail_of(node);
            let restart = &self.restart[place];
            say(format!("\n{}\n", words::obituary(node, &ending(status), &tail, restart, alive, of)));
        }
        match self.alive() {
            0 if self.up => Err(DevError::NobodyLeft),
            alive if !self.up && alive <= of / 2 => Err(DevError::NoMajority { alive, of }),
            _ => Ok(()),
        }
    }

    fn last_words(&self, picture: &Picture) -> String {
        let mut text = words::table(&self.nodes, picture);
        for node in &self.nodes {
            text += &format!("\n{}:\n    {}", node.plan.log.display(), tail_of(node).join("\n    "));
        }
        text
    }

    /// How many of those that were started here run.
    fn ours(&self) -> usize {
        self.nodes.iter().filter(|node| node.is_alive()).count()
    }

    /// How many run, also by hand.
    fn alive(&self) -> usize {
        let runs = |(place, node): &(usize, &Node)| node.is_alive() || self.by_hand.has(*place);
        self.nodes.iter().enumerate().filter(runs).count()
    }

    /// A node that died may have been started again by hand, as this command suggests. Such a node is not
    /// ours to stop; but its data must not be removed while it runs.
    fn spare_what_was_started_by_hand(&mut self) {
        let is_served = |port: u16| {
            let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
            std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok()
        };
        let dead = self.nodes.iter().filter(|node| !node.is_alive());
        let by_hand: Vec<&str> =
            dead.filter(|node| is_served(node.plan.client_port)).map(|node| &*node.plan.name).collect();
        if by_hand.is_empty() {
            return;
        }
        say(format!(
            "\n{} was started by hand and goes on; the data stays in {}.",
            by_hand.join(", "),
            self.directory.path.display()
        ));
        self.directory.temporary = false;
    }

    async fn stop(&mut self, signals: &mut Signals) {
        self.spare_what_was_started_by_hand();
        if self.ours() == 0 {
            return;
        }
        say(format!("\nStopping {} (press Ctrl-C again to kill them at once).", plural(self.ours())));
        self.nodes.iter().for_each(|node| node.signal(Signal::TERM));
        let deadline = Instant::now() + STOP_PATIENCE;
        while self.ours() > 0 {
            tokio::select! {
                heard = signals.next() => match heard {
                    Heard::Stop => break,
                    Heard::Child => for node in &mut self.nodes {
                        node.reap();
                    },
                },
                () = tokio::time::sleep_until(deadline) => break,
            }
        }
        for node in self.nodes.iter().filter(|node| node.is_alive()) {
            say(format!("{} (pid {}) did not stop in time and is killed.", node.plan.name, node.pid));
        }
        // Dropping a node kills it if need be.
        self.nodes.clear();
        if self.directory.temporary {
            say("All stopped; the temporary directory is removed.");
        } else {
            say(format!(
                "All stopped. To resume: {} dev --data-dir {}",
                self.program,
                self.directory.path.display()
            ));
        }
    }
}

fn tail_of(node: &Node) -> Vec<String> {
    logs::tail(&node.plan.log, LOG_LINES).unwrap_or_else(|error| vec![format!("(cannot be read: {error})")])
}

fn plural(count: usize) -> String {
    if count == 1 { "1 node".to_owned() } else { format!("{count} nodes") }
}

struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    hangup: unix::Signal,
    child: unix::Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: unix::signal(SignalKind::interrupt())?,
            terminate: unix::signal(SignalKind::terminate())?,
            hangup: unix::signal(SignalKind::hangup())?,
            child: unix::signal(SignalKind::child())?,
        })
    }

    async fn next(&mut self) -> Heard {
        tokio::select! {
            _ = self.interrupt.recv() => Heard::Stop,
            _ = self.terminate.recv() => Heard::Stop,
            _ = self.hangup.recv() => Heard::Stop,
            _ = self.child.recv() => Heard::Child,
        }
    }
}

enum Heard {
    /// Ctrl-C, SIGTERM, or the terminal was closed.
    Stop,
    /// Some child has ended (or was paused).
    Child,
}
