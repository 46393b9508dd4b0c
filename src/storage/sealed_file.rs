//! Small JSON files that people can read and that detect damage: the text, then a line with its checksum.
//! Always replaced as a whole.

use crate::storage::descriptors::opening;
use crate::storage::error::StorageError;
use crate::storage::fsync;
use serde::Serialize;
use std::fs;
use std::path::Path;

/// Writes `content` to `path`, durably and atomically.
pub(crate) fn write(path: &Path, content: &impl Serialize) -> Result<(), StorageError> {
    let mut text = serde_json::to_string_pretty(content)
        .map_err(|error| StorageError::damaged(path, "content", error.to_string()))?;
    text.push('\n');
    let seal = format!("crc32c {:08x}\n", crc32c::crc32c(text.as_bytes()));
    text.push_str(&seal);
    fsync::replace_file(path, text.as_bytes())
}

/// Reads it back; `None` if there is no such file.
pub(crate) fn read(path: &Path) -> Result<Option<serde_json::Value>, StorageError> {
    let bytes = match opening(|| fs::read(path)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StorageError::io("read", path)(error)),
    };
    let damaged = |reason: String| StorageError::damaged(path, "the whole file", reason);
    let text = String::from_utf8(bytes).map_err(|_| damaged("it is not text".into()))?;
    let (body, seal) = text
        .strip_suffix('\n')
        .and_then(|text| text.rsplit_once('\n'))
        .ok_or_else(|| damaged("it is cut short".into()))?;
    // The checksum includes the newline before the seal.
    let actual = format!("crc32c {:08x}", crc32c::crc32c(&text.as_bytes()[..body.len() + 1]));
    if seal != actual {
        return Err(damaged(format!("its last line should be {actual:?} for this content, but is {seal:?}")));
    }
    serde_json::from_str(body).map(Some).map_err(|error| damaged(error.to_string()))
}
