//! Delivery of snapshots: a stream of small chunks on a separate connection, encoded while it is read and
//! decoded while it arrives. Chunks get lost or repeated; streams break, stall, or run concurrently.

use crate::sim::clock::{Time, millis};
use crate::sim::network::End;
use crate::sim::report::count;
use crate::sim::server::{CLUSTER, Installing, Server};
use crate::sim::swarm::Fault;
use crate::sim::world::{Event, World};
use bytes::Bytes;
use kontiki::raft::{RoleName, SnapshotMeta};
use kontiki::replica::{Snapshot, SnapshotError};
use kontiki::storage::SnapshotHeader;
use kontiki::storage::snapshot::encode;
use kontiki::types::{Index, NodeId, Term};
use std::collections::VecDeque;
use std::fmt;
use std::task::{Context, Poll, Waker};

/// Where a hash begins (FNV-1a).
const FNV: u64 = 0xcbf2_9ce4_8422_2325;

fn mix(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A failed snapshot is not tried again at once.
const PAUSE_AFTER_FAILURE: Time = millis(1000);
/// How often a chunk is lost or repeated.
const CHUNK_FAULTS: f64 = 0.01;
/// A stream that stalls for this long is given up.
const IDLE: Time = millis(3000);

/// One stream.
pub struct Transfer {
    from: NodeId,
    from_life: u64,
    to: NodeId,
    /// The life of the receiver that took the beginning.
    to_life: Option<u64>,
    term: Term,
    meta: SnapshotMeta,
    pieces: Box<dyn Iterator<Item = Result<Bytes, SnapshotError>> + Send>,
    /// What is left of the piece that is being cut up.
    rest: VecDeque<Bytes>,
    /// A hash of all that was sent…
    sent: u64,
    /// …and of all that came: in a value of equal bytes one chunk can stand in for another.
    came: u64,
    /// Nobody waits for its end.
    stray: bool,
    /// Between two chunks, on average.
    pace: Time,
}

impl fmt::Debug for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transfer").field("from", &self.from).field("to", &self.to).finish_non_exhaustive()
    }
}

impl World {
    pub fn begin_transfer(&mut self, from: NodeId, to: NodeId, term: Term, snapshot: Snapshot) {
        let from_life = self.servers[&from].life;
        self.note(from, "snapshot", &[to.0, snapshot.meta.last.index.0], || {
            format!("begins to send {} to n{to}", snapshot.meta.last)
        });
        count(&mut self.summary.events, "snapshots begun", 1);
        // A node sends one snapshot to a peer at a time: the older one breaks off.
        let older = self.transfers.iter().find(|(_, other)| other.from == from && other.to == to);
        if let Some(number) = older.map(|(number, _)| *number) {
            self.drop_intake(number);
            self.transfers.remove(&number);
        }
        self.transfers_begun += 1;
        let Snapshot { meta, pieces } = snapshot;
        let rest = VecDeque::new();
        let transfer = Transfer {
            from,
            from_life,
            to,
            to_life: None,
            term,
            meta,
            pieces,
            rest,
            sent: FNV,
            came: FNV,
            stray: false,
            pace: millis(3),
        };
        self.transfers.insert(self.transfers_begun, transfer);
        let latency = self.random.time_about(millis(2));
        self.plan(latency, Event::Piece { transfer: self.transfers_begun });
    }

    /// A leader's snapshot goes to a member that has not asked for it, as one does that was given up by its
    /// sender and is still on its way.
    pub fn send_stray(&mut self, to: NodeId) -> bool {
        let leads = |server: &&Server| {
            let running = server.running.as_ref();
            running.is_some_and(|running| running.parts.driver.node().role() == RoleName::Leader)
        };
        let Some(from) = self.servers.values().find(leads).map(|server| server.id) else { return false };
        let busy = self.transfers.values().any(|transfer| transfer.from == from && transfer.to == to);
        if from == to || busy || self.servers[&to].running.is_none() {
            return false;
        }
        let running = self.servers[&from].running.as_ref().expect("it leads");
        let (term, view) = (running.parts.driver.node().hard_state().term, running.parts.handle.view());
        let (last, revision) = (view.applied(), view.revision());
        let pace = self.random.one_of(&[Time::from_micros(100), millis(3), millis(50)]);
        let header = SnapshotHeader { cluster: CLUSTER, last, members: self.members.clone(), revision };
        let meta = header.meta();
        let Ok(records) = view.export() else { return false };
        let pieces =
            encode(&header, records).map(|piece| piece.map_err(|error| SnapshotError(error.to_string())));
        self.begin_transfer(from, to, term, Snapshot { meta, pieces: Box::new(pieces) });
        let transfer = self.transfers.get_mut(&self.transfers_begun).expect("just begun");
        transfer.stray = true;
        transfer.pace = pace;
        true
    }

