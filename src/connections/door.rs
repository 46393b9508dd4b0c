//! How a listener treats those that connect.

use crate::connections::places::Places;
use crate::connections::turns::Turns;
use std::sync::Arc;
use std::time::Duration;

/// What counts as an introduction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Introduction {
    /// The beginning of HTTP/2.
    Preface,
    /// Whatever the services call one ([`Standing::introduce`](crate::connections::places::Standing::introduce)).
    /// Before it at most `bytes` are read; the rest waits in the sender's socket.
    Identity { bytes: usize },
}

/// How a listener treats those that connect. Clones share the places.
#[derive(Clone, Debug)]
pub struct Door {
    pub places: Arc<Places>,
    pub introduction: Introduction,
    /// How long an introduction may take.
    pub introduction_time: Duration,
    /// In which turns they are read; none: as they come.
    pub turns: Option<Arc<Turns>>,
}
