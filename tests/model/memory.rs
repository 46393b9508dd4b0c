//! Memoised reactions. The same server gets the same input in many states of the world, and reacts the same
//! in all of them.

use crate::model::server::{Input, Reaction, Rules, Server};
use std::any::Any;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

/// What came of an input.
#[derive(Clone, Debug)]
pub enum Reacted {
    /// Nothing at all.
    Nothing,
    Reaction(Arc<Reaction>),
    /// An assertion failed, of the core or of the model.
    Panic(Arc<str>),
}

/// By server and input, in parts that threads use side by side.
pub struct Memory {
    parts: [Mutex<HashMap<(u64, u64), Reacted>>; 64],
    rules: Rules,
}

impl Memory {
    pub fn new(rules: Rules) -> Self {
        Self { parts: std::array::from_fn(|_| Mutex::default()), rules }
    }

    /// `fingerprint` is the server's.
    pub fn react(&self, server: &Server, fingerprint: u64, input: &Input) -> Reacted {
        let mut hasher = DefaultHasher::new();
        input.hash(&mut hasher);
        let key = (fingerprint, hasher.finish());
        let part = &self.parts[usize::try_from(key.0 ^ key.1).unwrap_or(0) % self.parts.len()];
        if let Some(known) = part.lock().unwrap().get(&key) {
            return known.clone();
        }
        let outcome = self.compute(server, fingerprint, input);
        part.lock().unwrap().insert(key, outcome.clone());
        outcome
    }

    /// How many different reactions there were.
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.lock().unwrap().len()).sum()
    }

    fn compute(&self, server: &Server, fingerprint: u64, input: &Input) -> Reacted {
        match catch_unwind(AssertUnwindSafe(|| server.react(input, self.rules))) {
            Err(panic) => Reacted::Panic(message_of(&*panic)),
            Ok(None) => Reacted::Nothing,
            Ok(Some(reaction)) => {
                let Reaction { sent, applied, reads, .. } = &reaction;
                let is_silent = sent.is_empty() && applied.is_empty() && reads.is_empty();
                if is_silent && reaction.fingerprint == fingerprint {
                    return Reacted::Nothing;
                }
                Reacted::Reaction(Arc::new(reaction))
            }
        }
    }
}

/// What a panic said.
pub fn message_of(panic: &(dyn Any + Send)) -> Arc<str> {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words").into()
}
