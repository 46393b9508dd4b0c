//! The wall clock of a process, through libfaketime (Debian: `libfaketime`).
//!
//! Only the wall clock. The monotonic clock of a real machine never jumps; and
//! libfaketime cannot even pretend it well: the standard library's condition
//! variables and channels hand the kernel a deadline in monotonic time, by a
//! system call that libfaketime does not see, so that after a faked jump of an
//! hour a thread would sleep for an hour in truth. What does happen to machines,
//! that the monotonic clock went on while nothing ran, is what a paused process
//! sees when it goes on ([`super::signal::pause`]).

use std::path::{Path, PathBuf};
use std::process::Command;

/// The clock of one process, in a file that the library reads every second.
pub struct Clock {
    library: PathBuf,
    file: PathBuf,
    /// How far it always is from the truth, in seconds.
    base: i64,
}

impl Clock {
    /// A clock that is off by `base` seconds, or why there can be none.
    pub fn create(file: PathBuf, base: i64) -> Result<Self, String> {
        let clock = Self { library: library()?, file, base };
        clock.jump(0);
        Ok(clock)
    }

    /// Makes the command's process read this clock.
    pub fn wear(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", &self.library)
            .env("FAKETIME_TIMESTAMP_FILE", &self.file)
            .env("FAKETIME_CACHE_DURATION", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }

    /// Sets it this many seconds before or behind its base, within a second.
    pub fn jump(&self, seconds: i64) {
        // Replaced as a whole: it may be read at any moment.
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("{:+}\n", self.base + seconds)).unwrap();
        std::fs::rename(&new, &self.file).unwrap();
    }

    /// How far it always is from the truth, in seconds.
    pub fn base(&self) -> i64 {
        self.base
    }
}

fn library() -> Result<PathBuf, String> {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    folders
        .chain([PathBuf::from("/usr/lib"), PathBuf::from("/usr/local/lib")])
        .map(|folder| folder.join(Path::new("faketime/libfaketimeMT.so.1")))
        .find(|path| path.is_file())
        .ok_or_else(|| "libfaketime is not installed".to_owned())
}
