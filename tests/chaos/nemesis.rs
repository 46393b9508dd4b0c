//! Carries out a plan.

use super::arena::Arena;
use super::gaps::Window;
use super::node::Exit;
use super::plan::{Fault, Kind, Means, Step, Way, Who};
use crate::faults::disk::Disk;
use crate::faults::network::weather::Weather;
use kontiki::client::{Client, Options};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// How long to wait for a restarted node before the next one is restarted.
const READY_PATIENCE: Duration = Duration::from_secs(5);

/// What a node says that ends because its disk is full.
const NO_ROOM: &str = "No space left on device";

/// What was done, and what came of it.
#[derive(Default)]
pub struct Deeds {
    /// How often each kind was done with effect.
    pub done: BTreeMap<Kind, u32>,
    /// The steps, in time.
    pub windows: Vec<Window>,
    /// Transfers that the cluster agreed to, and others.
    pub transfers: (u32, u32),
    /// Nodes that were asked to end and did, in order.
    pub orderly_ends: u32,
    /// Nodes that ended themselves because their disk was full, as they may.
    pub gave_up: u32,
    /// Failures: a node that ended by itself, or did not end when asked to.
    pub offences: Vec<String>,
}

pub struct Nemesis {
    pub arena: Arena,
    pub deeds: Deeds,
    start: Instant,
    /// The last leader that was found, for when there is none.
    leader: usize,
    /// The nodes that may rightly end: their disks are full.
    may_end: BTreeSet<usize>,
}

impl Nemesis {
    pub fn new(arena: Arena, start: Instant) -> Self {
        Self { arena, deeds: Deeds::default(), start, leader: 0, may_end: BTreeSet::new() }
    }

    /// One step with all that belongs to it.
    pub async fn carry_out(&mut self, step: &Step) {
        let began = self.start.elapsed();
        println!("{:>7.1} s {step}", began.as_secs_f64());
        let end = Instant::now() + step.hurt;
        let mut victims = Vec::new();
        for (kind, fault) in &step.faults {
            let victim = self.begin(*fault).await;
            if fault.may_end_nodes() {
                self.may_end.extend(&victim);
            }
            victims.extend(victim.iter().map(|place| self.arena.nodes[*place].name.clone()));
            if !victim.is_empty() {
                *self.deeds.done.entry(*kind).or_default() += 1;
            }
        }
        if !victims.is_empty() {
            println!("{:>14} {}", "to", victims.join(", "));
        }
        for (_, fault) in &step.faults {
            self.go_on(*fault, end).await;
        }
        tokio::time::sleep_until(end).await;
        self.heal(&format!("step {}", step.number));
        let healed = self.start.elapsed();
        self.may_end.clear();
        tokio::time::sleep(step.rest).await;
        let over = self.start.elapsed();
        self.deeds.windows.push(Window { label: step.label(), hurt: began, healed, over });
    }

    /// Undoes everything: all nodes run, awake, with good clocks and a good network.
    pub fn heal(&mut self, during: &str) {
        self.arena.heal_network();
        self.arena.heal_disks();
        for place in 0..self.arena.nodes.len() {
            self.arena.nodes[place].resume();
            self.note_exit(place, during);
            let node = &mut self.arena.nodes[place];
            if let Some(clock) = &node.clock {
                clock.jump(0);
            }
            if !node.is_running() {
                node.start();
            }
        }
    }

    fn note_exit(&mut self, place: usize, during: &str) {
        if let Some(Exit { node, status, last_words }) = self.arena.nodes[place].exited() {
            if self.may_end.contains(&place) && last_words.contains(NO_ROOM) {
                println!("{:>14} {node} ended itself ({status})", "");
                self.deeds.gave_up += 1;
                return;
            }
            let offence =
                format!("{node} ended by itself ({status}) during {during}; its last words:\n{last_words}");
            println!("{offence}");
            self.deeds.offences.push(offence);
        }
    }

    async fn place(&mut self, who: Who) -> usize {
        if let Some(leader) = self.arena.leader().await {
            self.leader = leader;
        }
        match who {
            Who::Leader => self.leader,
            Who::Follower(nth) => {
                let others: Vec<usize> = self.others(self.leader).collect();
                others[nth % others.len()]
            }
        }
    }

    fn others(&self, than: usize) -> impl Iterator<Item = usize> + use<> {
        (0..self.arena.nodes.len()).filter(move |place| *place != than)
    }

    /// The leader and as many others as make a majority with it.
    async fn majority(&mut self) -> Vec<usize> {
        let leader = self.place(Who::Leader).await;
        let count = self.arena.nodes.len() / 2;
        std::iter::once(leader).chain(self.others(leader).take(count)).collect()
    }

