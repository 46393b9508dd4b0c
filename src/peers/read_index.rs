//! Asking the leader for a read index, together.
//!
//! A read index is fresh for a read if the leader was asked after the read
//! began (thesis §6.4). So a read may not join a call that is already under
//! way, but all reads that wait for it to end share the next one.

use crate::types::Index;
use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tonic::{Code, Status};

/// The most reads that wait for one leader.
const WAITING_MAX: usize = 16_384;

/// The reads that wait for a peer's read index. A clone is the same line.
#[derive(Clone, Debug, Default)]
pub struct ReadIndexLine {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether somebody makes calls for the line.
    running: bool,
    /// Those who wait for the next call, each with its deadline.
    next: Vec<(Instant, oneshot::Sender<Result<Index, Status>>)>,
}

impl ReadIndexLine {
    /// Waits for the answer to a call that starts from now on. `call` makes
    /// one, given the latest deadline of those who wait for it.
    pub async fn wait<C, F>(&self, deadline: Instant, call: C) -> Result<Index, Status>
    where
        C: Fn(Instant) -> F + Send + 'static,
        F: Future<Output = Result<Index, Status>> + Send + 'static,
    {
        let (sender, answer) = oneshot::channel();
        {
            let mut state = self.state();
            if state.next.len() >= WAITING_MAX {
                return Err(Status::resource_exhausted(format!(
                    "{WAITING_MAX} reads already wait for the leader"
                )));
            }
            state.next.push((deadline, sender));
            if !state.running {
                state.running = true;
                tokio::spawn(self.clone().run(call));
            }
        }
        match tokio::time::timeout_at(deadline, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Status::unavailable("this node is stopping")),
            Err(_) => Err(Status::deadline_exceeded("the leader did not confirm the read in time")),
        }
    }

    /// Makes calls, one at a time, until nobody waits.
    async fn run<C, F>(self, call: C)
    where
        C: Fn(Instant) -> F,
        F: Future<Output = Result<Index, Status>>,
    {
        while let Some((deadline, waiting)) = self.take_next() {
            let answer = call(deadline).await;
            for reader in waiting {
                // A reader that has given up meanwhile is gone.
                let _ = reader.send(answer.clone());
            }
        }
    }

    #[allow(clippy::type_complexity, reason = "a private pair, taken apart at once")]
    fn take_next(&self) -> Option<(Instant, Vec<oneshot::Sender<Result<Index, Status>>>)> {
        let mut state = self.state();
        state.next.retain(|(_, reader)| !reader.is_closed());
        let latest = state.next.iter().map(|(deadline, _)| *deadline).max();
        state.running = latest.is_some();
        let waiting = std::mem::take(&mut state.next);
        Some((latest?, waiting.into_iter().map(|(_, reader)| reader).collect()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answer to a peer that asks for a read index which this node cannot give.
pub(in crate::peers) fn refusal(error: &crate::replica::ReadError) -> Status {
    use crate::replica::ReadError;
    let (code, reason, leader) = match error {
        ReadError::NotLeader { leader } => (Code::Unavailable, "NOT_LEADER", *leader),
        ReadError::Overloaded => (Code::ResourceExhausted, "OVERLOADED", None),
        ReadError::Stopping => (Code::Unavailable, "STOPPING", None),
    };
    let leader = leader.map(|leader| ("leader_id".to_owned(), leader.to_string()));
    let metadata: HashMap<_, _> = leader.into_iter().collect();
    crate::peers::refusal::status(code, reason, error.to_string(), metadata)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;
    use tokio::sync::Semaphore;

    #[tokio::test]
    async fn readers_share_the_next_call_and_never_the_one_under_way() {
        let line = ReadIndexLine::default();
        let calls = Arc::new(AtomicU64::new(0));
        let gate = Arc::new(Semaphore::new(0));
        let deadline = Instant::now() + Duration::from_secs(10);
        let read = || {
            let (line, calls, gate) = (line.clone(), calls.clone(), gate.clone());
            tokio::spawn(async move {
                let call = move |_| {
                    let (calls, gate) = (calls.clone(), gate.clone());
                    async move {
                        let number = calls.fetch_add(1, Ordering::SeqCst) + 1;
                        gate.acquire().await.unwrap().forget();
                        Ok(Index(number))
                    }
                };
                line.wait(deadline, call).await.unwrap()
            })
        };

        let first = read();
        while calls.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let late: Vec<_> = (0..100).map(|_| read()).collect();
        while line.state().next.len() < 100 {
            tokio::task::yield_now().await;
        }
        gate.add_permits(2);

        assert_eq!(first.await.unwrap(), Index(1));
        for reader in late {
            assert_eq!(reader.await.unwrap(), Index(2), "all others share the second call");
        }
        assert_eq!(calls.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_reader_gives_up_at_its_own_deadline() {
        let line = ReadIndexLine::default();
        let never = |_| std::future::pending();
        let deadline = Instant::now() + Duration::from_millis(20);
        let status = line.wait(deadline, never).await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert!(Instant::now() >= deadline);
    }
}
