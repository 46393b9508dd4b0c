//! The meta record: how far the state has come, and what is needed to check that.

use crate::kv::CommandLimits;
use crate::kv::TableError;
use crate::kv::codec::{DecodeError, Reader, Writer};
use crate::kv::compaction::{Collected, Running};
use crate::kv::revisions::Revisions;
use crate::machine::compatibility::{ClusterVersion, newer_state, other_format};
use crate::machine::inventory::Inventory;
use crate::machine::stored::Ordinal;
use crate::types::{EntryId, Index, Revision, Term};
use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

const FORMAT: u8 = 5;

/// Written after the records that it covers, and before the removal of those that it no longer covers: so it
/// is true of every table that a crash can leave. Records after its last one are not part of the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    /// The last entry that the state includes.
    pub(crate) applied: EntryId,
    pub(crate) revisions: Revisions,
    /// The hash over everything ever applied.
    pub(crate) hash: u128,
    /// The cluster's version, which decides which entries can be applied.
    pub(crate) version: ClusterVersion,
    /// The limits on one command.
    pub(crate) limits: CommandLimits,
    /// The last record ever made.
    pub(crate) last: Ordinal,
    /// The live records: those that are not garbage.
    pub(crate) inventory: Inventory,
    /// How far this node has collected versions of keys; differs between nodes.
    pub(crate) collected: Collected,
}

impl Default for Meta {
    /// The meta record of the empty store.
    fn default() -> Self {
        Self {
            applied: EntryId::ZERO,
            revisions: Revisions::default(),
            hash: 0,
            version: ClusterVersion::FOUNDING,
            limits: CommandLimits::FOUNDING,
            last: Ordinal::START,
            inventory: Inventory::default(),
            collected: Collected::default(),
        }
    }
}

impl Meta {
    /// Sorts behind all blocks: so it shares a page of the table with the newest of them, which is written as often.
    pub(crate) const TABLE_KEY: [u8; 1] = [3];

    pub(crate) fn encode(&self) -> Bytes {
        let mut out = Writer::with_capacity(160);
        out.byte(FORMAT);
        for number in [
            self.applied.term.get(),
            self.applied.index.get(),
            self.revisions.current.get(),
            self.revisions.compacted.get(),
        ] {
            out.raw(&number.to_be_bytes());
        }
        out.raw(&self.hash.to_be_bytes());
        out.varint(self.version.get().into());
        out.varint(self.limits.reply_bytes);
        out.varint(self.limits.changes);
        out.varint(self.limits.changed_bytes);
        out.varint(self.limits.work);
        out.varint(self.last.revision.get());
        out.varint(self.last.step);
        out.varint(self.inventory.records);
        out.raw(&self.inventory.sum.to_be_bytes());
        out.varint(self.collected.through.get());
        match &self.collected.running {
            None => out.byte(0),
            Some(Running { target, next, of_next }) => {
                out.byte(1);
                out.varint(target.get());
                out.bytes(next);
                out.varint(of_next.get());
            }
        }
        let crc = crc32c::crc32c(out.written());
        out.raw(&crc.to_be_bytes());
        out.finish()
    }

    pub(crate) fn decode(bytes: &Bytes) -> Result<Self, TableError> {
        let damaged =
            |what: &dyn std::fmt::Display| TableError(format!("the meta record is damaged: {what}"));
        let (body, crc) = (bytes.len().checked_sub(4))
            .map(|length| (bytes.slice(..length), &bytes[length..]))
            .filter(|(body, crc)| crc32c::crc32c(body).to_be_bytes() == **crc)
            .ok_or_else(|| damaged(&"its checksum does not match"))?;
        debug_assert_eq!(crc.len(), 4);
        if let Some(format) = body.first().filter(|format| **format != FORMAT) {
            return Err(other_format("a meta record", *format, FORMAT));
        }
        let meta = Self::read(&body).map_err(|error| damaged(&error))?;
        if meta.version > ClusterVersion::SUPPORTED {
            return Err(newer_state(format_args!("cluster version {}", meta.version)));
        }
        Ok(meta)
    }

