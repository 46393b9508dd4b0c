//! Clients are read in turns.
//!
//! The thread that serves clients is also that of the loop, of the peers and of their heartbeats, and whoever becomes
//! ready there waits for all that became ready before. So only so much is read from all clients together until everybody
//! else has had a turn; the rest waits in the clients' sockets. However many clients there are, and whatever they send,
//! a heartbeat waits for no more than what the bytes of one turn can cause.
//!
//! A task of its own gives out the turns: it becomes ready like any other, so once it runs all others have run.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use tokio::sync::Notify;

/// What is read in a turn: some hundred small requests, or ten milliseconds of the worst frames.
const TURN_BYTES: usize = 128 << 10;
/// How many connections are told that there is something to be had: more than can use it up.
const WOKEN_AT_ONCE: usize = 64;

/// The turns of a listener, shared by its connections.
#[derive(Debug)]
pub struct Turns {
    /// Of the current turn, in bytes.
    left: AtomicUsize,
    /// By when they came.
    waiting: Mutex<BTreeMap<u64, (Waker, Arc<AtomicBool>)>>,
    next_place: AtomicU64,
    wanted: Notify,
}

/// One connection's part in it.
#[derive(Debug)]
pub struct Turn {
    turns: Arc<Turns>,
    /// Its place in the queue, kept until it could read something.
    place: Option<u64>,
    /// Whether it is among those that wait.
    waits: Arc<AtomicBool>,
}

impl Turns {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            left: AtomicUsize::new(TURN_BYTES),
            waiting: Mutex::default(),
            next_place: AtomicU64::new(0),
            wanted: Notify::new(),
        })
    }

    /// For one more connection.
    pub fn join(self: &Arc<Self>) -> Turn {
        Turn { turns: Arc::clone(self), place: None, waits: Arc::default() }
    }

    /// Gives out turns while somebody wants one. Never ends.
    pub async fn give(&self) -> Infallible {
        loop {
            self.wanted.notified().await;
            while self.begin() {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Begins a turn. False: nobody waits for it.
    fn begin(&self) -> bool {
        self.left.store(TURN_BYTES, Ordering::Relaxed);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let first = |_| waiting.pop_first().map(|(_, one)| one);
        let woken: Vec<_> = (0..WOKEN_AT_ONCE).map_while(first).collect();
        drop(waiting);
        let is_wanted = !woken.is_empty();
        for (waker, waits) in woken {
            waits.store(false, Ordering::Relaxed);
            waker.wake();
        }
        is_wanted
    }
}

impl Turn {
    /// Waits until something may be read. Who waits longest is served first.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.turns.left.load(Ordering::Relaxed) > 0 {
            return Poll::Ready(());
        }
        if !self.waits.swap(true, Ordering::Relaxed) {
            let place =
                self.place.get_or_insert_with(|| self.turns.next_place.fetch_add(1, Ordering::Relaxed));
            let one = (context.waker().clone(), Arc::clone(&self.waits));
            self.turns.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(*place, one);
            // After it is in the queue: if a turn began meanwhile, another one follows.
            self.turns.wanted.notify_one();
        }
        Poll::Pending
    }

    /// So much was read. The last reader of a turn may take more than was left.
    pub fn read(&mut self, bytes: usize) {
        if bytes > 0 && !self.waits.load(Ordering::Relaxed) {
            self.place = None;
        }
        let sub = |left: usize| Some(left.saturating_sub(bytes));
        let _ = self.turns.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sub);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;

    const READ: usize = 16 << 10;
    const READS_IN_A_TURN: usize = TURN_BYTES / READ;

    const OTHER: usize = usize::MAX;

    /// What happened, in order.
    type Story = Rc<RefCell<Vec<usize>>>;

    async fn reader(mut turn: Turn, name: usize, reads: usize, story: Story) {
        for _ in 0..reads {
            std::future::poll_fn(|context| turn.poll(context)).await;
            turn.read(READ);
            story.borrow_mut().push(name);
        }
    }

    /// Runs so many readers of so many reads each, beside one who wants a turn over and over, who is called OTHER.
    async fn story_of(readers: usize, reads: usize) -> Vec<usize> {
        let (turns, story) = (Turns::new(), Story::default());
        let local = tokio::task::LocalSet::new();
        let giver = turns.clone();
        local.spawn_local(async move { giver.give().await });
        let all: Vec<_> = (0..readers)
            .map(|name| local.spawn_local(reader(turns.join(), name, reads, story.clone())))
            .collect();
        let told = story.clone();
        local.spawn_local(async move {
            loop {
                told.borrow_mut().push(OTHER);
                tokio::task::yield_now().await;
            }
        });
        local
            .run_until(async {
                for one in all {
                    one.await.unwrap()
                }
            })
            .await;
        story.take()
    }

    #[tokio::test]
    async fn others_have_their_turn_after_a_bounded_share() {
        let story = story_of(100, 20).await;
        let longest = story.split(|name| *name == OTHER).map(<[usize]>::len).max().unwrap();
        assert!(longest <= READS_IN_A_TURN, "{longest} reads in a row");
        assert_eq!(story.iter().filter(|name| **name != OTHER).count(), 2000);
    }

    #[tokio::test]
    async fn nobody_is_forgotten_and_who_waits_longest_is_first() {
        let story = story_of(200, 3 * READS_IN_A_TURN).await;
        // Each had its first turn before anybody had a third. (The first turn of all is no wait.)
        let mut counts = vec![0; 200];
        for name in story.into_iter().filter(|name| *name != OTHER) {
            counts[name] += 1;
            assert!(counts[name] <= 2 * READS_IN_A_TURN || counts.iter().all(|count| *count > 0));
        }
        assert_eq!(counts, vec![3 * READS_IN_A_TURN; 200]);
    }

    #[tokio::test]
    async fn who_asks_twice_waits_once() {
        let turns = Turns::new();
        let mut turn = turns.join();
        turn.read(TURN_BYTES);
        std::future::poll_fn(|context| {
            assert!(turn.poll(context).is_pending() && turn.poll(context).is_pending());
            Poll::Ready(())
        })
        .await;
        assert_eq!(turns.waiting.lock().unwrap().len(), 1);
        assert!(turns.begin() && !turns.begin());
    }
}
