//! The bounds of a search, and where it begins.

use crate::model::server::Rules;
use std::fmt;

/// What is bounded by a number, beside the terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    Ticks,
    Crashes,
    Proposals,
    Reads,
    Compactions,
    Transfers,
    Breaks,
}

/// Each budget by its name in a scope's text.
const NAMES: [(&str, Budget); 7] = [
    ("ticks", Budget::Ticks),
    ("crashes", Budget::Crashes),
    ("proposals", Budget::Proposals),
    ("reads", Budget::Reads),
    ("compactions", Budget::Compactions),
    ("transfers", Budget::Transfers),
    ("breaks", Budget::Breaks),
];

/// How much of each budget is used.
pub type Used = [u8; NAMES.len()];

/// Where the search begins. What was on the way then is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Nothing has happened yet.
    Empty,
    /// n1 leads term 1, and its first entry is applied by all.
    Led,
    /// Likewise, then n1 and n2 have committed a command that n3 has missed, and
    /// n1 has compacted it and sends n3 a snapshot; with short tails it only reads it back.
    Behind,
}

#[derive(Clone, Copy, Debug)]
pub struct Scope {
    pub start: Start,
    /// The highest term.
    pub terms: u64,
    pub rules: Rules,
    /// How often each may happen; `None` for as often as it likes.
    limits: [Option<u8>; NAMES.len()],
}

impl Scope {
    /// `led slow terms=2 crashes=1 …`: a start, `slow` or nothing, and budgets:
    /// a number or `any`. What is not named may not happen.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut scope =
            Self { start: Start::Empty, terms: 1, rules: Rules::default(), limits: [Some(0); NAMES.len()] };
        for word in text.split_whitespace() {
            match word.split_once('=') {
                None => scope.set_flag(word)?,
                Some((name, value)) => scope.set_bound(name, value)?,
            }
        }
        Ok(scope)
    }

    fn set_flag(&mut self, word: &str) -> Result<(), String> {
        match word {
            "empty" => self.start = Start::Empty,
            "led" => self.start = Start::Led,
            "behind" => self.start = Start::Behind,
            "slow" => self.rules.slow_disks = true,
            "prevotes" => self.rules.pre_votes = true,
            "short" => self.rules.short_tails = true,
            "heartbeats" => self.rules.heartbeats = true,
            _ => return Err(format!("'{word}' is not part of a scope")),
        }
        Ok(())
    }

    fn set_bound(&mut self, name: &str, value: &str) -> Result<(), String> {
        let number = value.parse::<u8>();
        if name == "terms" {
            self.terms = number.map_err(|error| format!("{name}={value}: {error}"))?.into();
            return Ok(());
        }
        let known = NAMES.iter().find(|(known, _)| *known == name);
        let (_, budget) = known.ok_or_else(|| format!("'{name}' is not a budget"))?;
        // Each proposal and each read is another one: they would never end.
        let may_be_any = !matches!(budget, Budget::Proposals | Budget::Reads);
        let limit = if value == "any" && may_be_any {
            None
        } else {
            Some(number.map_err(|error| format!("{name}={value}: {error}"))?)
        };
        self.limits[*budget as usize] = limit;
        Ok(())
    }

    /// Whether there is some left.
    pub fn allows(&self, used: &Used, budget: Budget) -> bool {
        self.limits[budget as usize].is_none_or(|limit| used[budget as usize] < limit)
    }

    /// Uses one. What is not bounded is not counted, or the states would not be finite.
    pub fn spend(&self, used: &mut Used, budget: Budget) {
        if self.limits[budget as usize].is_some() {
            used[budget as usize] += 1;
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{:?}, {} terms", self.start, self.terms)?;
        let flags = [
            (self.rules.slow_disks, "slow disks"),
            (self.rules.pre_votes, "pre-votes"),
            (self.rules.heartbeats, "heartbeats"),
            (self.rules.short_tails, "short tails"),
        ];
        for (_, name) in flags.into_iter().filter(|(is_set, _)| *is_set) {
            write!(to, ", {name}")?;
        }
        for (name, budget) in NAMES {
            match self.limits[budget as usize] {
                Some(0) => {}
                Some(limit) => write!(to, ", {limit} {name}")?,
                None => write!(to, ", any {name}")?,
            }
        }
        Ok(())
    }
}
