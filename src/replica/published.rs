//! What the loop and the applier publish, without locks.

use crate::machine::{Saver, View};
use crate::raft::Members;
use crate::replica::disk_pace::Look;
use crate::replica::status::Status;
use crate::replica::waiters::ClientsThread;
use crate::types::{Index, Revision};
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The room left on the disk. Followers accept entries for longer than a leader accepts writes, so that the
/// last proposals still find a majority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// More than the reserve.
    Enough,
    /// Part of the reserve: nothing new is proposed.
    Low,
    /// Less than half of the reserve: no entries are taken.
    Gone,
}

#[derive(Debug)]
pub(crate) struct Published {
    view: ArcSwap<View>,
    /// Saves the state that the view is of.
    saver: ArcSwap<Saver>,
    /// The progress of the view, which wakes up waiting reads.
    progress: watch::Sender<(Index, Revision)>,
    status: ArcSwap<Status>,
    /// The same, sent only when role, term, leader or members change.
    changes: watch::Sender<Arc<Status>>,
    /// The members in force, sent only when they change.
    members: watch::Sender<Arc<Members>>,
    /// The bytes of committed entries that wait to be applied.
    unapplied_bytes: AtomicUsize,
    log_bytes: AtomicU64,
    state_bytes: AtomicU64,
    /// The room left on the disk, see [`Room`].
    room: AtomicU8,
    /// What was found when that was last looked at.
    look: ArcSwap<Look>,
    /// Whether the loop has ended on request.
    stopping: AtomicBool,
    start: Instant,
    /// When the loop last turned, in milliseconds after `start`.
    turned: AtomicU64,
    /// How many turns the loop has taken.
    turns: AtomicU64,
    /// How long the log's disk has been silent, in milliseconds.
    disk_silent: AtomicU64,
    /// The longest that one entry took to be applied, in microseconds.
    longest_apply: AtomicU64,
    /// Where clients wait.
    pub(crate) clients_thread: ClientsThread,
}

impl Published {
    pub(crate) fn new(view: View, saver: Saver, status: Status) -> Self {
        let progress = (view.applied().index, view.revision());
        let members = watch::Sender::new(status.members.clone());
        let status = Arc::new(status);
        Self {
            view: ArcSwap::from_pointee(view),
            saver: ArcSwap::from_pointee(saver),
            progress: watch::Sender::new(progress),
            status: ArcSwap::new(status.clone()),
            changes: watch::Sender::new(status),
            members,
            unapplied_bytes: AtomicUsize::new(0),
            log_bytes: AtomicU64::new(0),
            state_bytes: AtomicU64::new(0),
            room: AtomicU8::new(Room::Enough as u8),
            look: ArcSwap::from_pointee(Look { number: 0, free: u64::MAX, reserve: 0 }),
            stopping: AtomicBool::new(false),
            start: Instant::now(),
            turned: AtomicU64::new(0),
            turns: AtomicU64::new(0),
            disk_silent: AtomicU64::new(0),
            longest_apply: AtomicU64::new(0),
            clients_thread: ClientsThread::default(),
        }
    }

    /// Publishes a view for readers. Returns whether some may be waiting for it: then
    /// [`wake_readers`](Self::wake_readers) must follow.
    pub(crate) fn publish(&self, view: View) -> bool {
        let reached = (view.applied().index, view.revision());
        self.view.store(Arc::new(view));
        self.progress.send_if_modified(|progress| {
            *progress = reached;
            false
        });
        // A reader that saw the old progress is counted: it subscribed before it looked.
        self.progress.receiver_count() > 0
    }

    /// Lets waiting readers look at what was published. Call it on the thread where they wait: from any other, each
    /// would cost a system call.
    pub(crate) fn wake_readers(&self) {
        self.progress.send_modify(|_| {});
    }

    /// Publishes another state for readers.
    pub(crate) fn replace(&self, view: View, saver: Saver) {
        self.saver.store(Arc::new(saver));
        self.publish(view);
    }

    pub(crate) fn saver(&self) -> Arc<Saver> {
        self.saver.load_full()
    }

