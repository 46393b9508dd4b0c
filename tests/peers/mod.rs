//! Two or more ends of the peers' protocol on loopback, with a listener in the
//! replica's place.

mod append;
mod identity;
mod introduce;
mod node;
mod snapshot;
mod unary;
mod wire;
