//! What the bytes of the segments mean. Pure.

use crate::storage::codec::Malformed;
use crate::storage::journal::record::{self, Record};
use crate::storage::journal::sector::{Header, SECTOR, Salt};
use crate::types::ClusterId;
use bytes::Bytes;
use std::ops::Range;

/// A segment as it was read.
pub(crate) struct Image {
    pub number: u32,
    pub content: Vec<u8>,
}

/// Why a journal cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    pub place: String,
    pub reason: String,
}

/// What a journal holds.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// None: it was never used.
    pub secret: Option<u64>,
    /// Where it goes on: the segment in use, and the place in it.
    pub end: Option<(u32, usize)>,
    /// Of the segment in use.
    pub generation: u64,
    /// The last record.
    pub number: u64,
    /// Its checksum.
    pub chain: u32,
    /// The whole groups behind what the store holds, with the number of their last record.
    pub groups: Vec<(u64, Bytes)>,
    /// Full segments with the number of their last record, the oldest first.
    pub full: Vec<(u64, u32)>,
    /// Segments that were never used.
    pub idle: Vec<u32>,
    /// Remains of torn writes that read as records.
    pub torn: Vec<(u32, Range<usize>)>,
}

/// A segment in use.
struct Used<'a> {
    number: u32,
    content: &'a [u8],
    header: Header,
}

/// Judges a journal of which the store holds all up to the record `stored`, and whose witness says `noted`.
pub(crate) fn judge(
    images: &[Image],
    cluster: ClusterId,
    stored: u64,
    noted: u64,
) -> Result<Verdict, Damage> {
    let mut verdict = Verdict::default();
    let used = read_headers(images, cluster, &mut verdict)?;
    let Some(secret) = used.first().map(|segment| segment.header.secret) else {
        check_end(&verdict, stored.max(noted), "nothing")?;
        return Ok(verdict);
    };
    verdict.secret = Some(secret);
    let salt = Salt::new(cluster, secret);
    let start = first_needed(&used, stored)?;
    let end = walk(&used[start..], salt, stored, &mut verdict)?;
    let proven = proven(&used, salt).max(stored).max(noted);
    check_end(&verdict, proven, &end)?;
    verdict.full = full(&used);
    verdict.torn = torn(&used, salt, &verdict);
    Ok(verdict)
}

/// The segments in use, in the order of their use.
fn read_headers<'a>(
    images: &'a [Image],
    cluster: ClusterId,
    verdict: &mut Verdict,
) -> Result<Vec<Used<'a>>, Damage> {
    let mut used: Vec<Used<'a>> = Vec::new();
    for Image { number, content } in images {
        let sector = content.get(..SECTOR).filter(|_| content.len() % SECTOR == 0);
        let sector = sector.ok_or_else(|| damage(*number, format!("it has {} bytes", content.len())))?;
        let header = Header::decode(cluster, sector).map_err(|Malformed(reason)| damage(*number, reason))?;
        match header {
            None => verdict.idle.push(*number),
            Some(header) => used.push(Used { number: *number, content, header }),
        }
    }
    used.sort_by_key(|segment| segment.header.generation);
    for pair in used.windows(2) {
        let [one, two] = pair else { continue };
        if one.header.generation == two.header.generation {
            return Err(damage(two.number, format!("it has the header of segment-{}", one.number)));
        }
        if one.header.secret != two.header.secret {
            return Err(damage(two.number, "it is of another directory"));
        }
    }
    Ok(used)
}

