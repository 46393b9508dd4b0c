//! Memoised Wing–Gong–Lowe search for an order.
//!
//! A depth-first search: from a configuration (which operations are placed already, and what the register
//! holds) it tries each operation that may come next, that is, each that was called before the first of the
//! others completed. It backtracks when none fits, and never enters a configuration twice (Wing and Gong
//! 1993; Lowe 2017). Deciding this is NP-complete (Gibbons and Korach 1997); what makes it fast here, most
//! important first:
//!
//! 1. *No needed value is given up.* A value that an unplaced operation needs, and that nothing will bring
//!    back, is not overwritten. With unique values that leaves hardly a choice.
//! 2. *What changes nothing goes first.* A read that fits now can be placed now: any order that has it later
//!    remains one with it here.
//! 3. *Optional operations wait until something needs them.* See [`Search::optional`].
//!
//! Configurations are remembered by a fingerprint of 128 bits, so memory does not grow with the length of the
//! history times its configurations. The chance that any two of ten million share a fingerprint is below
//! 1e-24.

use crate::verify::register::{ABSENT, NEVER, Needs, Number, Register, Step};
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

/// What the search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// An order that explains every answer, as places in the history.
    Order(Vec<usize>),
    /// There is none. No prefix that was tried includes an answer later than `reached`, so the error is
    /// probably near it.
    Nothing { reached: u64 },
    /// The budget is used up.
    GaveUp,
}

/// What a search may cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    /// How many configurations it may enter, and so must remember.
    pub configurations: usize,
    /// How often it may look at an operation: a few nanoseconds each.
    pub looks: u64,
}

/// Searches for an order, and takes the looks that it cost from the budget.
pub(super) fn search(register: &Register, budget: &mut Budget) -> Found {
    let mut search = Search::new(register);
    let found = search.run(*budget);
    budget.looks = budget.looks.saturating_sub(search.looks);
    found
}

/// Not the number of any value.
const NONE: Number = Number::MAX;

/// What may be done next.
#[derive(Clone, Copy, Debug)]
enum Choice {
    Required(u32),
    Optional(u32),
}

/// A choice that was taken, what held before, and the choices after it.
struct Frame {
    taken: Option<Choice>,
    state: Number,
    spared: Number,
    first: usize,
    next: usize,
    /// Nothing else need be tried: the step before was forced.
    forced: bool,
}

/// Optional operations that need and give the same value. They are placed in the order of their calls: the
/// first is as good as any, since none is ever late.
struct Class {
    needs: Needs,
    gives: Number,
    members: Vec<u32>,
    /// How many of them are placed.
    used: usize,
}

struct Search<'a> {
    register: &'a Register,
    /// A linked ring of the unplaced required operations, by time of call: entry `i + 1` is operation `i`,
    /// and entry 0 is where the ring begins and ends.
    after: Vec<u32>,
    before: Vec<u32>,
    /// Optional operations by what they need and give.
    classes: Vec<Class>,
    /// The class of each optional operation.
    class_of: Vec<u32>,
    /// The classes that give a value, swaps before writes.
    givers: Vec<Vec<u32>>,
    /// By value: how many unplaced required operations need it, and how many unplaced operations give it.
    needed: Vec<u32>,
    given: Vec<u32>,
    state: Number,
    /// The state before the optional operation that was just taken, or `NONE`.
    spared: Number,
    fingerprint: u128,
    seen: HashSet<u128, BuildHasherDefault<AsItIs>>,
    choices: Vec<Choice>,
    looks: u64,
    reached: u64,
}

impl<'a> Search<'a> {
    fn new(register: &'a Register) -> Self {
        let required = u32::try_from(register.required.len()).expect("fewer operations than a u32 counts");
        let mut search = Self {
            register,
            after: (1..=required).chain([0]).collect(),
            before: std::iter::once(required).chain(0..required).collect(),
            classes: Vec::new(),
            class_of: Vec::with_capacity(register.optional.len()),
            givers: vec![Vec::new(); register.values],
            needed: vec![0; register.values],
            given: vec![0; register.values],
            state: ABSENT,
            spared: NONE,
            fingerprint: 0,
            seen: HashSet::default(),
            choices: Vec::new(),
            looks: (register.required.len() + register.optional.len()) as u64,
            reached: 0,
        };
        for step in &register.required {
            if let Needs::Is(value) = step.needs {
                search.needed[value as usize] += 1;
            }
        }
        for step in register.required.iter().chain(&register.optional) {
            if let Some(value) = step.gives {
                search.given[value as usize] += 1;
            }
        }
        search.classify();
        search
    }

