//! Between the wire and the domain.
//!
//! On the way in everything is checked: a message converts to a value that the layers below may trust, or is
//! refused with an explanation. On the way out nothing can fail.
//!
//! Conversions borrow the message, since the answer takes the form of the request. Bytes are shared, text is
//! copied once.

pub mod cluster;
pub mod header;
pub mod key_range;
pub mod maintenance;
pub mod read;
pub mod text;
pub mod txn;
pub mod write;