    /// Does a fault that takes no time. Returns whom it hit; nobody: it had no effect.
    async fn begin(&mut self, fault: Fault) -> Vec<usize> {
        let everybody: Vec<usize> = (0..self.arena.nodes.len()).collect();
        match fault {
            Fault::Kill(who) => {
                let place = self.place(who).await;
                self.hit(vec![place], |node| node.kill())
            }
            Fault::KillMajority => {
                let places = self.majority().await;
                self.hit(places, |node| node.kill())
            }
            Fault::KillAll => self.hit(everybody, |node| node.kill()),
            Fault::Pause(who) => {
                let place = self.place(who).await;
                self.hit(vec![place], |node| node.pause())
            }
            Fault::PauseMajority => {
                let places = self.majority().await;
                self.hit(places, |node| node.pause())
            }
            Fault::Isolate(who, means) => {
                let place = self.place(who).await;
                self.cut_off(place, &[Way::Inward, Way::Outward], means)
            }
            Fault::OneWay(who, way, means) => {
                let place = self.place(who).await;
                self.cut_off(place, &[way], means)
            }
            Fault::Bridge(means) => self.bridge(means).await,
            Fault::Delay { millis, jitter_millis } => {
                let delay = Duration::from_millis(millis);
                self.arena.weather(Weather::late(delay, Duration::from_millis(jitter_millis)));
                everybody
            }
            Fault::Drop { percent } => {
                self.arena.weather(Weather::lossy(f64::from(percent) / 100.0));
                everybody
            }
            Fault::PacketLoss { percent } => {
                self.arena.lose_packets(percent);
                everybody
            }
            Fault::Throttle { bytes_per_second } => {
                self.arena.weather(Weather::narrow(bytes_per_second));
                everybody
            }
            Fault::WallClock { who, seconds } => {
                let place = self.place(who).await;
                let clock = self.arena.nodes[place].clock.as_ref();
                clock.map_or_else(Vec::new, |clock| {
                    clock.jump(seconds);
                    vec![place]
                })
            }
            Fault::SlowDisk { who, millis } => {
                let place = self.place(who).await;
                self.spoil(place, |disk| disk.slow(Duration::from_millis(millis)))
            }
            Fault::FullDisk { who, free_mib } => {
                let place = self.place(who).await;
                self.spoil(place, |disk| disk.leave_free(Some(free_mib << 20)))
            }
            Fault::Resets { .. } | Fault::RollingRestart | Fault::Transfers { .. } => everybody,
        }
    }

    fn hit(&mut self, places: Vec<usize>, how: impl Fn(&mut super::node::Node) -> bool) -> Vec<usize> {
        places.into_iter().filter(|place| how(&mut self.arena.nodes[*place])).collect()
    }

    fn spoil(&self, place: usize, how: impl Fn(&Disk)) -> Vec<usize> {
        self.arena.disk(place).map_or_else(Vec::new, |disk| {
            how(disk);
            vec![place]
        })
    }

    fn cut_off(&mut self, place: usize, ways: &[Way], means: Means) -> Vec<usize> {
        for other in self.others(place) {
            for way in ways {
                match way {
                    Way::Inward => self.arena.cut(other, place, means),
                    Way::Outward => self.arena.cut(place, other, means),
                }
            }
        }
        vec![place]
    }

    /// Two halves that do not hear each other, and one node between them that hears all.
    /// The leader is in a half.
    async fn bridge(&mut self, means: Means) -> Vec<usize> {
        let leader = self.place(Who::Leader).await;
        let mut others = self.others(leader);
        let between = others.next();
        let rest: Vec<usize> = others.collect();
        let (with_leader, against) = rest.split_at((rest.len() - 1) / 2);
        let half: Vec<usize> = std::iter::once(leader).chain(with_leader.iter().copied()).collect();
        for here in &half {
            for there in against {
                self.arena.cut(*here, *there, means);
                self.arena.cut(*there, *here, means);
            }
        }
        half.into_iter().chain(between).collect()
    }

    /// What takes time.
    async fn go_on(&mut self, fault: Fault, end: Instant) {
        match fault {
            Fault::Resets { every_millis } => {
                while Instant::now() < end {
                    self.arena.reset_connections();
                    tokio::time::sleep(Duration::from_millis(every_millis)).await;
                }
            }
            Fault::RollingRestart => {
                for place in 0..self.arena.nodes.len() {
                    self.restart_in_order(place).await;
                }
            }
            Fault::Transfers { count } => {
                let pause = end.saturating_duration_since(Instant::now()) / (count + 1);
                for _ in 0..count {
                    self.transfer().await;
                    tokio::time::sleep(pause).await;
                }
            }
            _ => {}
        }
    }

    async fn restart_in_order(&mut self, place: usize) {
        self.note_exit(place, "a rolling restart");
        if self.arena.nodes[place].is_running() {
            let name = self.arena.nodes[place].name.clone();
            match self.arena.nodes[place].terminate().await {
                Some(status) if status.success() => self.deeds.orderly_ends += 1,
                Some(status) => {
                    self.deeds.offences.push(format!("{name} was asked to end, and ended with {status}"))
                }
                None => self.deeds.offences.push(format!("{name} was asked to end, and did not")),
            }
        }
        self.arena.nodes[place].start();
        let client = self.client(&[self.arena.nodes[place].client_url.clone()]);
        let began = Instant::now();
        while began.elapsed() < READY_PATIENCE {
            let status = client.local_status().await;
            if status.is_ok_and(|status| status.value.nodes.iter().any(|node| node.ready)) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn transfer(&mut self) {
        match self.client(&self.arena.urls()).transfer_leadership(None).await {
            Ok(_) => self.deeds.transfers.0 += 1,
            Err(error) => {
                println!("{:>14} leadership was not transferred: {error}", "");
                self.deeds.transfers.1 += 1;
            }
        }
    }

    fn client(&self, urls: &[String]) -> Client {
        let options = Options { timeout: Duration::from_secs(2), ..Options::default() };
        Client::connect(urls, options).unwrap()
    }
}
