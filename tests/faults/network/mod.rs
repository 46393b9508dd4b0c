//! Faults of the network.
//!
//! ```text
//! proxy       one directed link: what one node dials to reach another; it has weather
//! pump        the bytes of one connection in one direction, subject to the weather
//! weather     delay, loss, blackhole, throttle
//! namespaces  a network namespace per node, where packets are really dropped (root only)
//! ```
//!
//! TCP hides what happens to packets: a lost one is a pause until it is sent
//! again, a cut cable is silence. So the proxy, which sees bytes and no packets,
//! can do to a connection all that a network can, except for two things that
//! need a namespace: to answer nothing to a SYN, and to lose acknowledgements only.

pub mod namespaces;
pub mod proxy;
mod pump;
mod tests;
pub mod weather;