    fn read(body: &Bytes) -> Result<Self, DecodeError> {
        let mut from = Reader::new(body);
        from.byte()?;
        let meta = Self {
            applied: EntryId { term: Term(from.u64()?), index: Index(from.u64()?) },
            revisions: Revisions { current: Revision(from.u64()?), compacted: Revision(from.u64()?) },
            hash: from.u128()?,
            version: ClusterVersion(read_u32(&mut from)?),
            limits: CommandLimits {
                reply_bytes: from.varint()?,
                changes: from.varint()?,
                changed_bytes: from.varint()?,
                work: from.varint()?,
            },
            last: Ordinal { revision: Revision(from.varint()?), step: from.varint()? },
            inventory: Inventory { records: from.varint()?, sum: from.u64()? },
            collected: read_collected(&mut from)?,
        };
        from.end()?;
        Ok(meta)
    }

    /// Adds one entry's changes to the hash; `changes` is their hash. What is local to a node (which garbage
    /// it has removed, how it grouped its writes) is not part of it.
    pub(crate) fn fold(&mut self, changes: u128) {
        let mut hasher = Xxh3::new();
        hasher.update(&self.hash.to_be_bytes());
        hasher.update(&changes.to_be_bytes());
        hasher.update(&self.revisions.current.get().to_be_bytes());
        hasher.update(&self.revisions.compacted.get().to_be_bytes());
        hasher.update(&self.version.get().to_be_bytes());
        let CommandLimits { reply_bytes, changes, changed_bytes, work } = self.limits;
        for limit in [reply_bytes, changes, changed_bytes, work] {
            hasher.update(&limit.to_be_bytes());
        }
        self.hash = hasher.digest128();
    }
}

fn read_u32(from: &mut Reader<'_>) -> Result<u32, DecodeError> {
    let number = from.varint()?;
    u32::try_from(number).map_err(|_| from.refuse("a number above 32 bits"))
}

fn read_collected(from: &mut Reader<'_>) -> Result<Collected, DecodeError> {
    let through = Revision(from.varint()?);
    let running = match from.byte()? {
        0 => None,
        1 => Some(Running {
            target: Revision(from.varint()?),
            next: from.bytes()?[..].into(),
            of_next: Revision(from.varint()?),
        }),
        _ => return Err(from.refuse("an unknown flag")),
    };
    Ok(Collected { through, running })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta() -> Meta {
        Meta {
            applied: EntryId::new(3, 9),
            revisions: Revisions { current: Revision(7), compacted: Revision(5) },
            hash: u128::MAX / 3,
            last: Ordinal { revision: Revision(7), step: 300 },
            inventory: Inventory { records: 3, sum: u64::MAX / 5 },
            collected: Collected {
                through: Revision(3),
                running: Some(Running { target: Revision(5), next: b"key"[..].into(), of_next: Revision(4) }),
            },
            ..Meta::default()
        }
    }

    #[test]
    fn it_comes_back_and_damage_is_noticed() {
        let bytes = meta().encode();
        assert_eq!(Meta::decode(&bytes), Ok(meta()));
        for at in 0..bytes.len() {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= 0x10;
            assert!(Meta::decode(&damaged.into()).is_err());
            assert!(Meta::decode(&bytes.slice(..at)).is_err());
        }
    }

    #[test]
    fn a_newer_state_is_named() {
        let newer = Meta { version: ClusterVersion(9), ..meta() };
        let error = Meta::decode(&newer.encode()).unwrap_err().to_string();
        assert!(error.contains("cluster version 9") && error.contains("up to 1"), "{error}");
        let error = in_format(FORMAT + 1).to_string();
        assert!(
            error.contains(&format!("of format {}", FORMAT + 1)) && error.contains("or a newer one"),
            "{error}"
        );
    }

    #[test]
    fn an_older_state_is_named() {
        let error = in_format(FORMAT - 1).to_string();
        assert!(
            error.contains(&format!("of format {}, which is older", FORMAT - 1)) && !error.contains("newer"),
            "{error}"
        );
    }

    fn in_format(format: u8) -> TableError {
        let mut bytes = meta().encode().to_vec();
        bytes.truncate(bytes.len() - 4);
        bytes[0] = format;
        bytes.extend(crc32c::crc32c(&bytes).to_be_bytes());
        Meta::decode(&bytes.into()).unwrap_err()
    }
}
