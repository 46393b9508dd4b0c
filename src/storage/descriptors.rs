//! A lack of descriptors is not a disk failure. The process keeps some for this folder
//! ([`connections`](crate::connections::descriptors)); if the machine as a whole has none, opening waits a while.

use std::io;
use std::time::{Duration, Instant};

/// How long opening waits: less than what counts as a silent disk.
const PATIENCE: Duration = Duration::from_secs(8);
const PAUSE: Duration = Duration::from_millis(20);

/// `EMFILE` and `ENFILE`: of the process, and of the machine.
const LACK: [rustix::io::Errno; 2] = [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE];

/// Whether an error says that there are no descriptors left.
pub(crate) fn is_lack(error: &io::Error) -> bool {
    LACK.iter().any(|lack| error.raw_os_error() == Some(lack.raw_os_error()))
}

/// Opens something; while there is no descriptor for it, waits and tries again.
pub(crate) fn opening<T>(open: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    opening_within(PATIENCE, open)
}

fn opening_within<T>(patience: Duration, mut open: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let begun = Instant::now();
    let mut warned = false;
    loop {
        match open() {
            Err(error) if is_lack(&error) && begun.elapsed() < patience => {
                if !warned {
                    tracing::warn!(%error, "no file can be opened; waiting for a descriptor");
                    warned = true;
                }
                std::thread::sleep(PAUSE);
            }
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lack() -> io::Error {
        io::Error::from(rustix::io::Errno::MFILE)
    }

    #[test]
    fn a_lack_of_descriptors_passes() {
        let mut times = 0;
        let opened = opening(|| {
            times += 1;
            if times < 3 { Err(lack()) } else { Ok("open") }
        });
        assert_eq!((opened.unwrap(), times), ("open", 3));
    }

    #[test]
    fn neither_does_it_wait_forever_nor_for_anything_else() {
        assert!(is_lack(&opening_within::<()>(Duration::ZERO, || Err(lack())).unwrap_err()));
        let mut times = 0;
        let refused = opening::<()>(|| {
            times += 1;
            Err(io::Error::from(rustix::io::Errno::IO))
        });
        assert!(!is_lack(&refused.unwrap_err()));
        assert_eq!(times, 1);
    }
}
