//! The load: threads, each with its own runtime, connections and clients.
//!
//! Nothing is shared between threads while they run. All clients of a thread share one [`Recorder`]; as only
//! one of them runs at a time, that takes a `RefCell` and no lock.

use crate::bench::args::Workload;
use crate::bench::client::{self, LoadState};
use crate::bench::compactor;
use crate::bench::error::BenchError;
use crate::bench::machine::{MachineTime, cpu_of, own_cpu};
use crate::bench::pace::{self, Schedule, Timetable};
use crate::bench::plan::Plan;
use crate::bench::recorder::Recorder;
use crate::bench::store::Store;
use crate::bench::target;
use crate::bench::workload::{Generator, Shapes};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::{JoinSet, LocalSet};

/// How long to wait for answers after a Ctrl-C.
const HURRY: Duration = Duration::from_secs(2);
/// How long past its deadline a request is given up.
const GRACE: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub struct Run {
    pub recorder: Recorder,
    /// How long was measured, in seconds; shorter than planned after a Ctrl-C.
    pub seconds: f64,
    /// The processor time of this program meanwhile.
    pub own_cpu: Duration,
    /// The processor time of the servers, if their processes are known.
    pub server_cpu: Option<Duration>,
    /// The share of the machine's time that the hypervisor took meanwhile.
    pub stolen: Option<f64>,
}

/// What one thread needs. The whole of it moves into the thread.
struct Thread {
    number: usize,
    plan: Plan,
    workload: Workload,
    shapes: Shapes,
    /// Each connection's address, and the numbers of its clients.
    connections: Vec<(String, Vec<usize>)>,
    gate: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
    ready: mpsc::Sender<Result<(), BenchError>>,
    begin: oneshot::Receiver<Schedule>,
}

/// Runs one workload against `urls` until its time is over or `stop` turns true.
///
/// # Errors
/// If a connection cannot be opened or a thread cannot be started.
pub async fn run(
    plan: &Plan,
    workload: Workload,
    urls: &[String],
    stop: &watch::Receiver<bool>,
) -> Result<Run, BenchError> {
    let gates: Vec<_> = (0..plan.threads).map(|_| Arc::new(Semaphore::new(0))).collect();
    let (ready, mut opened) = mpsc::channel(plan.threads);
    let (results, mut finished) = mpsc::channel(plan.threads);
    let mut begins = Vec::new();
    for (number, gate) in gates.iter().enumerate() {
        let (begin, begun) = oneshot::channel();
        let thread = Thread {
            number,
            plan: plan.clone(),
            workload,
            shapes: Shapes::new(plan),
            connections: share_of(plan, urls, number),
            gate: gate.clone(),
            stop: stop.clone(),
            ready: ready.clone(),
            begin: begun,
        };
        let results = results.clone();
        std::thread::Builder::new().name(format!("bench-{number}")).spawn(move || {
            // Fails only if the command is already over.
            let _ = results.blocking_send(thread.run());
        })?;
        begins.push(begin);
    }
    drop((ready, results));
    // On an early return the senders in `begins` are dropped, and the threads end.
    for _ in 0..plan.threads {
        opened.recv().await.expect("a thread reports once before it ends")?;
    }
    let start = Instant::now() + Duration::from_millis(1);
    let measure = start + plan.warmup;
    let schedule = Schedule { start, measure, end: measure + plan.duration };
    for begin in begins {
        // Fails only if that thread has ended, which its result explains.
        let _ = begin.send(schedule);
    }
    start_pacer(plan, &schedule, gates, stop)?;
    let (working, over) = watch::channel(());
    let collected = async {
        let mut recorder = Recorder::default();
        while let Some(result) = finished.recv().await {
            recorder.merge(&result?);
        }
        drop(working);
        Ok::<_, BenchError>(recorder)
    };
    let watched = watch_over(plan, &schedule, stop.clone(), over.clone());
    let (watched, compacted, recorder) =
        tokio::join!(watched, compactor::run(plan, &urls[0], over), collected);
    let mut recorder = recorder?;
    recorder.merge(&compacted);
    Ok(Run { recorder, ..watched })
}

/// The connections of one thread: every `threads`th of all, and likewise the clients of a connection.
fn share_of(plan: &Plan, urls: &[String], thread: usize) -> Vec<(String, Vec<usize>)> {
    let mine = (thread..plan.connections).step_by(plan.threads);
    mine.map(|connection| {
        let clients = (connection..plan.clients).step_by(plan.connections).collect();
        (urls[connection % urls.len()].clone(), clients)
    })
    .collect()
}

fn start_pacer(
    plan: &Plan,
    schedule: &Schedule,
    gates: Vec<Arc<Semaphore>>,
    stop: &watch::Receiver<bool>,
) -> Result<(), BenchError> {
    let Some(timetable) = timetable(plan, schedule) else {
        return Ok(());
    };
    let stop = stop.clone();
    let pacer = move || pace::release(&timetable, &gates, &stop);
    std::thread::Builder::new().name("bench-pacer".into()).spawn(pacer)?;
    Ok(())
}

