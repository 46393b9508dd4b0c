//! Bytes that a node holds for others: however many those are, together they are bounded.
//!
//! A [`Budget`] counts; a [`Charge`] stands for bytes and is dropped with them. An [`Account`] is a budget
//! that also knows who holds bytes and does not move: it gives up when others need the room, or after a while.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// So many bytes, shared by all who hold some.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    held: AtomicUsize,
}

impl Budget {
    /// Of so many bytes.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, held: AtomicUsize::new(0) })
    }

    /// Takes bytes, or none if they do not fit.
    pub fn charge(self: &Arc<Self>, bytes: usize) -> Option<Charge> {
        self.try_add(bytes).then(|| Charge { budget: Arc::clone(self), bytes })
    }

    /// Takes bytes that exist already and cannot be refused. Until they are gone the budget may be
    /// overdrawn, and [has no room](Self::has_room).
    pub fn overdraw(self: &Arc<Self>, bytes: usize) -> Charge {
        self.held.fetch_add(bytes, Ordering::AcqRel);
        Charge { budget: Arc::clone(self), bytes }
    }

    /// Whether anything is left.
    pub fn has_room(&self) -> bool {
        self.held() < self.limit
    }

    /// How many bytes are held now.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Acquire)
    }

    /// How many bytes may be held.
    pub fn limit(&self) -> usize {
        self.limit
    }

    fn try_add(&self, bytes: usize) -> bool {
        let add = |held: usize| held.checked_add(bytes).filter(|sum| *sum <= self.limit);
        self.held.fetch_update(Ordering::AcqRel, Ordering::Acquire, add).is_ok()
    }
}

/// Bytes of a budget. Dropping it gives them back.
#[derive(Debug)]
pub struct Charge {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Charge {
    /// Takes more. False: they do not fit, and nothing has changed.
    pub fn grow(&mut self, bytes: usize) -> bool {
        let fits = self.budget.try_add(bytes);
        if fits {
            self.bytes += bytes;
        }
        fits
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

/// Why somebody who holds bytes must give up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GiveUp {
    /// Others need the room.
    Room,
    /// It took too long.
    Late,
}

/// Somebody who holds bytes and waits for a client.
pub trait Holder: Send + Sync {
    /// Lets go of the bytes, at once or very soon.
    fn give_up(&self, why: GiveUp);
}

/// A budget with the list of those who hold some of it and wait for a client, longest first.
pub struct Account {
    budget: Arc<Budget>,
    patience: Patience,
    waiting: Mutex<Waiting>,
}

/// How long a holder may wait for its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// While others need the room.
    pub crowded: Duration,
    /// In any case.
    pub longest: Duration,
}

#[derive(Default)]
struct Waiting {
    /// By number, so in the order in which they began to wait.
    holders: BTreeMap<u64, (Instant, Weak<dyn Holder>)>,
    next: u64,
}

/// How often those who took too long are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

impl Account {
    /// Of so many bytes.
    pub fn new(limit: usize, patience: Patience) -> Arc<Self> {
        Arc::new(Self { budget: Budget::new(limit), patience, waiting: Mutex::default() })
    }

    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// How long a holder may wait.
    pub fn patience(&self) -> Patience {
        self.patience
    }

    /// Has those who wait for long give up until there is room for so many bytes, or nobody waits for long.
    pub fn make_room(&self, bytes: usize) {
        while self.budget.held().saturating_add(bytes) > self.budget.limit {
            if !self.oldest_gives_up(self.patience.crowded, GiveUp::Room) {
                return;
            }
        }
    }

    /// Notes that somebody waits from now on, until the ticket is dropped.
    pub fn wait(self: &Arc<Self>, holder: Weak<dyn Holder>) -> Ticket {
        let mut waiting = self.waiting();
        let number = waiting.next;
        waiting.next += 1;
        waiting.holders.insert(number, (Instant::now(), holder));
        Ticket { account: Arc::clone(self), number }
    }

    /// How many wait.
    pub fn waiting_count(&self) -> usize {
        self.waiting().holders.len()
    }

    /// Has all give up who took too long.
    pub fn sweep(&self) {
        while self.oldest_gives_up(self.patience.longest, GiveUp::Late) {}
    }

    /// Sweeps from time to time, until the account is gone.
    pub async fn keep_sweeping(account: Weak<Self>) {
        while let Some(account) = account.upgrade() {
            account.sweep();
            drop(account);
            tokio::time::sleep(SWEEP_INTERVAL).await;
        }
    }

    fn oldest_gives_up(&self, after: Duration, why: GiveUp) -> bool {
        let holder = {
            let mut waiting = self.waiting();
            let Some(oldest) = waiting.holders.first_entry() else { return false };
            if oldest.get().0.elapsed() < after {
                return false;
            }
            oldest.remove().1
        };
        // Without the lock: giving up drops tickets.
        if let Some(holder) = holder.upgrade() {
            holder.give_up(why);
        }
        true
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Its holders only insert and remove, so poisoning means nothing.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The note that somebody waits.
pub struct Ticket {
    account: Arc<Account>,
    number: u64,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.account.waiting().holders.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_given_back() {
        let budget = Budget::new(100);
        let mut charge = budget.charge(60).unwrap();
        assert!(budget.charge(41).is_none());
        assert!(charge.grow(40) && !charge.grow(1));
        assert!(!budget.has_room());
        let more = budget.overdraw(50);
        assert_eq!(budget.held(), 150);
        drop((charge, more));
        assert_eq!(budget.held(), 0);
        assert!(budget.charge(usize::MAX).is_none());
    }

    /// Holds bytes until it must give up.
    struct Lazy(Mutex<Option<Charge>>, Mutex<Option<GiveUp>>);

    impl Holder for Lazy {
        fn give_up(&self, why: GiveUp) {
            *self.1.lock().unwrap() = Some(why);
            *self.0.lock().unwrap() = None;
        }
    }

    fn lazy(account: &Arc<Account>, bytes: usize) -> (Arc<Lazy>, Ticket) {
        let charge = account.budget().charge(bytes);
        let lazy = Arc::new(Lazy(Mutex::new(Some(charge.unwrap())), Mutex::default()));
        let holder: Arc<dyn Holder> = lazy.clone();
        (lazy, account.wait(Arc::downgrade(&holder)))
    }

    #[test]
    fn the_longest_waiting_make_room_and_no_more_than_needed() {
        let account = Account::new(100, Patience { crowded: Duration::ZERO, longest: Duration::MAX });
        let (first, _a) = lazy(&account, 40);
        let (second, _b) = lazy(&account, 40);
        account.make_room(20);
        assert_eq!(*first.1.lock().unwrap(), None);
        account.make_room(21);
        assert_eq!(*first.1.lock().unwrap(), Some(GiveUp::Room));
        assert_eq!(*second.1.lock().unwrap(), None);
        assert_eq!((account.budget().held(), account.waiting_count()), (40, 1));
        account.sweep();
        assert_eq!(*second.1.lock().unwrap(), None);
    }

    #[test]
    fn those_who_have_just_come_are_spared() {
        let account = Account::new(100, Patience { crowded: Duration::MAX, longest: Duration::ZERO });
        let (lazy, _ticket) = lazy(&account, 100);
        account.make_room(1);
        assert_eq!(*lazy.1.lock().unwrap(), None);
        account.sweep();
        assert_eq!(*lazy.1.lock().unwrap(), Some(GiveUp::Late));
    }
}
