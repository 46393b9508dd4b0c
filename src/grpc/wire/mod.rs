//! Between the wire and the domain.
//!
//! Inward everything is checked, since what arrives is the world's and not
//! ours: a message converts to a value that the layers below may trust, or is
//! refused with a sentence. Outward nothing can fail.
//!
//! Conversions borrow the message: the answer is given in the form in which it
//! asked. Bytes are shared, text is copied once.

pub mod cluster;
pub mod header;
pub mod key_range;
pub mod maintenance;
pub mod read;
pub mod text;
pub mod txn;
pub mod write;
