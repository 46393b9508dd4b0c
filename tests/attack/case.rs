//! One attack: what it does, where, and what it may cost.

use super::arena::Arena;
use super::tally::Tally;
use futures_util::future::LocalBoxFuture;
use std::time::Duration;

/// A step of a case.
pub type Step<T> = for<'a> fn(&'a mut Arena) -> LocalBoxFuture<'a, T>;

pub struct Case {
    /// In words of the command line: `make attack CASE=name`.
    pub name: &'static str,
    /// The fault that it shows, or whose sibling it is.
    pub fault: &'static str,
    /// What is done, in a sentence without an end.
    pub what: &'static str,
    pub ground: Ground,
    /// Done before anything is measured.
    pub prepare: Step<()>,
    /// Answers what became of its requests. What it must not be answered it asserts itself.
    pub attack: Step<Tally>,
    pub limits: Limits,
    /// Whether it is one of the sample that CI takes.
    pub quick: bool,
    /// Why it is known to fail today. The limits are the right ones all the same.
    pub fails: Option<&'static str>,
}

/// The cluster of a case.
#[derive(Clone, Copy)]
pub struct Ground {
    pub flags: &'static [&'static str],
    /// Options of `ulimit` for each node; none if empty.
    pub ulimit: &'static str,
    /// Whether the nodes have a secret that the attacker does not know.
    pub secret: bool,
    /// What the data directories lie on.
    pub disks: Disks,
    /// Who is spared, if the attack stops the follower that it is for.
    pub innocents: Innocents,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Disks {
    /// A temporary directory of this machine.
    Usual,
    /// A disk of its own for each node, whose faults the case controls. Needs root.
    Faulty,
}

/// Where the innocent clients are, one at each node.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Innocents {
    Everywhere,
    /// Not at the follower that the attack is for.
    Elsewhere,
}

/// What a case may cost at most. All of it holds from the begin of the attack until everything is normal again.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The slowest put of an innocent client that was answered.
    pub slowest_put: Duration,
    /// Innocent puts that were refused and certainly not applied. None may ever be in doubt.
    pub refused: usize,
    /// Of the node that took most, in MiB.
    pub memory_mib: u64,
    pub descriptors: usize,
    pub threads: u64,
    /// New terms.
    pub elections: u64,
    /// Nodes that ended by themselves.
    pub ended: usize,
    /// After the attack, until everything is normal.
    pub recovery: Duration,
}

impl Limits {
    /// Of attacks that should hardly be felt.
    pub const USUAL: Self = Self {
        slowest_put: Duration::from_millis(250),
        refused: 0,
        memory_mib: 256,
        descriptors: 400,
        threads: 64,
        elections: 0,
        ended: 0,
        recovery: Duration::from_secs(2),
    };
}

impl Ground {
    pub const USUAL: Self =
        Self { flags: &[], ulimit: "", secret: false, disks: Disks::Usual, innocents: Innocents::Everywhere };
}

impl Case {
    /// What most cases have in common. The name, the fault, what is done and the attack are each case's own.
    pub const USUAL: Self = Self {
        name: "",
        fault: "",
        what: "",
        ground: Ground::USUAL,
        prepare: |_| Box::pin(async {}),
        attack: |_| Box::pin(async { Tally::default() }),
        limits: Limits::USUAL,
        quick: false,
        fails: None,
    };
}
