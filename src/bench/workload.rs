//! What is sent: keys, values and requests, all from a seed.

use crate::bench::args::Workload;
use crate::bench::plan::{Order, Plan};
use bytes::{BufMut as _, Bytes, BytesMut};
use fastrand::Rng;
use std::io::Write as _;

/// How far into the pool of random bytes a value may begin.
const POOL_SLACK: usize = 4096;

/// How keys and values look. A value can be computed from its key and its tag, so that reads can be checked
/// without remembering what was written.
#[derive(Clone, Debug)]
pub struct Shapes {
    prefix: String,
    key_size: usize,
    key_space: u64,
    value_size: usize,
    pool: Bytes,
}

impl Shapes {
    /// The shapes that a plan asks for.
    pub fn new(plan: &Plan) -> Self {
        let mut rng = Rng::with_seed(plan.seed);
        // Random, so that neither disk nor network can compress it.
        let pool = std::iter::repeat_with(|| rng.u8(..)).take(plan.value_size + POOL_SLACK).collect();
        Self {
            prefix: plan.prefix.clone(),
            key_size: plan.key_size,
            key_space: plan.key_space,
            value_size: plan.value_size,
            pool,
        }
    }

    /// The `number`th key: the prefix, and the number in decimal.
    pub fn key(&self, number: u64) -> Bytes {
        let mut key = BytesMut::with_capacity(self.key_size).writer();
        let width = self.key_size - self.prefix.len();
        write!(key, "{}{number:0width$}", self.prefix).expect("writing to memory");
        key.into_inner().freeze()
    }