    /// One that reaches a node as it comes back. It does not know yet how far the others are, and so takes what
    /// the log would have given it in a moment.
    pub fn perhaps_send_stray(&mut self, to: NodeId) {
        let strays = self.swarm.faults.iter().any(|(fault, _)| *fault == Fault::StraySnapshot);
        if strays && self.faulty && self.random.chance(0.5) && self.send_stray(to) {
            count(&mut self.summary.faults, "stray snapshot to one that comes back", 1);
        }
    }

    /// The next thing happens to a stream.
    pub fn move_transfer(&mut self, number: u64) {
        let Some(transfer) = self.transfers.get(&number) else { return };
        let (from, to) = (transfer.from, transfer.to);
        if !self.lives(from, transfer.from_life) {
            // The stream ends with its sender.
            self.drop_intake(number);
            self.transfers.remove(&number);
            return;
        }
        let paused = self.servers[&from].paused_until.max(self.servers[&to].paused_until);
        if paused > self.now {
            return self.agenda.plan(paused, Event::Piece { transfer: number });
        }
        if self.network.is_cut(End::Node(from), End::Node(to)) {
            return self.break_off(number, IDLE, "stands still");
        }
        let faults = self.faulty;
        if faults && self.random.chance(self.network.faults.loss / 4.0) {
            return self.break_off(number, Time::ZERO, "breaks off");
        }
        match self.transfers[&number].to_life {
            None => self.open_intake(number),
            Some(life) if !self.lives(to, life) => self.break_off(number, Time::ZERO, "lost its receiver"),
            Some(_) => self.carry_piece(number),
        }
    }

    fn open_intake(&mut self, number: u64) {
        let Some(transfer) = self.transfers.get_mut(&number) else { return };
        let (from, to, term, meta) = (transfer.from, transfer.to, transfer.term, transfer.meta.clone());
        let Some(running) = self.servers.get_mut(&to).and_then(|server| server.running.as_mut()) else {
            return self.break_off(number, Time::ZERO, "found nobody");
        };
        transfer.to_life = Some(running.life);
        match running.parts.handle.take_in_snapshot(from, term, meta) {
            Ok(intake) => {
                running.intakes.insert(number, intake);
                self.plan(millis(1), Event::Piece { transfer: number });
            }
            Err(error) => {
                count(&mut self.summary.faults, "snapshot refused at its beginning", 1);
                let why = error.to_string();
                self.look_at_machine(to);
                self.break_off(number, Time::ZERO, &why);
            }
        }
    }

    fn carry_piece(&mut self, number: u64) {
        let chunk_size = usize::try_from(self.random.number(50..2000)).expect("small");
        let Some(transfer) = self.transfers.get_mut(&number) else { return };
        if transfer.rest.is_empty() {
            match transfer.pieces.next() {
                Some(Ok(mut piece)) => {
                    while !piece.is_empty() {
                        transfer.rest.push_back(piece.split_to(chunk_size.min(piece.len())));
                    }
                }
                Some(Err(error)) => {
                    let (from, why) = (transfer.from, error.to_string());
                    self.look_at_machine(from);
                    return self.break_off(number, Time::ZERO, &why);
                }
                None => return self.finish_intake(number),
            }
        }
        let chunk = transfer.rest.pop_front().expect("just filled");
        let to = transfer.to;
        let mut times = 1;
        if self.faulty && self.random.chance(CHUNK_FAULTS) {
            times = if self.random.chance(0.5) { 0 } else { 2 };
            let name = if times == 0 { "snapshot chunk lost" } else { "snapshot chunk repeated" };
            count(&mut self.summary.faults, name, 1);
        }
        let transfer = self.transfers.get_mut(&number).expect("under way");
        transfer.sent = mix(transfer.sent, &chunk);
        transfer.came = (0..times).fold(transfer.came, |hash, _| mix(hash, &chunk));
        for _ in 0..times {
            let Some(running) = self.servers.get_mut(&to).and_then(|server| server.running.as_mut()) else {
                return;
            };
            let Some(intake) = running.intakes.get_mut(&number) else { return };
            if let Err(error) = intake.push(&chunk) {
                let why = error.to_string();
                self.look_at_machine(to);
                return self.break_off(number, Time::ZERO, &why);
            }
        }
        let mean = self.transfers.get(&number).map_or(millis(3), |transfer| transfer.pace);
        let pace = self.random.time_about(mean);
        self.plan(pace, Event::Piece { transfer: number });
    }

