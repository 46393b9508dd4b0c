//! What the bytes of the segments mean: whole, torn or damaged. Pure.

use crate::storage::codec::Malformed;
use crate::storage::journal::floor::Floor;
use crate::storage::journal::record::{self, Record};
use crate::storage::journal::sector::{Header, SECTOR, Salt};
use crate::types::DirectoryId;
use bytes::Bytes;
use std::ops::Range;

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

/// The content of a journal.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// `None`: it was never used.
    pub secret: Option<u64>,
    /// The newest one that is durable.
    pub floor: Floor,
    /// Where the next record goes: the segment in use, and the offset in it.
    pub end: Option<(u32, usize)>,
    /// The generation of the segment in use.
    pub generation: u64,
    pub number: u64,
    pub chain: u32,
    /// The complete groups after what the store holds and what is not needed, each with the number of its last record.
    pub groups: Vec<(u64, Bytes)>,
    /// Full segments, each with the number of its last record, oldest first.
    pub full: Vec<(u64, u32)>,
    /// Segments that were never used.
    pub idle: Vec<u32>,
    /// Remains of torn writes that can still be read as records.
    pub torn: Vec<(u32, Range<usize>)>,
}

struct Used<'a> {
    number: u32,
    content: &'a [u8],
    header: Header,
}

/// Judges a journal. The store holds everything up to the record `stored`; the witness says `noted`.
pub(crate) fn judge(
    images: &[Image],
    directory: DirectoryId,
    stored: u64,
    noted: u64,
) -> Result<Contents, Damage> {
    let mut contents = Contents::default();
    let used = read_headers(images, directory, &mut contents)?;
    let Some(secret) = used.first().map(|segment| segment.header.secret) else {
        check_end(&contents, stored.max(noted), "nothing")?;
        return Ok(contents);
    };
    contents.secret = Some(secret);
    contents.floor = used.last().map(|segment| segment.header.floor).unwrap_or_default();
    let stored = stored.max(contents.floor.number);
    let salt = Salt::new(directory, secret);
    let start = first_needed(&used, stored)?;
    let end = walk(&used[start..], salt, stored, &mut contents)?;
    let proven = proven(&used, salt).max(stored).max(noted);
    check_end(&contents, proven, &end)?;
    contents.full = full(&used);
    contents.torn = torn(&used, salt, &contents);
    Ok(contents)
}

/// The segments in use, in the order in which they were begun.
fn read_headers<'a>(
    images: &'a [Image],
    directory: DirectoryId,
    contents: &mut Contents,
) -> Result<Vec<Used<'a>>, Damage> {
    let mut used: Vec<Used<'a>> = Vec::new();
    for Image { number, content } in images {
        let sector = content.get(..SECTOR).filter(|_| content.len() % SECTOR == 0);
        let sector = sector.ok_or_else(|| damage(*number, format!("it has {} bytes", content.len())))?;
        let header =
            Header::decode(directory, sector).map_err(|Malformed(reason)| damage(*number, reason))?;
        match header {
            None => contents.idle.push(*number),
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

/// The first segment with records that the store does not hold. What comes before may be partly overwritten:
/// the store holds it.
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

/// Follows the chain; returns a description of where it ends.
fn walk(used: &[Used<'_>], salt: Salt, stored: u64, contents: &mut Contents) -> Result<String, Damage> {
    let mut group: Option<Vec<u8>> = None;
    let mut place = String::new();
    for (at, Used { number, content, header }) in used.iter().enumerate() {
        if at == 0 {
            (contents.number, contents.chain) = (header.first - 1, header.chain);
        } else if header.generation != contents.generation + 1
            || header.first != contents.number + 1
            || header.chain != contents.chain
        {
            let reason = format!(
                "it begins with record {} of generation {}, but what precedes it ends at {place} with record {} of \
                 generation {}: acknowledged entries or votes are lost",
                header.first, header.generation, contents.number, contents.generation
            );
            return Err(damage(*number, reason));
        }
        contents.generation = header.generation;
        let mut offset = SECTOR;
        while let Some(record) = next(content, offset, salt, contents) {
            (contents.number, contents.chain) = (record.head.number, record.checksum);
            offset += record.size();
            take(&record, stored, &mut group, contents)
                .map_err(|reason| damage(*number, format!("record {}: {reason}", record.head.number)))?;
        }
        contents.end = Some((*number, offset));
        place = format!("byte {offset} of segment-{number}");
    }
    Ok(place)
}

/// The next record of the chain.
fn next<'a>(content: &'a [u8], offset: usize, salt: Salt, contents: &Contents) -> Option<Record<'a>> {
    let record = record::decode(salt, content.get(offset..)?)?;
    let head = record.head;
    let goes_on = head.generation == contents.generation
        && head.number == contents.number + 1
        && head.chain == contents.chain;
    goes_on.then_some(record)
}

/// Adds a record to the group that it belongs to.
fn take(
    record: &Record<'_>,
    stored: u64,
    group: &mut Option<Vec<u8>>,
    contents: &mut Contents,
) -> Result<(), &'static str> {
    let head = record.head;
    if head.number <= stored {
        return Ok(());
    }
    if head.begins {
        // A group that was begun and not ended was torn; what was written after the crash follows it.
        *group = Some(Vec::new());
    }
    let bytes = group.as_mut().ok_or("it continues a group that never began")?;
    bytes.extend_from_slice(record.body);
    if head.ends {
        contents.groups.push((head.number, std::mem::take(bytes).into()));
        *group = None;
    }
    Ok(())
}

/// The last record that was once durable, as proven by anything that can be read.
fn proven(used: &[Used<'_>], salt: Salt) -> u64 {
    let by_header = used.iter().map(|segment| segment.header.first - 1);
    let by_record =
        used.iter().flat_map(|segment| records(segment, salt)).map(|(_, record)| record.head.synced);
    by_header.chain(by_record).max().unwrap_or_default()
}

fn check_end(contents: &Contents, proven: u64, end: &str) -> Result<(), Damage> {
    if contents.number >= proven {
        return Ok(());
    }
    Err(Damage {
        place: "the end of the journal".into(),
        reason: format!(
            "it ends with record {} ({end}), but record {proven} was once durable: acknowledged entries or votes are lost",
            contents.number
        ),
    })
}

/// Everything that can be read as a record, whether in the chain or not.
fn records<'a>(segment: &'a Used<'_>, salt: Salt) -> impl Iterator<Item = (usize, Record<'a>)> {
    let sectors = (SECTOR..segment.content.len()).step_by(SECTOR);
    sectors.filter_map(move |at| Some((at, record::decode(salt, &segment.content[at..])?)))
}

/// All but the segment in use: each ends where the next begins.
fn full(used: &[Used<'_>]) -> Vec<(u64, u32)> {
    let pairs = used.windows(2);
    pairs.filter_map(|pair| Some((pair.get(1)?.header.first - 1, pair.first()?.number))).collect()
}

/// Remains of writes whose beginning is gone: after the end, or under a header that is older than they are.
fn torn(used: &[Used<'_>], salt: Salt, contents: &Contents) -> Vec<(u32, Range<usize>)> {
    let mut torn = Vec::new();
    for segment in used {
        let end = contents.end.filter(|(number, _)| *number == segment.number).map(|(_, offset)| offset);
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
