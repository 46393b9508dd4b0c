//! Logical clients: each has one operation at a time on a few shared keys, asks any
//! node, tries again what was certainly not done, and never repeats a write
//! whose outcome it does not know (as `client/retry.rs` does).

use crate::sim::clock::{Time, millis};
use crate::sim::front::{Ask, CallId, Caller, Request, Response};
use crate::sim::history::{self, Finished, Histories};
use crate::sim::random::Random;
use crate::sim::report::count;
use crate::sim::swarm::ClientMix;
use bytes::Bytes;
use kontiki::kv::{Compact, Compare, Delete, KeyRange, Op, Put, Refusal, Relation, Target, Txn, TxnResult};
use kontiki::machine::{Command, CommandResult};
use kontiki::reason::{Outcome, Reason};
use kontiki::types::{NodeId, Revision};
use std::collections::BTreeMap;

/// What a client wants done.
#[derive(Clone, Debug)]
pub enum Wish {
    Write {
        key: Bytes,
        value: Bytes,
    },
    Read {
        keys: Vec<Bytes>,
    },
    Cas {
        key: Bytes,
        old: Option<Bytes>,
        new: Bytes,
    },
    Delete {
        key: Bytes,
    },
    /// Several keys at once.
    Together {
        writes: Vec<(Bytes, Bytes)>,
    },
    Compact {
        revision: Revision,
    },
}

/// A wish being carried out.
#[derive(Clone, Debug)]
struct Work {
    wish: Wish,
    begun: Time,
    /// When it is given up.
    until: Time,
    /// The call that is under way.
    call: CallId,
    target: NodeId,
    tries: u32,
}

/// One client.
#[derive(Debug)]
struct Client {
    work: Option<Work>,
    /// The leader that it was last told about.
    leader: Option<NodeId>,
    /// What it last saw of each key.
    seen: BTreeMap<Bytes, Option<Bytes>>,
}

/// What a client wants the world to do.
#[derive(Debug)]
pub enum Move {
    /// Send this, and wake it at its deadline.
    Send { to: NodeId, request: Request },
    /// Wake it to try the same again.
    Again { at: Time },
    /// Wake it for a new wish.
    Next { at: Time },
    /// It waits for something else.
    Nothing,
}

/// All clients.
#[derive(Debug)]
pub struct Clients {
    mix: ClientMix,
    random: Random,
    nodes: Vec<NodeId>,
    clients: Vec<Client>,
    calls: u64,
    values: u64,
    revision: Revision,
    pub history: Histories,
    pub counts: BTreeMap<&'static str, u64>,
}

impl Clients {
    pub fn new(mix: ClientMix, nodes: Vec<NodeId>, random: Random) -> Self {
        let client = || Client { work: None, leader: None, seen: BTreeMap::new() };
        Self {
            clients: std::iter::repeat_with(client).take(mix.count).collect(),
            mix,
            random,
            nodes,
            calls: 0,
            values: 0,
            revision: Revision(1),
            history: Histories::default(),
            counts: BTreeMap::new(),
        }
    }

    /// How many operations were done.
    pub fn succeeded(&self) -> u64 {
        self.counts.iter().filter(|(name, _)| name.ends_with("ok")).map(|(_, count)| count).sum()
    }

    /// The names of all keys.
    pub fn all_keys(&self) -> Vec<Bytes> {
        (0..self.mix.keys).map(history::key).collect()
    }

    pub fn len(&self) -> usize {
        self.clients.len()
    }

    /// How long a client takes to read an answer.
    pub fn slowness(&mut self) -> Time {
        if self.random.chance(self.mix.slow) { self.random.time(millis(1)..millis(3000)) } else { Time::ZERO }
    }

    pub fn pause(&mut self) -> Time {
        self.random.time_about(self.mix.pause)
    }

    /// A client is ready for a new wish.
    pub fn begin(&mut self, now: Time, client: usize) -> Move {
        let wish = self.wish(client);
        let patience = match self.random.number(0..10) {
            _ if self.random.chance(self.mix.deadline_zero) => Time::ZERO,
            0..=1 => self.random.time(millis(1)..millis(200)),
            _ => self.random.time(millis(500)..millis(6000)),
        };
        let target = self.target(client);
        let (begun, until) = (now, now + patience);
        let call = self.call();
        self.clients[client].work = Some(Work { wish, begun, until, call, target, tries: 0 });
        self.send(client)
    }

    /// From now on each client asks a node of its own.
    pub fn ask(&mut self, now: Time, client: usize, wish: Wish, target: NodeId, patience: Time) -> Move {
        let call = self.call();
        let until = now + patience;
        self.clients[client].work = Some(Work { wish, begun: now, until, call, target, tries: 0 });
        self.send(client)
    }

    /// Whether the client has something under way.
    pub fn is_busy(&self, client: usize) -> bool {
        self.clients[client].work.is_some()
    }

