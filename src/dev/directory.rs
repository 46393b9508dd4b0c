//! The directory of a development cluster: created, resumed, or refused.
//!
//! A file `kontiki-dev.json` marks a directory as made by `kontiki dev` and keeps the numbers that its nodes
//! were started with. Nodes remember their peers' addresses and their cluster's token, so other numbers would
//! not bring back the same cluster.

use serde::{Deserialize, Serialize};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

const MARKER_FILE: &str = "kontiki-dev.json";
const FORMAT: u32 = 1;
const DEFAULT_NODES: u16 = 3;
const DEFAULT_BASE_PORT: u16 = 2379;

/// The content of the marker file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Marker {
    /// The version of this format: 1.
    pub format: u32,
    pub nodes: u16,
    pub base_port: u16,
    /// The cluster token, made together with the directory.
    pub token: String,
}

#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// It was not made by `kontiki dev`.
    #[error(
        "{} is not empty and was not made by `kontiki dev` (it has no {MARKER_FILE}). Name an empty or a \
         new directory with --data-dir.", .0.display()
    )]
    NotOurs(PathBuf),
    /// The marker cannot be understood.
    #[error(
        "{}: cannot read this marker: {reason}. If the data does not matter, remove the directory.",
        path.display()
    )]
    BadMarker { path: PathBuf, reason: String },
    /// The cluster in it was made with other numbers.
    #[error(
        "{} holds a cluster made with {flag} {kept}, but {flag} {asked} was given. Leave the flag out to \
         resume that cluster, or name another directory.", path.display()
    )]
    OtherNumbers {
        path: PathBuf,
        flag: &'static str,
        /// What the cluster was made with.
        kept: u16,
        /// What was asked for now.
        asked: u16,
    },
    /// The last port would be above 65535.
    #[error("--base-port {base_port} leaves no room for {nodes} nodes: each takes two ports, up to 65535.")]
    PortsRunOut { base_port: u16, nodes: u16 },
    /// The operating system refused.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was attempted, as a verb.
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

impl DirectoryError {
    /// Whether other flags would help.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::NotOurs(_) | Self::OtherNumbers { .. } | Self::PortsRunOut { .. } => true,
            Self::BadMarker { .. } | Self::Io { .. } => false,
        }
    }
}

/// A directory in use; if temporary, it is removed on drop.
#[derive(Debug)]
pub struct Directory {
    pub path: PathBuf,
    /// Whether it is removed at the end.
    pub temporary: bool,
    /// The numbers of its cluster.
    pub marker: Marker,
    /// Whether it already held a cluster.
    pub resumed: bool,
}

impl Directory {
    /// Opens or creates the directory `wanted`, or creates a temporary one. `nodes` and `base_port` are what
    /// the user asked for, if anything.
    ///
    /// # Errors
    /// If the directory is not ours, holds another cluster, or cannot be written.
    pub fn open(
        wanted: Option<&Path>,
        nodes: Option<u16>,
        base_port: Option<u16>,
    ) -> Result<Self, DirectoryError> {
        let fresh = Marker {
            format: FORMAT,
            nodes: nodes.unwrap_or(DEFAULT_NODES),
            base_port: base_port.unwrap_or(DEFAULT_BASE_PORT),
            token: format!("dev-{:016x}", fastrand::u64(..)),
        };
        let Some(path) = wanted else {
            check_ports(&fresh)?;
            let path = make_temporary()?;
            let directory = Self { path, temporary: true, marker: fresh, resumed: false };
            directory.write_marker()?;
            return Ok(directory);
        };
        let path = std::path::absolute(path).map_err(failed("use", path))?;
        if let Some(marker) = read_marker(&path)? {
            require_same(&path, "--nodes", marker.nodes, nodes)?;
            require_same(&path, "--base-port", marker.base_port, base_port)?;
            check_ports(&marker)?;
            return Ok(Self { path, temporary: false, marker, resumed: true });
        }
        check_ports(&fresh)?;
        std::fs::create_dir_all(&path).map_err(failed("create", &path))?;
        if std::fs::read_dir(&path).map_err(failed("list", &path))?.next().is_some() {
            return Err(DirectoryError::NotOurs(path));
        }
        let directory = Self { path, temporary: false, marker: fresh, resumed: false };
        directory.write_marker()?;
        Ok(directory)
    }