fn timetable(plan: &Plan, schedule: &Schedule) -> Option<Timetable> {
    let Schedule { start, end, .. } = *schedule;
    plan.rate.map(|rate| Timetable { start, end, rate, threads: plan.threads as u64 })
}

/// Waits through the measured part, which ends early when all requests are `over`.
async fn watch_over(
    plan: &Plan,
    schedule: &Schedule,
    mut stop: watch::Receiver<bool>,
    mut over: watch::Receiver<()>,
) -> Run {
    let servers = || (!plan.server_pids.is_empty()).then(|| cpu_of(&plan.server_pids));
    let interrupted = until(schedule.measure, &mut stop, &mut over).await;
    let (begun, cpu, server_cpu, machine) = (Instant::now(), own_cpu(), servers(), MachineTime::now());
    if !interrupted {
        until(schedule.end, &mut stop, &mut over).await;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let stolen = machine.zip(MachineTime::now()).map(|(before, now)| now.stolen_since(before));
    let own_cpu = own_cpu().saturating_sub(cpu);
    let server_cpu = server_cpu.zip(servers()).map(|(before, now)| now.saturating_sub(before));
    // A run that was stopped while warming up measured nothing.
    let seconds = if interrupted { 0.0 } else { seconds };
    Run { recorder: Recorder::default(), seconds, own_cpu, server_cpu, stolen }
}

/// Waits until `moment`; says whether it was interrupted.
async fn until(moment: Instant, stop: &mut watch::Receiver<bool>, over: &mut watch::Receiver<()>) -> bool {
    tokio::select! {
        () = tokio::time::sleep_until(moment.into()) => false,
        // Nothing is ever sent on it: it ends when its sender is dropped.
        _ = over.changed() => false,
        () = stopped(stop) => true,
    }
}

/// Completes when it is time to stop; never, if the sender is gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending().await
    }
}

impl Thread {
    fn run(mut self) -> Result<Recorder, BenchError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let channels = runtime.map_err(BenchError::System).and_then(|runtime| {
            let channels = runtime.block_on(self.connect())?;
            Ok((runtime, channels))
        });
        let (runtime, clients) = match channels {
            Ok(opened) => opened,
            Err(error) => {
                // If nobody listens, another thread has already failed.
                let _ = self.ready.blocking_send(Err(error));
                return Ok(Recorder::default());
            }
        };
        let local = LocalSet::new();
        let recorder = local.block_on(&runtime, self.drive(clients));
        Ok(recorder)
    }

    /// A store for each of this thread's clients, with the client's number.
    async fn connect(&mut self) -> Result<Vec<(usize, Store)>, BenchError> {
        let mut clients = Vec::new();
        for (url, numbers) in &self.connections {
            let channel = target::connect(url).await?;
            let store = Store::new(self.plan.api, channel, self.plan.request_timeout);
            clients.extend(numbers.iter().map(|number| (*number, store.clone())));
        }
        Ok(clients)
    }

    async fn drive(self, clients: Vec<(usize, Store)>) -> Recorder {
        let Self { number, plan, workload, shapes, gate, mut stop, ready, begin, .. } = self;
        if ready.send(Ok(())).await.is_err() {
            return Recorder::default();
        }
        // Dropped if some other thread could not connect.
        let Ok(schedule) = begin.await else {
            return Recorder::default();
        };
        let pace = timetable(&plan, &schedule).map(|table| (table, gate));
        let state = Rc::new(LoadState::new(&plan, number as u64, shapes, schedule, pace));
        let mut running = JoinSet::new();
        for (number, store) in clients {
            let generator = Generator::new(&plan, workload, number);
            running.spawn_local(client::work(store, generator, state.clone()));
        }
        let mut give_up = schedule.end + plan.request_timeout + GRACE;
        let mut hurried = false;
        loop {
            tokio::select! {
                ended = running.join_next() => match ended {
                    None => break,
                    Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                    Some(_) => {}
                },
                () = stopped(&mut stop), if !hurried => {
                    hurried = true;
                    state.close();
                    give_up = give_up.min(Instant::now() + HURRY);
                }
                () = tokio::time::sleep_until(give_up.into()) => break,
            }
        }
        let abandoned = running.len() as u64;
        running.shutdown().await;
        let mut recorder = state.leave(Instant::now());
        recorder.abandoned = abandoned;
        if workload.writes() {
            recorder.unknown_writes += abandoned;
        }
        recorder
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_one_place() {
        let line = "put --clients 11 --connections 5 --threads 2";
        let plan = crate::bench::BenchArgs::parsed(line).unwrap().plan().unwrap();
        let urls = ["a".to_owned(), "b".to_owned()];
        let shares: Vec<_> = (0..2).flat_map(|thread| share_of(&plan, &urls, thread)).collect();
        assert_eq!(shares.len(), 5);
        let mut clients: Vec<usize> = shares.iter().flat_map(|(_, clients)| clients.clone()).collect();
        clients.sort_unstable();
        assert_eq!(clients, (0..11).collect::<Vec<_>>());
        assert_eq!(shares.iter().filter(|(url, _)| url == "a").count(), 3);
    }
}