    pub(crate) fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    pub(crate) fn progress(&self) -> watch::Receiver<(Index, Revision)> {
        self.progress.subscribe()
    }

    pub(crate) fn applied(&self) -> Index {
        self.progress.borrow().0
    }

    pub(crate) fn publish_status(&self, status: Status) {
        let status = Arc::new(status);
        self.status.store(status.clone());
        self.changes.send_if_modified(|seen| {
            let other_members = seen.members != status.members;
            let news = (seen.role, seen.term, seen.leader, seen.disk_stalled)
                != (status.role, status.term, status.leader, status.disk_stalled)
                || other_members;
            if other_members {
                self.members.send_replace(status.members.clone());
            }
            if news {
                *seen = status;
            }
            news
        });
    }

    pub(crate) fn status(&self) -> Arc<Status> {
        self.status.load_full()
    }

    pub(crate) fn status_changes(&self) -> watch::Receiver<Arc<Status>> {
        self.changes.subscribe()
    }

    pub(crate) fn members(&self) -> watch::Receiver<Arc<Members>> {
        self.members.subscribe()
    }

    /// Entries of so many bytes were given to the applier.
    pub(crate) fn add_unapplied(&self, bytes: usize) {
        self.unapplied_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// An entry of so many bytes was applied.
    pub(crate) fn sub_unapplied(&self, bytes: usize) {
        self.unapplied_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(crate) fn unapplied_bytes(&self) -> usize {
        self.unapplied_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn set_log_bytes(&self, bytes: u64) {
        self.log_bytes.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn set_state_bytes(&self, bytes: u64) {
        self.state_bytes.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn disk_bytes(&self) -> u64 {
        self.log_bytes.load(Ordering::Relaxed) + self.state_bytes.load(Ordering::Relaxed)
    }

    /// The disk was looked at. Returns the room if that changed.
    pub(crate) fn looked(&self, free: u64, reserve: u64) -> Option<Room> {
        self.look.store(Arc::new(Look { number: self.look().number + 1, free, reserve }));
        let room = match free {
            free if free >= reserve => Room::Enough,
            free if free >= reserve / 2 => Room::Low,
            _ => Room::Gone,
        };
        let changed = self.room.swap(room as u8, Ordering::Relaxed) != room as u8;
        changed.then_some(room)
    }

    /// What the last look at the disk found.
    pub(crate) fn look(&self) -> Look {
        **self.look.load()
    }

    /// Whether a leader takes any writes; if not, it may take those that make room.
    pub(crate) fn has_room_for_proposals(&self) -> bool {
        self.room.load(Ordering::Relaxed) == Room::Enough as u8
    }

    /// Whether entries of any origin are accepted.
    pub(crate) fn has_room_for_entries(&self) -> bool {
        self.room.load(Ordering::Relaxed) != Room::Gone as u8
    }

    /// The loop has ended on request.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.wake_readers();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// The loop has taken a turn; `silent` is how long the log's disk has been silent.
    pub(crate) fn turned(&self, disk_silent: Duration) {
        self.turns.fetch_add(1, Ordering::Relaxed);
        self.turned.store(millis(self.start.elapsed()), Ordering::Relaxed);
        self.disk_silent.store(millis(disk_silent), Ordering::Relaxed);
    }

    /// An entry took so long to be applied.
    pub(crate) fn applied_one_in(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        // Only the applier writes it.
        if micros > self.longest_apply.load(Ordering::Relaxed) {
            self.longest_apply.store(micros, Ordering::Relaxed);
        }
    }

    /// The longest that an entry took.
    pub(crate) fn longest_apply(&self) -> Duration {
        Duration::from_micros(self.longest_apply.load(Ordering::Relaxed))
    }

    /// How often the loop has turned.
    pub(crate) fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// Whether the loop and the disk have answered within `limit`.
    pub(crate) fn is_alive(&self, limit: Duration) -> bool {
        let turned = Duration::from_millis(self.turned.load(Ordering::Relaxed));
        let silent = Duration::from_millis(self.disk_silent.load(Ordering::Relaxed));
        self.start.elapsed().saturating_sub(turned) < limit && silent < limit
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
