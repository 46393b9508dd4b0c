//! Bytes that a node holds for others: however many those are, together they are bounded.
//!
//! A [`Budget`] counts; a [`Charge`] stands for what somebody holds, and is dropped with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A limit on bytes, shared by all who hold some.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    held: AtomicUsize,
}

impl Budget {
    /// A budget of `limit` bytes, of which nothing is held.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, held: AtomicUsize::new(0) })
    }

    /// Takes some, or nothing if it does not fit.
    pub fn charge(self: &Arc<Self>, amount: usize) -> Option<Charge> {
        self.charge_within(amount, self.limit)
    }

    /// The same, as long as no more than `most` is held then: less than the limit for those who must leave some to
    /// others, more for what can hardly be refused.
    pub fn charge_within(self: &Arc<Self>, amount: usize, most: usize) -> Option<Charge> {
        self.take(amount, most).then(|| Charge { budget: Arc::clone(self), amount })
    }

    /// Takes some, as long as no more than `most` is held then. Who takes so gives it back.
    pub fn take(&self, amount: usize, most: usize) -> bool {
        let add = |held: usize| held.checked_add(amount).filter(|sum| *sum <= most);
        self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
    }

    /// Gives back what was taken.
    pub fn give_back(&self, amount: usize) {
        self.held.fetch_sub(amount, Ordering::Relaxed);
    }

    /// Whether nothing is left.
    pub fn is_spent(&self) -> bool {
        self.held() >= self.limit
    }

    /// Whether so much is held that those who only wait should make room.
    pub fn is_crowded(&self) -> bool {
        self.held() >= self.limit / 2
    }

    /// How much is held now.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// How much may be held.
    pub fn limit(&self) -> usize {
        self.limit
    }
}

/// A part of a budget. Dropping it gives it back.
#[derive(Debug)]
pub struct Charge {
    budget: Arc<Budget>,
    amount: usize,
}

impl Charge {
    /// It turned out to be so much, which is held in any case.
    pub fn resize(&mut self, amount: usize) {
        if amount > self.amount {
            self.budget.take(amount - self.amount, usize::MAX);
        } else {
            self.budget.give_back(self.amount - amount);
        }
        self.amount = amount;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.give_back(self.amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_given_back() {
        let budget = Budget::new(100);
        let charge = budget.charge(60).unwrap();
        assert!(budget.charge(41).is_none());
        assert!(budget.take(40, 100) && !budget.take(1, 100));
        assert!(budget.is_spent());
        let more = budget.charge_within(50, 200);
        assert_eq!(budget.held(), 150);
        drop((charge, more));
        budget.give_back(40);
        assert_eq!(budget.held(), 0);
        assert!(budget.charge(usize::MAX).is_none());
    }

    #[test]
    fn what_turns_out_otherwise_is_held_all_the_same() {
        let budget = Budget::new(100);
        let mut charge = budget.charge(60).unwrap();
        charge.resize(10);
        assert_eq!(budget.held(), 10);
        charge.resize(150);
        assert_eq!(budget.held(), 150);
        drop(charge);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn some_leave_a_part_to_others() {
        let budget = Budget::new(100);
        let first = budget.charge_within(75, 75);
        assert!(first.is_some() && budget.is_crowded());
        assert!(budget.charge_within(1, 75).is_none());
        assert!(budget.charge(25).is_some());
    }
}
