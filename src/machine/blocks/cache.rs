//! Whole records that were read lately: a hot key is read without the engine.

use crate::machine::stored::Ordinal;
use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::hash::{BuildHasher, Hasher};

/// About what a record takes in addition to its bytes.
const OVERHEAD_BYTES: usize = 96;

/// Bounded in bytes. Entries never become stale, since records never change.
pub(crate) struct Records(Cache<Ordinal, Bytes, Weight, Mix>);

impl Records {
    pub(crate) fn new(bytes: u64) -> Self {
        // An estimate; if it is too low, that costs hits, not memory.
        let records = usize::try_from(bytes / 512).unwrap_or(usize::MAX).max(16);
        Self(Cache::with(records, bytes, Weight, Mix, Default::default()))
    }

    pub(crate) fn get(&self, at: Ordinal) -> Option<Bytes> {
        self.0.get(&at)
    }

    /// Keeps a copy: the record may be part of a block.
    pub(crate) fn insert(&self, at: Ordinal, bytes: &[u8]) -> Bytes {
        let copy = Bytes::copy_from_slice(bytes);
        self.0.insert(at, copy.clone());
        copy
    }
}

#[derive(Clone)]
struct Weight;

impl Weighter<Ordinal, Bytes> for Weight {
    fn weight(&self, _at: &Ordinal, bytes: &Bytes) -> u64 {
        (bytes.len() + OVERHEAD_BYTES) as u64
    }
}

/// Places are not secret and need no random hash.
#[derive(Clone)]
struct Mix;

impl BuildHasher for Mix {
    type Hasher = MixHasher;

    fn build_hasher(&self) -> MixHasher {
        MixHasher(0)
    }
}

struct MixHasher(u64);

impl Hasher for MixHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxhash_rust::xxh3::xxh3_64_with_seed(bytes, self.0);
    }

    fn write_u64(&mut self, number: u64) {
        // The finaliser of MurmurHash3.
        let mut mixed = self.0 ^ number;
        mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        self.0 = mixed ^ (mixed >> 33);
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }
}