    /// The same again, after a pause.
    pub fn again(&mut self, now: Time, client: usize) -> Move {
        let call = self.call();
        match &mut self.clients[client].work {
            Some(work) if now < work.until => {
                work.call = call;
                self.send(client)
            }
            Some(_) => self.end(now, client, Finished::Failed),
            None => Move::Nothing,
        }
    }

    /// A client has heard nothing until its deadline.
    pub fn timed_out(&mut self, now: Time, client: usize, call: CallId) -> Move {
        if self.clients[client].work.as_ref().is_none_or(|work| work.call != call) {
            return Move::Nothing;
        }
        self.broken(now, client, call)
    }

    /// The connection broke under a call: whether it was executed is not known.
    pub fn broken(&mut self, now: Time, client: usize, call: CallId) -> Move {
        let Some(work) = self.clients[client].work.as_ref().filter(|work| work.call == call) else {
            return Move::Nothing;
        };
        if let Wish::Read { .. } = work.wish {
            return self.elsewhere(now, client, None);
        }
        self.end(now, client, Finished::Unknown)
    }

    /// Nobody took the call.
    pub fn not_connected(&mut self, now: Time, client: usize, call: CallId) -> Move {
        if self.clients[client].work.as_ref().is_none_or(|work| work.call != call) {
            return Move::Nothing;
        }
        self.elsewhere(now, client, None)
    }

    /// An answer has come.
    pub fn answered(&mut self, now: Time, client: usize, call: CallId, answer: Response) -> Move {
        let Some(work) = self.clients[client].work.as_ref().filter(|work| work.call == call) else {
            return Move::Nothing;
        };
        let is_read = matches!(work.wish, Wish::Read { .. });
        match answer {
            Response::Refused(fault) if !is_read && fault.outcome() != Some(Outcome::NotApplied) => {
                self.end(now, client, Finished::Unknown)
            }
            Response::Refused(fault) => {
                let again = fault.reason().is_passing() || fault.reason() == Reason::Overloaded || is_read;
                if again {
                    let leader = fault.details().leader.as_ref().map(|hint| NodeId(hint.id));
                    self.elsewhere(now, client, leader)
                } else {
                    self.end(now, client, Finished::Failed)
                }
            }
            answer => self.finish(now, client, answer),
        }
    }

    /// Tries again a little later, at the leader that was named or anywhere.
    fn elsewhere(&mut self, now: Time, client: usize, leader: Option<NodeId>) -> Move {
        let own = &mut self.clients[client];
        own.leader = leader;
        let Some(work) = &mut own.work else { return Move::Nothing };
        work.tries += 1;
        let pause = millis(20) * (1 << work.tries.min(5));
        let at = now + self.random.time(pause / 2..pause);
        let next =
            self.nodes[usize::try_from(self.random.number(0..self.nodes.len() as u64)).expect("small")];
        let Some(work) = &mut self.clients[client].work else { return Move::Nothing };
        work.target = leader.unwrap_or(next);
        // Nothing is under way until then.
        work.call = CallId(0);
        if at >= work.until {
            return self.end(now, client, Finished::Failed);
        }
        Move::Again { at }
    }

    fn finish(&mut self, now: Time, client: usize, answer: Response) -> Move {
        let Some(work) = &self.clients[client].work else { return Move::Nothing };
        let finished = match (&work.wish, answer) {
            (Wish::Read { keys }, Response::Read(found, revision)) => {
                self.revision = self.revision.max(revision);
                let values: Vec<Option<Bytes>> = found.into_iter().map(|kv| kv.map(|kv| kv.value)).collect();
                let seen = keys.iter().cloned().zip(values.iter().cloned()).collect::<Vec<_>>();
                self.clients[client].seen.extend(seen);
                Finished::Read(values, revision)
            }
            (wish, Response::Wrote(reply)) => {
                self.revision = self.revision.max(reply.revision);
                match (wish, reply.result) {
                    (Wish::Write { .. }, CommandResult::Put(_)) => Finished::Done(reply.revision),
                    (Wish::Delete { .. }, CommandResult::Delete(result)) if result.deleted == 0 => {
                        Finished::NothingThere(reply.revision)
                    }
                    (Wish::Delete { .. }, CommandResult::Delete(_)) => Finished::Done(reply.revision),
                    (Wish::Cas { .. }, CommandResult::Txn(TxnResult { succeeded, .. })) => {
                        Finished::Swapped(succeeded, reply.revision)
                    }
                    (Wish::Together { .. }, CommandResult::Txn(_)) => Finished::Done(reply.revision),
                    (Wish::Compact { .. }, CommandResult::Compact) => Finished::Done(reply.revision),
                    // The same on every node: usually a revision that is too old.
                    (Wish::Compact { .. }, CommandResult::Refused(_)) => Finished::Failed,
                    // Its values are large.
                    (
                        Wish::Cas { .. } | Wish::Together { .. },
                        CommandResult::Refused(Refusal::TooMuchWork { .. }),
                    ) => Finished::Refused,
                    (wish, other) => panic!("{wish:?} was answered by {other:?}"),
                }
            }
            (wish, answer) => panic!("{wish:?} was answered by {answer:?}"),
        };
        self.end(now, client, finished)
    }

