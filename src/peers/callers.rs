//! Which process of a peer may stream to this node.
//!
//! A newer stream replaces an older one: the older may be what a process that was killed has left. Two processes on
//! copies of one data directory would replace each other forever. They show by this: a process that was replaced comes
//! again, while the one that replaced it is still there.

use std::collections::VecDeque;

/// How many replaced processes are remembered; more copies of one directory than that flap.
const REPLACED_MAX: usize = 8;

/// A run of the peer's program, and from where it calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Its number; 0: it did not say.
    pub process: u64,
    pub from: String,
}

/// The one whose stream is open, and those that it and its forerunners replaced.
#[derive(Debug, Default)]
pub struct Callers {
    open: Option<Caller>,
    replaced: VecDeque<u64>,
    /// The pair that was reported last.
    last_reported: Option<(u64, u64)>,
}

/// The peer runs twice.
#[derive(Debug, PartialEq, Eq)]
pub struct RunsTwice {
    /// From where the process calls whose stream is open.
    pub other: String,
    /// Whether these two were not reported before.
    pub is_news: bool,
}

impl Callers {
    /// A process opens a stream.
    pub fn opens(&mut self, caller: Caller) -> Result<(), RunsTwice> {
        match &self.open {
            Some(open) if open.process != caller.process && open.process != 0 && caller.process != 0 => {
                if self.replaced.contains(&caller.process) {
                    let pair = Some((open.process, caller.process));
                    let is_news = std::mem::replace(&mut self.last_reported, pair) != pair;
                    return Err(RunsTwice { other: open.from.clone(), is_news });
                }
                self.replaced.push_back(open.process);
                if self.replaced.len() > REPLACED_MAX {
                    self.replaced.pop_front();
                }
            }
            // Alone it may come again.
            _ => self.replaced.retain(|replaced| *replaced != caller.process),
        }
        self.open = Some(caller);
        Ok(())
    }

    pub fn ended(&mut self) {
        self.open = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(process: u64) -> Caller {
        Caller { process, from: format!("p{process}") }
    }

    fn duplicate(other: u64, is_news: bool) -> Result<(), RunsTwice> {
        Err(RunsTwice { other: format!("p{other}"), is_news })
    }

    #[test]
    fn a_process_that_was_replaced_does_not_replace_its_successor() {
        let mut callers = Callers::default();
        assert_eq!([1, 1, 2, 2].map(|process| callers.opens(caller(process)).is_ok()), [true; 4]);
        assert_eq!(callers.opens(caller(1)), duplicate(2, true));
        assert_eq!(callers.opens(caller(1)), duplicate(2, false));
        assert_eq!(callers.opens(caller(3)), Ok(()), "a new one may be the second, started again");
        assert_eq!(callers.opens(caller(1)), duplicate(3, true));
        callers.ended();
        assert_eq!(callers.opens(caller(1)), Ok(()), "the other is gone");
        assert_eq!(callers.opens(caller(3)), Ok(()), "it was not replaced so far");
        assert_eq!(callers.opens(caller(1)), duplicate(3, false));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_who_says_nothing_replaces_as_before() {
        let mut callers = Callers::default();
        assert!((1..100).all(|process| callers.opens(caller(process)).is_ok()));
        assert_eq!(callers.replaced.len(), REPLACED_MAX);
        assert!([0, 98, 0, 99, 0].iter().all(|process| callers.opens(caller(*process)).is_ok()));
    }
}
