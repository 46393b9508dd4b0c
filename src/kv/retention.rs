//! What the writer and long readers tell each other about physical removal,
//! without a lock.

use crate::kv::model::Refusal;
use crate::types::Revision;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};

/// Shared by a machine and its views.
///
/// A reader first pins, then looks what was collected; the writer first says
/// what it collects, then looks for pins. In the one order of all these steps
/// (hence sequentially consistent) one of the two sees the other.
#[derive(Debug, Default)]
pub(crate) struct Retention {
    /// Records that only reads below this revision need may be gone.
    collected: AtomicU64,
    /// How many readers need all that their view can read.
    pins: AtomicUsize,
}

impl Retention {
    /// Records that only reads below this revision need may be gone.
    pub(crate) fn collected(&self) -> Revision {
        Revision(self.collected.load(SeqCst))
    }

    /// Whether somebody pins.
    pub(crate) fn is_pinned(&self) -> bool {
        self.pins.load(SeqCst) > 0
    }

    /// Keeps all that reads from `oldest` on need until the pin is dropped.
    /// Refused if some of that may be gone already.
    pub(crate) fn pin(self: &Arc<Self>, oldest: Revision) -> Result<Pin, Refusal> {
        self.pins.fetch_add(1, SeqCst);
        let pin = Pin(Arc::clone(self));
        let collected = self.collected();
        if collected > oldest {
            return Err(Refusal::Compacted { requested: oldest, oldest: collected });
        }
        Ok(pin)
    }

    /// The writer wants to remove what only reads below `revision` need. False: not now.
    pub(crate) fn claim(&self, revision: Revision) -> bool {
        // The first look only spares a reader of an old view a refusal without need.
        if self.is_pinned() {
            return false;
        }
        self.collected.fetch_max(revision.get(), SeqCst);
        !self.is_pinned()
    }
}

/// While it lives, nothing is physically removed.
#[derive(Debug)]
pub(crate) struct Pin(Arc<Retention>);

impl Drop for Pin {
    fn drop(&mut self) {
        self.0.pins.fetch_sub(1, SeqCst);
    }
}
