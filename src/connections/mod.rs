//! What both listeners do before a connection may cost anything: one mechanism, so that neither lacks what the
//! other has.
//!
//! A connection costs a descriptor and some memory before it has said a word, and whoever opens it need not be
//! a friend. So:
//!
//! 1. [`descriptors`]: the process has enough descriptors, and some are left for the disk and the peers whatever
//!    comes in;
//! 2. [`incoming`]: accepting goes on whatever fails;
//! 3. [`places`]: a listener has a limited number of places, and so has an address. A newcomer takes the place of
//!    a connection that has not introduced itself, if there is one, else it is refused;
//! 4. [`guarded`]: a connection that does not introduce itself in time is closed. For a client that is the
//!    beginning of HTTP/2, for a peer its identity, and a peer may send little before;
//! 5. [`turns`]: clients are read a bounded share at a time, so that nobody else on their thread waits for long;
//!    [`waiting`] tells how long that makes them wait;
//! 6. [`readers`]: a connection whose answers nobody reads is closed; [`unread`] counts them.
//!
//! What is refused or closed is counted and logged, one line for many ([`notices`]).

pub mod descriptors;
pub mod door;
pub mod guarded;
pub mod incoming;
pub mod notices;
pub mod places;
pub mod readers;
pub mod turns;
pub mod unread;
pub mod waiting;