    fn end(&mut self, now: Time, client: usize, finished: Finished) -> Move {
        let Some(work) = self.clients[client].work.take() else { return Move::Nothing };
        count(&mut self.counts, name(&work.wish, &finished), 1);
        self.history.ended(client, &work.wish, work.begun, now, finished);
        Move::Next { at: now + self.pause() }
    }

    fn send(&mut self, client: usize) -> Move {
        let Some(work) = &self.clients[client].work else { return Move::Nothing };
        let ask = match &work.wish {
            Wish::Read { keys } => Ask::Read(keys.clone()),
            wish => Ask::Write(command(wish).encode()),
        };
        self.history.issued(&work.wish);
        let request = Request { call: work.call, caller: Caller::Client(client), ask, deadline: work.until };
        Move::Send { to: work.target, request }
    }

    fn call(&mut self) -> CallId {
        self.calls += 1;
        CallId(self.calls)
    }

    fn target(&mut self, client: usize) -> NodeId {
        let any = self.nodes[usize::try_from(self.random.number(0..self.nodes.len() as u64)).expect("small")];
        let leader = self.clients[client].leader;
        if self.random.chance(0.5) { leader.unwrap_or(any) } else { any }
    }

    fn wish(&mut self, client: usize) -> Wish {
        let key = self.key();
        match self.random.number(0..100) {
            0..=39 => Wish::Read { keys: if self.random.chance(0.1) { self.keys() } else { vec![key] } },
            40..=69 => Wish::Write { key, value: self.value() },
            70..=82 => {
                let old = self.clients[client].seen.get(&key).cloned().unwrap_or_default();
                Wish::Cas { key, old, new: self.value() }
            }
            83..=91 => Wish::Delete { key },
            92..=96 => {
                let writes = self.keys().into_iter().map(|key| (key, self.value())).collect();
                Wish::Together { writes }
            }
            _ => Wish::Compact {
                revision: Revision(self.revision.get().saturating_sub(self.random.number(0..20)).max(1)),
            },
        }
    }

    fn key(&mut self) -> Bytes {
        history::key(self.random.number(0..self.mix.keys))
    }

    /// Some different keys.
    fn keys(&mut self) -> Vec<Bytes> {
        let mut all: Vec<u64> = (0..self.mix.keys).collect();
        self.random.shuffle(&mut all);
        all.truncate(3);
        all.into_iter().map(history::key).collect()
    }

    /// A value that nobody else writes; some are large.
    pub fn value(&mut self) -> Bytes {
        self.values += 1;
        let size = if self.random.chance(0.05) { self.random.number(100..3000) } else { 0 };
        history::value(self.values, usize::try_from(size).expect("small"))
    }
}

/// The command for a wish that writes.
pub fn command(wish: &Wish) -> Command {
    let put =
        |key: &Bytes, value: &Bytes| Put { key: key.clone(), value: value.clone(), return_previous: false };
    match wish {
        Wish::Write { key, value } => Command::Put(put(key, value)),
        Wish::Delete { key } => Command::Delete(Delete { range: KeyRange::key(key), return_previous: false }),
        Wish::Cas { key, old, new } => {
            let target = match old {
                Some(old) => Target::Value(old.clone()),
                None => Target::Version(0),
            };
            let compare = Compare { range: KeyRange::key(key), target, relation: Relation::Equal };
            let success = vec![Op::Put(put(key, new))];
            Command::Txn(Txn { compares: vec![compare], success, failure: Vec::new() })
        }
        Wish::Together { writes } => {
            let success = writes.iter().map(|(key, value)| Op::Put(put(key, value))).collect();
            Command::Txn(Txn { compares: Vec::new(), success, failure: Vec::new() })
        }
        Wish::Compact { revision } => Command::Compact(Compact { revision: *revision }),
        Wish::Read { .. } => unreachable!("a read is not a command"),
    }
}

fn name(wish: &Wish, finished: &Finished) -> &'static str {
    let outcome = match finished {
        Finished::Failed | Finished::Refused => 1,
        Finished::Unknown => 2,
        _ => 0,
    };
    let names = match wish {
        Wish::Read { .. } => ["read, ok", "read, failed", "read, failed"],
        Wish::Write { .. } => ["write, ok", "write, failed", "write, unknown"],
        Wish::Cas { .. } => ["cas, ok", "cas, failed", "cas, unknown"],
        Wish::Delete { .. } => ["delete, ok", "delete, failed", "delete, unknown"],
        Wish::Together { .. } => ["txn, ok", "txn, failed", "txn, unknown"],
        Wish::Compact { .. } => ["compact, ok", "compact, failed", "compact, unknown"],
    };
    names[outcome]
}