    fn classify(&mut self) {
        let mut known: HashMap<(Option<Number>, Number), u32> = HashMap::new();
        for (place, step) in (0..).zip(&self.register.optional) {
            let gives = step.gives.expect("an optional operation that changes nothing is left out");
            let old = if let Needs::Is(old) = step.needs { Some(old) } else { None };
            let class = *known.entry((old, gives)).or_insert_with(|| {
                self.classes.push(Class { needs: step.needs, gives, members: Vec::new(), used: 0 });
                self.classes.len() as u32 - 1
            });
            self.classes[class as usize].members.push(place);
            self.class_of.push(class);
        }
        for (number, class) in (0..).zip(&self.classes) {
            self.givers[class.gives as usize].push(number);
        }
        for givers in &mut self.givers {
            givers.sort_by_key(|class| self.classes[*class as usize].needs == Needs::Anything);
        }
    }

    fn run(&mut self, budget: Budget) -> Found {
        if let Some(reached) = self.hopeless() {
            return Found::Nothing { reached };
        }
        let mut frames = Vec::new();
        let root = self.enter(None, ABSENT, NONE);
        frames.push(root);
        loop {
            if self.after[0] == 0 {
                return Found::Order(self.order(&frames));
            }
            let frame = frames.last_mut().expect("the root is left last");
            if frame.next == self.choices.len() {
                let frame = frames.pop().expect("it is there");
                let Some(taken) = frame.taken else { return Found::Nothing { reached: self.reached } };
                self.choices.truncate(frame.first);
                self.take_back(taken, frame.state, frame.spared);
                continue;
            }
            let (choice, forced) = (self.choices[frame.next], frame.forced);
            frame.next += 1;
            let (state, spared) = (self.state, self.spared);
            if self.take(choice, forced) {
                frames.push(self.enter(Some(choice), state, spared));
            } else {
                self.take_back(choice, state, spared);
            }
            if self.seen.len() > budget.configurations || self.looks > budget.looks {
                return Found::GaveUp;
            }
        }
    }

    /// When the first answer came with a value that nothing ever writes.
    fn hopeless(&self) -> Option<u64> {
        let answers = self.register.required.iter();
        let hopeless = answers.filter(|step| {
            matches!(step.needs, Needs::Is(value) if value != ABSENT && self.given[value as usize] == 0)
        });
        hopeless.map(|step| step.completed).min()
    }

    fn order(&self, frames: &[Frame]) -> Vec<usize> {
        frames.iter().filter_map(|frame| frame.taken).map(|choice| self.step(choice).index).collect()
    }

