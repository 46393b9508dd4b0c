//! The fewest operations that still contradict each other.
//!
//! Leaving an operation out would prove nothing: without the write of 1, the read of 1 is wrong by itself. So
//! an operation is never left out but made *optional*: it may be placed anywhere after its call, or nowhere.
//! That can only make a history easier to explain; if it still has no order, then the operations that were
//! not made optional contradict each other, whatever became of the rest. (A read or a refused swap changed
//! nothing; made optional, it disappears.)

use crate::verify::limits::Limits;
use crate::verify::register::{NEVER, Register, Step};
use crate::verify::search::{Budget, Found, search};
use std::cell::Cell;
use std::collections::HashSet;

/// For a register without an order: a set of operations that has none either, as places in the history, the
/// latest answer last. None of them can be made optional. `reached` is how far the search for an order got.
///
/// It is the shortest such window that ends with the first answer that cannot
/// be explained, as far as searches of bounded cost can tell.
pub(super) fn shrink(register: &Register, reached: u64, limits: &Limits) -> Vec<usize> {
    let shrinker = Shrinker::new(register, limits);
    let mut ends: Vec<u64> = register.required.iter().map(|step| step.completed).collect();
    ends.sort_unstable();
    ends.dedup();
    let last = ends.len() - 1;
    // Both are monotone: a longer prefix, and an earlier start, only add constraints.
    let guess = ends.partition_point(|end| *end < reached);
    let end = first(last, guess, |end| shrinker.contradicts(&shrinker.until(ends[end])));
    let short = shrinker.until(ends[end]);
    let start = end - first(end, 0, |back| shrinker.contradicts(&since(&short, ends[end - back])));
    let mut core = shrinker.fewest(since(&short, ends[start]));
    core.required.sort_by_key(|step| (step.completed, step.invoked));
    core.required.iter().map(|step| step.index).collect()
}

/// What each of the many searches may cost: a smaller window is not worth an hour.
const BUDGET: Budget = Budget { configurations: 1 << 18, looks: 1 << 27 };

/// And for each operation, since even an order that is found at once costs this much.
const PER_OPERATION: Budget = Budget { configurations: 4, looks: 1 << 6 };

/// What they may cost together, at least and for each operation: seconds, and a minute for a million
/// operations. The verdict is known by then, and should not be kept waiting.
const ALL_LOOKS: u64 = 1 << 29;
const ALL_LOOKS_PER_OPERATION: u64 = 1 << 12;

struct Shrinker<'a> {
    register: &'a Register,
    budget: Budget,
    /// The looks that all searches together may still take.
    left: Cell<u64>,
}

impl<'a> Shrinker<'a> {
    fn new(register: &'a Register, limits: &Limits) -> Self {
        let operations = register.required.len();
        let configurations = BUDGET.configurations + PER_OPERATION.configurations * operations;
        let looks = BUDGET.looks + PER_OPERATION.looks * operations as u64;
        let configurations = configurations.min(limits.configurations);
        let left = Cell::new(ALL_LOOKS + ALL_LOOKS_PER_OPERATION * operations as u64);
        Self { register, budget: Budget { configurations, looks }, left }
    }

    /// Whether there is certainly no order. If that costs too much to tell, the set does not count as a
    /// smaller contradiction.
    fn contradicts(&self, register: &Register) -> bool {
        let granted = self.budget.looks.min(self.left.get());
        let mut budget = Budget { looks: granted, ..self.budget };
        let found = search(register, &mut budget);
        self.left.set(self.left.get() - (granted - budget.looks));
        matches!(found, Found::Nothing { .. })
    }

    /// The history as known at a time: later calls are left out, and open operations may have any outcome. If
    /// this has no order, neither has the whole.
    fn until(&self, end: u64) -> Register {
        let called = |steps: &[Step]| steps.iter().filter(|step| step.invoked <= end).copied().collect();
        let all = Register {
            required: called(&self.register.required),
            optional: called(&self.register.optional),
            values: self.register.values,
        };
        weaken(&all, |step| step.completed > end)
    }

    /// Makes optional whatever can be, in halves, then quarters, and so on, while some of the budget is left.
    fn fewest(&self, mut register: Register) -> Register {
        let mut size = register.required.len().div_ceil(2);
        while size > 0 {
            let mut from = 0;
            while from < register.required.len() {
                if self.left.get() == 0 {
                    return register;
                }
                let chunk: HashSet<usize> =
                    register.required[from..].iter().take(size).map(|step| step.index).collect();
                let weaker = weaken(&register, |step| chunk.contains(&step.index));
                if self.contradicts(&weaker) {
                    register = weaker;
                } else {
                    from += size;
                }
            }
            size /= 2;
        }
        register
    }
}

/// The register with everything optional that was answered before a time.
fn since(register: &Register, start: u64) -> Register {
    weaken(register, |step| step.completed < start)
}

fn weaken(register: &Register, which: impl Fn(&Step) -> bool) -> Register {
    let (weaker, required): (Vec<Step>, Vec<Step>) = register.required.iter().partition(|step| which(step));
    let mut optional = register.optional.clone();
    optional.extend(
        weaker.into_iter().filter(|step| step.gives.is_some()).map(|step| Step { completed: NEVER, ..step }),
    );
    let mut register = Register { required, optional, values: register.values };
    register.tidy();
    register
}

/// The first number up to `high` for which `holds` is true, given that it is monotone and true for `high`.
/// Searches around a guess, in steps that double.
fn first(mut high: usize, guess: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut step) = (0, 1);
    let (mut above, mut below) = (false, false);
    let mut probe = guess.min(high.saturating_sub(1));
    while low < high {
        if holds(probe) {
            (high, above) = (probe, true);
        } else {
            (low, below) = (probe + 1, true);
        }
        probe = match (below, above) {
            (true, true) => low.midpoint(high),
            (true, false) => (low + step).min(high.saturating_sub(1)),
            _ => high.saturating_sub(step),
        };
        step *= 2;
    }
    high
}
