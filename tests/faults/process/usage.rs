//! What processes take of the machine: memory, descriptors, threads.

use procfs::process::Process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often it is looked at. Memory needs no luck: the kernel remembers its peak.
const PERIOD: Duration = Duration::from_millis(25);

/// Of one process, or the most of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Resident, in bytes.
    pub memory: u64,
    pub descriptors: usize,
    pub threads: u64,
}

impl Usage {
    /// Now; nothing if the process has ended.
    pub fn now(pid: u32) -> Self {
        let usage = || {
            let process = Process::new(pid.cast_signed())?;
            let status = process.status()?;
            let memory = status.vmrss.unwrap_or(0) << 10;
            Ok::<_, procfs::ProcError>(Self {
                memory,
                descriptors: process.fd_count()?,
                threads: status.threads,
            })
        };
        usage().unwrap_or_default()
    }

    /// The greater of each.
    pub fn max(self, other: Self) -> Self {
        Self {
            memory: self.memory.max(other.memory),
            descriptors: self.descriptors.max(other.descriptors),
            threads: self.threads.max(other.threads),
        }
    }
}

/// The most memory that a process ever had, in bytes, or since [`forget_peak`].
pub fn peak_memory(pid: u32) -> u64 {
    let status = Process::new(pid.cast_signed()).and_then(|process| process.status());
    status.ok().and_then(|status| status.vmhwm).unwrap_or(0) << 10
}

/// The peak of its memory is what it has now.
pub fn forget_peak(pid: u32) {
    // 5: the peak alone (proc(5)). Where that is not allowed the peak is that of its whole life.
    let _ = std::fs::write(format!("/proc/{pid}/clear_refs"), "5");
}

/// Looks at processes until it is asked for the peaks.
pub struct Watch {
    pids: Vec<u32>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Usage>,
}

impl Watch {
    pub fn start(pids: Vec<u32>) -> Self {
        pids.iter().copied().for_each(forget_peak);
        let stop = Arc::new(AtomicBool::new(false));
        let (watched, stopped) = (pids.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let mut most = Usage::default();
            while !stopped.load(Ordering::Relaxed) {
                most = watched.iter().map(|pid| Usage::now(*pid)).fold(most, Usage::max);
                std::thread::sleep(PERIOD);
            }
            most
        });
        Self { pids, stop, thread }
    }

    /// The peaks since the start, each that of the process that had most.
    pub fn finish(self) -> Usage {
        self.stop.store(true, Ordering::Relaxed);
        let most = self.thread.join().unwrap();
        let memory = self.pids.iter().map(|pid| peak_memory(*pid)).max().unwrap_or(0);
        Usage { memory: memory.max(most.memory), ..most }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn what_is_gone_again_was_seen() {
        let mut child = Command::new("sh")
            .args(["-c", "x=$(head -c 50000000 /dev/zero | tr '\\0' x); unset x; echo; read line"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = child.id();
        let watch = Watch::start(vec![pid]);
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0]).unwrap();
        while Usage::now(pid).threads != 1 {}
        let most = watch.finish();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(most.memory > 50_000_000, "{most:?}");
        assert!(most.descriptors >= 3 && most.threads >= 1, "{most:?}");
        assert_eq!(Usage::now(pid), Usage::default(), "it has ended");
    }
}
