//! A server's reaction in the making: the driver's part, as it gives a node its inputs and carries out its effects.

use crate::model::network::{Content, Packet};
use crate::model::server::{Input, Install, Reaction, Rules, Server, options};
use crate::raft::disk::State;
use bytes::Bytes;
use kontiki::raft::{Effects, Mark, Message, Node, SnapshotMeta, Vote};
use kontiki::types::NodeId;
use std::collections::BTreeMap;

pub struct Turn {
    rules: Rules,
    reaction: Reaction,
}

impl Turn {
    pub fn of(server: &Server, rules: Rules) -> Self {
        let reaction = Reaction {
            server: server.clone(),
            fingerprint: 0,
            sent: Vec::new(),
            applied: Vec::new(),
            reads: Vec::new(),
        };
        Self { rules, reaction }
    }

    /// `None` if the input makes no sense here.
    pub fn react(mut self, input: &Input) -> Option<Reaction> {
        self.take(input)?;
        self.settle();
        Some(self.reaction)
    }

    fn take(&mut self, input: &Input) -> Option<()> {
        let server = &mut self.reaction.server;
        match input {
            Input::Packet(packet) => self.arrive(packet)?,
            Input::Timeout => self.time_out()?,
            Input::Campaign => self.campaign()?,
            Input::Tick => server.leads().then(|| server.node.tick())?,
            Input::Finish => self.finish_one().then_some(())?,
            Input::Crash => self.crash(),
            Input::Propose(number) => {
                let command = Bytes::from(vec![b'a' + number]);
                server.node.propose([command]).ok()?;
            }
            Input::Read(token) => server.node.read(*token).ok()?,
            Input::ReadLog(peer) => {
                let place = server.reading.iter().position(|read| read.to == *peer)?;
                let read = server.reading.remove(place);
                server.node.log_read(read, server.disk.store.log.read(&read));
            }
            Input::Compact => self.compact()?,
            Input::Transfer(to) => server.node.transfer_leadership(*to).ok()?,
            Input::Replace => self.replace()?,
            Input::Installed => self.installed()?,
            Input::StreamBreaks(peer) => {
                server.sending.remove(peer)?;
                server.node.snapshot_sent(*peer, None);
            }
            Input::Unreachable(peer) => server.node.unreachable(*peer),
        }
        Some(())
    }

    /// Carries out effects until there are none.
    fn settle(&mut self) {
        loop {
            let effects = self.reaction.server.node.take_effects();
            let idle = effects == Effects::default();
            self.carry_out(effects);
            let mut wrote = false;
            while !self.rules.slow_disks && self.finish_one() {
                wrote = true;
            }
            if idle && !wrote {
                return;
            }
        }
    }

    fn carry_out(&mut self, effects: Effects) {
        let Effects { persist, messages, committed, reads, install, send_snapshots, read_log } = effects;
        for (to, message) in messages {
            self.send(to, Content::Message(message));
        }
        let server = &mut self.reaction.server;
        if let Some(persist) = persist {
            server.disk.write(persist);
        }
        for entry in committed {
            server.state.apply(&entry);
            self.reaction.applied.push((entry.id.index, server.state.hash));
        }
        self.reaction.reads.extend(reads);
        server.reading.extend(read_log);
        for peer in send_snapshots {
            self.send_snapshot(peer);
        }
        assert!(install.is_none(), "a snapshot to install that did not just arrive");
    }

    fn send(&mut self, to: NodeId, content: Content) {
        let server = &mut self.reaction.server;
        let from = server.node.id();
        if let Content::Message(message) | Content::Snapshot(message, _) = &content {
            server.check_statement(to, message);
        }
        let packet = Packet { from, to, content };
        if !self.rules.loses(&packet) {
            self.reaction.sent.push(packet);
        }
    }

    fn send_snapshot(&mut self, to: NodeId) {
        let server = &mut self.reaction.server;
        let state = server.state.clone();
        let term = server.node.hard_state().term;
        let meta = SnapshotMeta { last: state.applied, members: state.members.clone() };
        server.sending.insert(to, (term, meta.last.index));
        self.send(to, Content::Snapshot(Message::InstallSnapshot { term, meta }, state));
    }