    /// The value of a key that a write with this tag sets: the tag, then random bytes.
    pub fn value(&self, number: u64, tag: u64) -> Bytes {
        let head = tag.to_le_bytes();
        let head = &head[..head.len().min(self.value_size)];
        let start = (tag ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15)) as usize % POOL_SLACK;
        let mut value = BytesMut::with_capacity(self.value_size);
        value.put_slice(head);
        value.put_slice(&self.pool[start..start + self.value_size - head.len()]);
        value.freeze()
    }

    /// The tag of a value, if the value is long enough to hold it.
    pub fn tag(value: &[u8]) -> Option<u64> {
        value.first_chunk().map(|head| u64::from_le_bytes(*head))
    }

    /// The number `by` after `number`, cyclically.
    pub fn following(&self, number: u64, by: u64) -> u64 {
        (number + by) % self.key_space
    }

    /// The keys and values of a write. The keys differ, as `count` is at most the key space.
    pub fn pairs(&self, write: Write) -> impl Iterator<Item = (Bytes, Bytes)> {
        (0..write.count).map(move |nth| {
            let number = self.following(write.first, nth);
            (self.key(number), self.value(number, write.tag))
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    Echo,
    Get {
        key: u64,
        /// Whether to read what the asked node has, without asking others.
        local: bool,
    },
    /// Writes one key, or several in one transaction.
    Write(Write),
}

/// What a request writes: `count` keys from `first` on, all with this tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write {
    pub first: u64,
    pub count: u64,
    /// Makes the values of this write unique.
    pub tag: u64,
}

#[derive(Clone, Debug)]
pub struct Generator {
    workload: Workload,
    order: Order,
    batch: u64,
    read_share: f64,
    rng: Rng,
    next: u64,
    stride: u64,
}

impl Generator {
    /// For the `client`th of all clients. In sequential order the clients take turns, so that together they
    /// go through the keys in order.
    pub fn new(plan: &Plan, workload: Workload, client: usize) -> Self {
        let batch = u64::from(plan.batch);
        let seed = plan.seed ^ (client as u64 + 1).wrapping_mul(0xD134_2543_DE82_EF95);
        Self {
            workload,
            order: plan.order,
            batch,
            read_share: plan.read_share,
            rng: Rng::with_seed(seed),
            next: client as u64 * batch % plan.key_space,
            stride: plan.clients as u64 * batch % plan.key_space,
        }
    }

    pub fn next(&mut self, shapes: &Shapes) -> Request {
        match self.workload {
            Workload::Echo => Request::Echo,
            Workload::Get => self.get(shapes, false),
            Workload::LocalGet => self.get(shapes, true),
            Workload::Put => self.put(shapes),
            Workload::Mixed if self.rng.f64() < self.read_share => self.get(shapes, false),
            Workload::Mixed => self.put(shapes),
        }
    }

    fn get(&mut self, shapes: &Shapes, local: bool) -> Request {
        Request::Get { key: self.number(shapes), local }
    }

    fn put(&mut self, shapes: &Shapes) -> Request {
        let first = self.number(shapes);
        Request::Write(Write { first, count: self.batch, tag: self.rng.u64(..) })
    }

    fn number(&mut self, shapes: &Shapes) -> u64 {
        match self.order {
            Order::Random => self.rng.u64(..shapes.key_space),
            Order::Sequential => {
                let number = self.next;
                self.next = shapes.following(number, self.stride);
                number
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn plan(line: &str) -> Plan {
        crate::bench::BenchArgs::parsed(line).unwrap().plan().unwrap()
    }

    fn writes(plan: &Plan, client: usize, count: usize) -> Vec<Write> {
        let shapes = Shapes::new(plan);
        let mut generator = Generator::new(plan, Workload::Put, client);
        let mut write = || match generator.next(&shapes) {
            Request::Write(write) => write,
            other => panic!("{other:?}"),
        };
        (0..count).map(|_| write()).collect()
    }

    #[test]
    fn the_same_seed_makes_the_same_requests_and_each_client_its_own() {
        let plan = plan("put");
        assert_eq!(writes(&plan, 3, 50), writes(&plan, 3, 50));
        assert_ne!(writes(&plan, 3, 50), writes(&plan, 4, 50));
    }

    #[test]
    fn sequential_clients_go_through_all_keys_together() {
        let plan = plan("put --sequential --clients 4 --key-space 12 --batch 1");
        let firsts: Vec<_> = (0..4).map(|c| writes(&plan, c, 3)).collect();
        let all: BTreeSet<u64> = firsts.iter().flatten().map(|write| write.first).collect();
        assert_eq!(all, (0..12).collect());
        assert_eq!(firsts[1].iter().map(|write| write.first).collect::<Vec<_>>(), [1, 5, 9]);
    }

    #[test]
    fn keys_and_values_have_the_asked_sizes() {
        for value_size in [0, 3, 8, 300] {
            let plan = plan(&format!("put --value-size {value_size} --key-size 20"));
            let shapes = Shapes::new(&plan);
            assert_eq!(shapes.key(99).as_ref(), b"bench/00000000000099");
            let value = shapes.value(7, 42);
            assert_eq!(value.len(), value_size);
            assert_eq!(Shapes::tag(&value), (value_size >= 8).then_some(42));
            if value_size > 8 {
                assert_ne!(value, shapes.value(8, 42), "another key has another value");
            }
        }
    }

    #[test]
    fn the_keys_of_a_batch_differ_even_at_the_end_of_the_key_space() {
        let plan = plan("put --key-space 10 --batch 10");
        let shapes = Shapes::new(&plan);
        let write = Write { first: 7, count: 10, tag: 1 };
        let keys: BTreeSet<Bytes> = shapes.pairs(write).map(|(key, _)| key).collect();
        assert_eq!(keys.len(), 10);
    }

    #[test]
    fn the_mix_has_the_asked_share_of_reads() {
        let plan = plan("mixed --read-share 0.9");
        let shapes = Shapes::new(&plan);
        let mut generator = Generator::new(&plan, Workload::Mixed, 0);
        let reads = (0..10_000).filter(|_| matches!(generator.next(&shapes), Request::Get { .. })).count();
        assert!((8_800..9_200).contains(&reads), "{reads}");
    }
}