/// Where the records begin that the store does not hold. What lies before may be overwritten in part: the
/// store holds it.
fn first_needed(used: &[Used<'_>], stored: u64) -> Result<usize, Damage> {
    let reaches_down = |segment: &Used<'_>| segment.header.first <= stored + 1;
    used.iter().rposition(reaches_down).ok_or_else(|| {
        let first = used.first().map_or(0, |segment| segment.header.first);
        Damage {
            place: "the log".into(),
            reason: format!(
                "the store holds the journal up to record {stored}, but the journal begins with record {first}: \
                 acknowledged entries or votes are lost"
            ),
        }
    })
}

/// Follows the chain; answers where it ends.
fn walk(used: &[Used<'_>], salt: Salt, stored: u64, verdict: &mut Verdict) -> Result<String, Damage> {
    let mut group: Option<Vec<u8>> = None;
    let mut place = String::new();
    for (at, Used { number, content, header }) in used.iter().enumerate() {
        if at == 0 {
            (verdict.number, verdict.chain) = (header.first - 1, header.chain);
        } else if header.generation != verdict.generation + 1
            || header.first != verdict.number + 1
            || header.chain != verdict.chain
        {
            let reason = format!(
                "it begins with record {} of generation {}, but what comes before ends at {place} with record {} of \
                 generation {}: acknowledged entries or votes are lost",
                header.first, header.generation, verdict.number, verdict.generation
            );
            return Err(damage(*number, reason));
        }
        verdict.generation = header.generation;
        let mut offset = SECTOR;
        while let Some(record) = next(content, offset, salt, verdict) {
            (verdict.number, verdict.chain) = (record.head.number, record.checksum);
            offset += record.size();
            take(&record, stored, &mut group, verdict)
                .map_err(|reason| damage(*number, format!("record {}: {reason}", record.head.number)))?;
        }
        verdict.end = Some((*number, offset));
        place = format!("byte {offset} of segment-{number}");
    }
    Ok(place)
}

/// The record that goes on from where the chain is.
fn next<'a>(content: &'a [u8], offset: usize, salt: Salt, verdict: &Verdict) -> Option<Record<'a>> {
    let record = record::decode(salt, content.get(offset..)?)?;
    let head = record.head;
    let goes_on = head.generation == verdict.generation
        && head.number == verdict.number + 1
        && head.chain == verdict.chain;
    goes_on.then_some(record)
}

/// Adds a record to the group that it belongs to.
fn take(
    record: &Record<'_>,
    stored: u64,
    group: &mut Option<Vec<u8>>,
    verdict: &mut Verdict,
) -> Result<(), &'static str> {
    let head = record.head;
    if head.number <= stored {
        return Ok(());
    }
    if head.begins {
        // A group that is begun and not ended was torn; what came after the crash goes on behind it.
        *group = Some(Vec::new());
    }
    let bytes = group.as_mut().ok_or("it goes on with a group that never began")?;
    bytes.extend_from_slice(record.body);
    if head.ends {
        verdict.groups.push((head.number, std::mem::take(bytes).into()));
        *group = None;
    }
    Ok(())
}

/// The last record that is proven to have been durable, by whatever can be read.
fn proven(used: &[Used<'_>], salt: Salt) -> u64 {
    let by_header = used.iter().map(|segment| segment.header.first - 1);
    let by_record =
        used.iter().flat_map(|segment| records(segment, salt)).map(|(_, record)| record.head.synced);
    by_header.chain(by_record).max().unwrap_or_default()
}

fn check_end(verdict: &Verdict, proven: u64, end: &str) -> Result<(), Damage> {
    if verdict.number >= proven {
        return Ok(());
    }
    Err(Damage {
        place: "the end of the journal".into(),
        reason: format!(
            "it ends with record {} ({end}), but record {proven} was once durable: acknowledged entries or votes are lost",
            verdict.number
        ),
    })
}

/// Whatever reads as a record, in the chain or not.
fn records<'a>(segment: &'a Used<'_>, salt: Salt) -> impl Iterator<Item = (usize, Record<'a>)> {
    let sectors = (SECTOR..segment.content.len()).step_by(SECTOR);
    sectors.filter_map(move |at| Some((at, record::decode(salt, &segment.content[at..])?)))
}

/// All but the one in use: each ends where the next begins.
fn full(used: &[Used<'_>]) -> Vec<(u64, u32)> {
    let pairs = used.windows(2);
    pairs.filter_map(|pair| Some((pair.get(1)?.header.first - 1, pair.first()?.number))).collect()
}

/// Remains of writes whose beginning is gone: behind the end, or under a header older than they are.
fn torn(used: &[Used<'_>], salt: Salt, verdict: &Verdict) -> Vec<(u32, Range<usize>)> {
    let mut torn = Vec::new();
    for segment in used {
        let end = verdict.end.filter(|(number, _)| *number == segment.number).map(|(_, offset)| offset);
        for (at, record) in records(segment, salt) {
            let generation = segment.header.generation;
            let is_behind = end.is_some_and(|end| at >= end) && record.head.generation == generation;
            if is_behind || record.head.generation > generation {
                torn.push((segment.number, at..at + record.size()));
            }
        }
    }
    torn
}

fn damage(segment: u32, reason: impl Into<String>) -> Damage {
    Damage { place: format!("segment-{segment}"), reason: reason.into() }
}
