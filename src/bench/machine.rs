//! What this machine says about itself and about us.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// The processor time that this process has used so far, on all its threads.
pub fn own_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    // Neither part is ever negative.
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// How many processors we may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Processor time of the whole machine since it started, in its own unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MachineTime {
    /// All of it, idle time included.
    total: u64,
    /// What the hypervisor gave to others while we wanted to run.
    stolen: u64,
}

impl MachineTime {
    /// Now; `None` where there is no `/proc`.
    pub fn now() -> Option<Self> {
        Self::parse(&std::fs::read_to_string("/proc/stat").ok()?)
    }

    /// `cpu  user nice system idle iowait irq softirq steal guest guest_nice`;
    /// the two guest columns are contained in the first two.
    fn parse(stat: &str) -> Option<Self> {
        let mut words = stat.lines().next()?.split_whitespace();
        if words.next()? != "cpu" {
            return None;
        }
        let columns: Vec<u64> = words.take(8).map(str::parse).collect::<Result<_, _>>().ok()?;
        Some(Self { total: columns.iter().sum(), stolen: *columns.get(7)? })
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
    fn steal_is_the_eighth_column() {
        let before = MachineTime::parse("cpu  10 0 10 80 0 0 0 0 0 0\ncpu0 1").unwrap();
        let after = MachineTime::parse("cpu  60 0 10 110 0 0 0 20 5 0\n").unwrap();
        assert!((after.stolen_since(before) - 0.2).abs() < 1e-9);
        assert_eq!(MachineTime::parse("intr 5"), None);
    }

    #[test]
    fn working_uses_processor_time() {
        let before = own_cpu();
        let sum = (0..2_000_000_u64).fold(0, |sum, n| std::hint::black_box(sum ^ n));
        std::hint::black_box(sum);
        assert!(own_cpu() > before);
    }
}