    fn step(&self, choice: Choice) -> &'a Step {
        match choice {
            Choice::Required(place) => &self.register.required[place as usize],
            Choice::Optional(place) => &self.register.optional[place as usize],
        }
    }

    /// Places an operation next; says whether it is worth going on.
    fn take(&mut self, choice: Choice, forced: bool) -> bool {
        let step = self.step(choice);
        self.fingerprint ^= self.mark(choice);
        match choice {
            Choice::Required(place) => {
                let place = place as usize + 1;
                let (before, after) = (self.before[place], self.after[place]);
                self.after[before as usize] = after;
                self.before[after as usize] = before;
                if let Needs::Is(value) = step.needs {
                    self.needed[value as usize] -= 1;
                }
                self.spared = NONE;
            }
            Choice::Optional(place) => {
                self.classes[self.class_of[place as usize] as usize].used += 1;
                self.spared = self.state;
            }
        }
        let left = self.state;
        if let Some(value) = step.gives {
            self.given[value as usize] -= 1;
            self.state = value;
        }
        let lost = left != self.state && self.needed[left as usize] > 0 && self.given[left as usize] == 0;
        !lost && (forced || self.seen.insert(self.configuration()))
    }

    fn take_back(&mut self, choice: Choice, state: Number, spared: Number) {
        let step = self.step(choice);
        self.fingerprint ^= self.mark(choice);
        match choice {
            Choice::Required(place) => {
                let place = place + 1;
                let (before, after) = (self.before[place as usize], self.after[place as usize]);
                self.after[before as usize] = place;
                self.before[after as usize] = place;
                if let Needs::Is(value) = step.needs {
                    self.needed[value as usize] += 1;
                }
            }
            Choice::Optional(place) => self.classes[self.class_of[place as usize] as usize].used -= 1,
        }
        if let Some(value) = step.gives {
            self.given[value as usize] += 1;
        }
        (self.state, self.spared) = (state, spared);
    }

    /// Lists what may come next; the most promising first.
    fn enter(&mut self, taken: Option<Choice>, state: Number, spared: Number) -> Frame {
        let first = self.choices.len();
        let frame = |forced| Frame { taken, state, spared, first, next: first, forced };
        let mut deadline = NEVER;
        let mut urgent = Needs::Anything;
        let mut open = self.after[0];
        while open != 0 {
            self.looks += 1;
            let step = &self.register.required[open as usize - 1];
            if step.invoked > deadline {
                break;
            }
            if step.completed < deadline {
                (deadline, urgent) = (step.completed, step.needs);
            }
            if self.fits(step) {
                if step.gives.is_none() {
                    self.choices.truncate(first);
                    self.choices.push(Choice::Required(open - 1));
                    return frame(true);
                }
                self.choices.push(Choice::Required(open - 1));
            }
            open = self.after[open as usize];
        }
        // At the end, where nothing is open, there is no deadline.
        self.reached = if deadline == NEVER { self.reached } else { self.reached.max(deadline) };
        self.optional(deadline);
        let wanted = match urgent {
            Needs::Is(value) if value != self.state => Some(value),
            _ => None,
        };
        let mut choices = self.choices.split_off(first);
        choices.sort_by_key(|choice| {
            let step = self.step(*choice);
            (wanted.is_some() && step.gives != wanted, step.completed)
        });
        self.choices.append(&mut choices);
        frame(false)
    }

    /// Whether a required operation may come next: what it needs is there, and was not there before the
    /// optional operation that was placed last.
    fn fits(&self, step: &Step) -> bool {
        step.needs.holds_in(self.state) && (self.spared == NONE || !step.needs.holds_in(self.spared))
    }

    /// Adds the optional operations that may come next.
    ///
    /// If an order exists, then so does one in which what follows an optional
    /// operation would not fit without it: otherwise the optional operation can
    /// be moved behind what follows (which changes nothing), or be left out (as
    /// what follows overwrites it), until it is needed or last and left out. So
    /// only those are tried that give what an open operation needs, or what
    /// another optional operation needs that does.
    ///
    /// Of several that give the same value one is enough, as all were called already. A swap is taken before
    /// a write, which fits in more places later.
    fn optional(&mut self, deadline: u64) {
        if self.register.optional.first().is_none_or(|step| step.invoked > deadline) {
            return;
        }
        for value in self.wanted(deadline) {
            let mut givers = self.givers[value as usize].iter();
            let choice =
                givers.find_map(|class| self.next_of(*class, deadline).filter(|place| self.may(*place)));
            self.choices.extend(choice.map(Choice::Optional));
        }
    }

    fn may(&self, place: u32) -> bool {
        self.fits(&self.register.optional[place as usize])
    }

    /// The next of a class, if it is called already.
    fn next_of(&self, class: u32, deadline: u64) -> Option<u32> {
        let class = &self.classes[class as usize];
        let next = class.members.get(class.used)?;
        (self.register.optional[*next as usize].invoked <= deadline).then_some(*next)
    }

    /// Values other than the present one that would let an open operation be placed, at once or by way of
    /// optional swaps.
    fn wanted(&mut self, deadline: u64) -> Vec<Number> {
        let mut wanted = Vec::new();
        let mut open = self.after[0];
        while open != 0 {
            let step = &self.register.required[open as usize - 1];
            if step.invoked > deadline {
                break;
            }
            match step.needs {
                Needs::Is(value) if value != self.state => wanted.push(value),
                // Any other value would do.
                Needs::IsNot(value) if value == self.state => return self.all_but_this(),
                _ => {}
            }
            self.looks += 1;
            open = self.after[open as usize];
        }
        wanted.sort_unstable();
        wanted.dedup();
        let mut known: HashSet<Number> = wanted.iter().copied().collect();
        let mut next = 0;
        while let Some(value) = wanted.get(next).copied() {
            next += 1;
            for class in &self.givers[value as usize] {
                self.looks += 1;
                if let Needs::Is(old) = self.classes[*class as usize].needs
                    && old != self.state
                    && self.next_of(*class, deadline).is_some()
                    && known.insert(old)
                {
                    wanted.push(old);
                }
            }
        }
        wanted
    }

    fn all_but_this(&mut self) -> Vec<Number> {
        self.looks += self.classes.len() as u64;
        let values =
            self.classes.iter().filter(|class| class.used < class.members.len()).map(|class| class.gives);
        let mut wanted: Vec<Number> = values.filter(|value| *value != self.state).collect();
        wanted.sort_unstable();
        wanted.dedup();
        wanted
    }

    /// The fingerprint of the current configuration.
    fn configuration(&self) -> u128 {
        self.fingerprint ^ scatter(u64::from(self.state) << 32 | u64::from(self.spared), 1)
    }

    fn mark(&self, choice: Choice) -> u128 {
        match choice {
            Choice::Required(place) => scatter(u64::from(place), 2),
            Choice::Optional(place) => scatter(u64::from(place), 3),
        }
    }
}

/// A pseudorandom number: two rounds of SplitMix64.
fn scatter(number: u64, kind: u64) -> u128 {
    let half = |salt: u64| {
        let mut bits = number.wrapping_add(salt.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        for _ in 0..2 {
            bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            bits = (bits ^ bits >> 31).wrapping_add(salt);
        }
        bits
    };
    u128::from(half(2 * kind + 11)) << 64 | u128::from(half(2 * kind + 1_000_012))
}

/// A hasher for keys that are hashes already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write(&mut self, _: &[u8]) {
        unreachable!("only fingerprints are remembered");
    }

    fn write_u128(&mut self, fingerprint: u128) {
        self.0 = fingerprint as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