    /// Written under another name and renamed, so that an interruption cannot leave half of it.
    fn write_marker(&self) -> Result<(), DirectoryError> {
        let text = serde_json::to_string_pretty(&self.marker).expect("a marker is plain JSON");
        let part = self.path.join("kontiki-dev.json.part");
        std::fs::write(&part, text + "\n").map_err(failed("write", &part))?;
        let path = self.path.join(MARKER_FILE);
        std::fs::rename(&part, &path).map_err(failed("write", &path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.temporary
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            eprintln!("warning: cannot remove the temporary directory {}: {error}", self.path.display());
        }
    }
}

fn read_marker(dir: &Path) -> Result<Option<Marker>, DirectoryError> {
    let path = dir.join(MARKER_FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(DirectoryError::Io { what: "read", path, source });
        }
    };
    let bad = |reason: String| DirectoryError::BadMarker { path: path.clone(), reason };
    let marker: Marker = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
    if marker.format != FORMAT {
        return Err(bad(format!("its format is {}, this program knows {FORMAT}", marker.format)));
    }
    if !(1..=9).contains(&marker.nodes) {
        return Err(bad(format!("it has {} nodes, but only 1 to 9 are possible", marker.nodes)));
    }
    Ok(Some(marker))
}

fn require_same(
    path: &Path,
    flag: &'static str,
    kept: u16,
    asked: Option<u16>,
) -> Result<(), DirectoryError> {
    match asked {
        Some(asked) if asked != kept => {
            Err(DirectoryError::OtherNumbers { path: path.to_owned(), flag, kept, asked })
        }
        _ => Ok(()),
    }
}

fn check_ports(marker: &Marker) -> Result<(), DirectoryError> {
    let Marker { base_port, nodes, .. } = *marker;
    match base_port.checked_add(2 * nodes - 1) {
        Some(_) => Ok(()),
        None => Err(DirectoryError::PortsRunOut { base_port, nodes }),
    }
}

/// A new directory that only this user can enter.
fn make_temporary() -> Result<PathBuf, DirectoryError> {
    let path = std::env::temp_dir().join(format!("kontiki-dev-{:016x}", fastrand::u64(..)));
    std::fs::DirBuilder::new().mode(0o700).create(&path).map_err(failed("create", &path))?;
    Ok(path)
}

fn failed<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> DirectoryError + 'a {
    move |source| DirectoryError::Io { what, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dir: &Path, nodes: Option<u16>, port: Option<u16>) -> Result<Directory, DirectoryError> {
        Directory::open(Some(dir), nodes, port)
    }

    #[test]
    fn a_given_directory_is_kept_and_resumed_with_its_numbers() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().join("new/deep");
        let first = open(&dir, Some(5), Some(4000)).unwrap();
        assert!(!first.resumed);
        let marker = first.marker.clone();
        drop(first);
        let again = open(&dir, None, None).unwrap();
        assert!(again.resumed && !again.temporary);
        assert_eq!(again.marker, marker, "nodes, port and token are those of the first time");
    }

    #[test]
    fn other_numbers_are_refused_in_plain_words() {
        let tmp = tempfile::tempdir().unwrap();
        open(tmp.path(), Some(3), None).unwrap();
        let error = open(tmp.path(), Some(5), None).unwrap_err().to_string();
        assert!(error.contains("made with --nodes 3, but --nodes 5 was given"), "{error}");
        let error = open(tmp.path(), None, Some(99)).unwrap_err().to_string();
        assert!(error.contains("made with --base-port 2379"), "{error}");
        open(tmp.path(), Some(3), Some(2379)).expect("the same numbers, said aloud, are fine");
    }

    #[test]
    fn a_directory_of_someone_else_is_left_alone() {
        let tmp = tempfile::tempdir().unwrap();
        std::fs::write(tmp.path().join("thesis.tex"), "").unwrap();
        let error = open(tmp.path(), None, None).unwrap_err();
        assert!(matches!(error, DirectoryError::NotOurs(_)));
        assert!(!tmp.path().join(MARKER_FILE).exists());
    }

    #[test]
    fn a_damaged_marker_is_named() {
        let tmp = tempfile::tempdir().unwrap();
        for text in ["{", r#"{"format":2,"nodes":3,"base_port":1,"token":""}"#] {
            std::fs::write(tmp.path().join(MARKER_FILE), text).unwrap();
            let error = open(tmp.path(), None, None).unwrap_err();
            assert!(matches!(error, DirectoryError::BadMarker { .. }), "{error}");
        }
    }

    #[test]
    fn a_temporary_directory_goes_at_the_end() {
        let directory = Directory::open(None, None, None).unwrap();
        let path = directory.path.clone();
        std::fs::create_dir_all(path.join("n1")).unwrap();
        drop(directory);
        assert!(!path.exists());
    }

    #[test]
    fn ports_end_at_65535() {
        assert!(Directory::open(None, Some(3), Some(65530)).is_ok());
        let error = Directory::open(None, Some(3), Some(65531)).unwrap_err();
        assert!(matches!(error, DirectoryError::PortsRunOut { .. }));
    }
}