    fn arrive(&mut self, packet: &Packet) -> Option<()> {
        let Packet { from, content, .. } = packet;
        let node = &mut self.reaction.server.node;
        match content {
            Content::Message(message) => node.step(*from, message.clone()),
            Content::Snapshot(message, state) => self.snapshot_arrives(*from, message, state),
            Content::Received { term, index } => {
                if self.reaction.server.sending.get(from) != Some(&(*term, *index)) {
                    return None;
                }
                self.reaction.server.sending.remove(from);
                self.reaction.server.node.snapshot_sent(*from, Some(*index));
            }
        }
        Some(())
    }

    fn snapshot_arrives(&mut self, from: NodeId, message: &Message, state: &State) {
        let Message::InstallSnapshot { term, meta } = message else { unreachable!("not a snapshot") };
        let server = &mut self.reaction.server;
        let was_idle = server.install.is_none();
        server.node.step(from, message.clone());
        let mut effects = server.node.take_effects();
        if let Some(wanted) = effects.install.take() {
            assert!(was_idle && wanted == *meta, "only what arrived is installed, one at a time");
            let (state, term) = (state.clone(), *term);
            server.install = Some(Install { meta: wanted, state, from, term, replaced: false });
        } else if was_idle {
            // It was not needed: the sender need not go on.
            self.send(from, Content::Received { term: *term, index: meta.last.index });
        }
        self.carry_out(effects);
    }

    /// Lets ticks pass until the timer fires, and none more: it always begins at 0.
    fn time_out(&mut self) -> Option<()> {
        if self.reaction.server.leads() || self.reaction.server.install.is_some() {
            return None;
        }
        // After candidacies that failed, the timer runs for up to eight times as long.
        for _ in 0..8 * options(self.rules).election_ticks_max {
            self.reaction.server.node.tick();
            let effects = self.reaction.server.node.take_effects();
            let asks = |(_, message): &(NodeId, Message)| matches!(message, Message::RequestVote(_));
            let fired = effects.messages.iter().any(asks);
            self.carry_out(effects);
            if fired {
                return Some(());
            }
        }
        // It stands still while a vote waits for the disk.
        assert!(!self.reaction.server.disk.is_idle(), "the election timer does not fire");
        None
    }

    fn campaign(&mut self) -> Option<()> {
        self.time_out()?;
        let node = &mut self.reaction.server.node;
        let term = node.hard_state().term.next();
        let voter = node.members().all().find(|voter| *voter != node.id())?;
        node.step(voter, Message::Vote(Vote { term, granted: true, pre: true }));
        Some(())
    }

    fn finish_one(&mut self) -> bool {
        let Server { node, disk, .. } = &mut self.reaction.server;
        if disk.is_idle() {
            return false;
        }
        let before = disk.hard_state;
        if let Some(mark) = disk.finish_one() {
            node.persisted(mark);
        }
        // It is stored in the same moment: that it lags is a matter of the small world.
        while let Some((mark, last)) = disk.store.take_over_one() {
            node.stored(mark, last);
        }
        assert!(disk.hard_state.term >= before.term, "a durable term fell");
        true
    }

    fn crash(&mut self) {
        let Server { node, disk, state, install, reading, sending, .. } = &mut self.reaction.server;
        disk.lose_jobs();
        *state = disk.state.clone();
        (*install, *sending) = (None, BTreeMap::new());
        reading.clear();
        *node = Node::new(node.id(), options(self.rules), 0, disk.restored());
        node.stored(Mark::RESTORED, disk.last().index);
    }

    fn compact(&mut self) -> Option<()> {
        let Server { node, disk, state, install, .. } = &mut self.reaction.server;
        let is_replaced = install.as_ref().is_some_and(|install| install.replaced);
        if is_replaced || state.applied.index <= node.compacted() {
            return None;
        }
        disk.state = state.clone();
        node.compact(state.applied.index);
        disk.forget(state.applied.index);
        Some(())
    }

    fn replace(&mut self) -> Option<()> {
        let Server { disk, state, install, .. } = &mut self.reaction.server;
        let install = install.as_mut().filter(|install| !install.replaced)?;
        assert!(install.state.applied >= state.applied, "a snapshot set the state back");
        install.replaced = true;
        disk.state = install.state.clone();
        *state = install.state.clone();
        self.reaction.applied.push((state.applied.index, state.hash));
        Some(())
    }

    fn installed(&mut self) -> Option<()> {
        let server = &mut self.reaction.server;
        let Install { meta, from, term, .. } = server.install.take_if(|install| install.replaced)?;
        server.node.snapshot_installed(&meta);
        self.send(from, Content::Received { term, index: meta.last.index });
        Some(())
    }
}
