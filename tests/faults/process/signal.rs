//! Signals.

use rustix::process::{Pid, Signal, kill_process};

/// Stops the process; it notices nothing, except that time has passed once it goes on.
pub fn pause(pid: u32) {
    send(pid, Signal::STOP);
}

/// Lets it go on.
pub fn resume(pid: u32) {
    send(pid, Signal::CONT);
}

/// Asks it to end in order.
pub fn terminate(pid: u32) {
    send(pid, Signal::TERM);
}

/// A process that has ended, but was not waited for yet, takes any signal.
fn send(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a child's id");
    kill_process(pid, signal).unwrap_or_else(|error| panic!("{signal:?} to {pid:?}: {error}"));
}
