//! Processor time, of this process and of the machine.

use procfs::process::Process;
use procfs::{CurrentSI as _, KernelStats};
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// The processor time that this process has used so far, on all its threads.
pub fn own_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    // Neither part is ever negative.
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// How many processors this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The processor time that these processes have used so far. Processes that have ended are not counted.
pub fn cpu_of(processes: &[i32]) -> Duration {
    let ticks: u64 = processes
        .iter()
        .filter_map(|pid| Process::new(*pid).and_then(|process| process.stat()).ok())
        .map(|stat| stat.utime + stat.stime)
        .sum();
    Duration::from_secs_f64(ticks as f64 / procfs::ticks_per_second() as f64)
}

/// Processor time of the whole machine since it started, in its own unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MachineTime {
    /// All of it, including idle time.
    total: u64,
    /// What the hypervisor gave to others while this machine wanted to run.
    stolen: u64,
}

impl MachineTime {
    /// Now; `None` if the kernel does not say.
    pub fn now() -> Option<Self> {
        let time = KernelStats::current().ok()?.total;
        let stolen = time.steal?;
        let waiting = time.iowait.unwrap_or(0) + time.irq.unwrap_or(0) + time.softirq.unwrap_or(0);
        // The time of guests is contained in `user` and `nice`.
        Some(Self { total: time.user + time.nice + time.system + time.idle + waiting + stolen, stolen })
    }

    /// The share that was stolen since `earlier`.
    pub fn stolen_since(self, earlier: Self) -> f64 {
        let total = self.total.saturating_sub(earlier.total);
        let stolen = self.stolen.saturating_sub(earlier.stolen);
        if total == 0 { 0.0 } else { stolen as f64 / total as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stolen_share_is_of_the_time_in_between() {
        let before = MachineTime { total: 100, stolen: 0 };
        let after = MachineTime { total: 200, stolen: 20 };
        assert!((after.stolen_since(before) - 0.2).abs() < 1e-9);
        assert!(MachineTime::now().is_some());
    }

    #[test]
    fn working_uses_processor_time() {
        let before = own_cpu();
        let sum = (0..2_000_000_u64).fold(0, |sum, n| std::hint::black_box(sum ^ n));
        std::hint::black_box(sum);
        assert!(own_cpu() > before);
        assert!(cpu_of(&[std::process::id().cast_signed()]) >= before.saturating_sub(TICK));
        assert_eq!(cpu_of(&[i32::MAX]), Duration::ZERO, "no such process");
    }

    /// The kernel counts other processes' time in these.
    const TICK: Duration = Duration::from_millis(20);
}
