//! Sharing requests to the leader for a read index.
//!
//! A read index is fresh for a read if the leader was asked after the read began (thesis §6.4). So a read may
//! not join a call that is already under way, but all reads that wait for its end share the next one.

use crate::api::remote::NoAnswer;
use crate::types::Index;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// The most reads that may wait for one leader.
const WAITING_MAX: usize = 16_384;

/// The reads that wait for a peer's read index. Clones share the queue.
#[derive(Clone, Debug, Default)]
pub struct ReadIndexLine {
    state: Arc<Mutex<Waiting>>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Whether a task is making calls for the queue.
    running: bool,
    /// The readers that wait for the next call, each with its deadline.
    next: Vec<(Instant, oneshot::Sender<Result<Index, NoAnswer>>)>,
}

impl ReadIndexLine {
    /// Waits for the answer to a call that starts after this. `call` makes one, given the latest deadline of
    /// its readers.
    pub async fn wait<C, F>(&self, deadline: Instant, call: C) -> Result<Index, NoAnswer>
    where
        C: Fn(Instant) -> F + Send + 'static,
        F: Future<Output = Result<Index, NoAnswer>> + Send + 'static,
    {
        let (sender, answer) = oneshot::channel();
        {
            let mut state = self.state();
            if state.next.len() >= WAITING_MAX {
                return Err(NoAnswer::Overloaded);
            }
            state.next.push((deadline, sender));
            if !state.running {
                state.running = true;
                tokio::spawn(self.clone().run(call));
            }
        }
        answer.await.unwrap_or_else(|_| Err(NoAnswer::Lost("this node is stopping".into())))
    }

    /// Makes calls, one at a time, until nobody waits.
    async fn run<C, F>(self, call: C)
    where
        C: Fn(Instant) -> F,
        F: Future<Output = Result<Index, NoAnswer>>,
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
    fn take_next(&self) -> Option<(Instant, Vec<oneshot::Sender<Result<Index, NoAnswer>>>)> {
        let mut state = self.state();
        state.next.retain(|(_, reader)| !reader.is_closed());
        let latest = state.next.iter().map(|(deadline, _)| *deadline).max();
        state.running = latest.is_some();
        let waiting = std::mem::take(&mut state.next);
        Some((latest?, waiting.into_iter().map(|(_, reader)| reader).collect()))
    }

    fn state(&self) -> MutexGuard<'_, Waiting> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
}