    fn finish_intake(&mut self, number: u64) {
        let transfer = &self.transfers[&number];
        let (to, last, is_whole) = (transfer.to, transfer.meta.last, transfer.sent == transfer.came);
        let Some(running) = self.servers.get_mut(&to).and_then(|server| server.running.as_mut()) else {
            return;
        };
        let Some(intake) = running.intakes.remove(&number) else { return };
        match intake.finish() {
            Ok(received) => {
                assert!(
                    is_whole,
                    "n{to} takes a snapshot of {last} for whole of which a part was lost or repeated"
                );
                let handle = running.parts.handle.clone();
                let outcome = Box::pin(async move { handle.install(received).await });
                running.installing = Some(Installing { transfer: number, outcome });
                self.note(to, "snapshot", &[last.index.0], || format!("has all of {last}"));
                self.finish_install(to);
                self.plan_turn(to);
            }
            Err(error) => {
                count(&mut self.summary.events, "snapshots refused at their end", 1);
                let why = error.to_string();
                self.look_at_machine(to);
                self.break_off(number, Time::ZERO, &why);
            }
        }
    }

    /// Sees whether a received snapshot is installed.
    pub fn finish_install(&mut self, node: NodeId) {
        let Some(running) = &mut self.server(node).running else { return };
        let Some(installing) = &mut running.installing else { return };
        let context = &mut Context::from_waker(Waker::noop());
        let Poll::Ready(outcome) = installing.outcome.as_mut().poll(context) else { return };
        let number = installing.transfer;
        running.installing = None;
        match outcome {
            Ok((_, applied)) => {
                count(&mut self.summary.events, "snapshots installed", 1);
                self.note(node, "snapshot", &[applied.0], || format!("installed, now at {applied}"));
                self.report(number, Time::ZERO, Some(applied));
            }
            Err(error) => self.break_off(number, Time::ZERO, &error.to_string()),
        }
    }

    /// A stream ends without success.
    fn break_off(&mut self, number: u64, after: Time, why: &str) {
        count(&mut self.summary.faults, "snapshot stream broken", 1);
        self.trace.note(self.now, "snapshot", &[number], || format!("stream {number}: {why}"));
        self.drop_intake(number);
        self.report(number, after + PAUSE_AFTER_FAILURE, None);
    }

    /// The sender learns what came of it.
    fn report(&mut self, number: u64, after: Time, applied: Option<Index>) {
        if let Some(Transfer { from: node, from_life: life, to: peer, stray: false, .. }) =
            self.transfers.remove(&number)
        {
            let after = after + self.random.time_about(millis(1));
            self.plan(after, Event::SnapshotEnded { node, life, peer, applied });
        }
    }

    /// The streams from and to a process end with it.
    pub fn end_transfers(&mut self, node: NodeId) {
        let numbers: Vec<u64> = self.transfers.keys().copied().collect();
        for number in numbers {
            let transfer = &self.transfers[&number];
            if transfer.from == node {
                self.drop_intake(number);
                self.transfers.remove(&number);
            } else if transfer.to == node && transfer.to_life.is_some() {
                self.break_off(number, Time::ZERO, "lost its receiver");
            }
        }
    }

    fn drop_intake(&mut self, number: u64) {
        let Some(transfer) = self.transfers.get(&number) else { return };
        if let Some(running) = &mut self.servers.get_mut(&transfer.to).expect("a node").running {
            running.intakes.remove(&number);
        }
    }

    pub fn end_snapshot(&mut self, node: NodeId, life: u64, peer: NodeId, applied: Option<Index>) {
        if self.lives(node, life) {
            let running = self.servers[&node].running.as_ref().expect("lives");
            let outcome = applied.ok_or_else(|| SnapshotError("it broke".into()));
            running.parts.handle.snapshot_sent(peer, outcome);
            self.plan_turn(node);
        }
    }
}
