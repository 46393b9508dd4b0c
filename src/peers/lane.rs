//! A bounded one-way queue of messages to a peer, in which heartbeats and their answers overtake everything else.

use crate::raft::Message;
use arc_swap::ArcSwapOption;
use futures_util::task::AtomicWaker;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use tokio::sync::mpsc;

/// The sending end. It never waits. Dropping it ends the lane.
#[derive(Debug)]
pub struct LaneSender {
    queue: mpsc::Sender<Message>,
    shared: Arc<Shared>,
    bytes_max: usize,
}

/// The receiving end. Dropping it makes the sender refuse.
#[derive(Debug)]
pub struct LaneReceiver {
    queue: mpsc::Receiver<Message>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// The newest heartbeat, or the newest answer to one. It replaces older ones that are still queued: it
    /// carries a later commit index, and its round confirms all earlier rounds.
    sign_of_life: ArcSwapOption<Message>,
    /// Wakes the receiver when there is one.
    waker: AtomicWaker,
    bytes: AtomicUsize,
}

/// A lane that holds at most `messages` messages, and about `bytes` bytes.
pub fn lane(messages_max: usize, bytes_max: usize) -> (LaneSender, LaneReceiver) {
    let (sender, receiver) = mpsc::channel(messages_max);
    let shared = Arc::new(Shared::default());
    (
        LaneSender { queue: sender, shared: shared.clone(), bytes_max },
        LaneReceiver { queue: receiver, shared },
    )
}

impl LaneSender {
    /// Queues a message. False: the lane is full or has ended, and the message is dropped.
    pub fn send(&self, message: Message) -> bool {
        if let Message::Heartbeat(_) | Message::HeartbeatAck { .. } = message {
            self.shared.sign_of_life.store(Some(Arc::new(message)));
            self.shared.waker.wake();
            return !self.queue.is_closed();
        }
        let size = size(&message);
        let before = self.shared.bytes.fetch_add(size, Ordering::Relaxed);
        // A message that is larger than the whole lane may be queued alone, or it could never be sent.
        let fits = before == 0 || before + size <= self.bytes_max;
        if fits && self.queue.try_send(message).is_ok() {
            return true;
        }
        self.shared.bytes.fetch_sub(size, Ordering::Relaxed);
        false
    }
}

impl LaneReceiver {
    /// The next message; `None` once the sender is gone.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Message>> {
        self.shared.waker.register(context.waker());
        if let Some(message) = self.shared.sign_of_life.swap(None) {
            return Poll::Ready(Some(Message::clone(&message)));
        }
        let message = ready!(self.queue.poll_recv(context));
        if let Some(message) = &message {
            self.shared.bytes.fetch_sub(size(message), Ordering::Relaxed);
        }
        Poll::Ready(message)
    }
}

/// About how many bytes a message takes.
fn size(message: &Message) -> usize {
    let entries = match message {
        Message::Append(append) => append.entries.iter().map(|entry| entry.size()).sum(),
        _ => 0,
    };
    64 + entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::{Append, Entry, Heartbeat, Payload, Round};
    use crate::types::{EntryId, Index, Term};
    use bytes::Bytes;
    use std::task::Waker;

    fn append(bytes: usize) -> Message {
        let payload = Payload::Command(Bytes::from(vec![0; bytes]));
        let entries = vec![Entry { id: EntryId::new(1, 1), payload }];
        Message::Append(Append { term: Term(1), prev: EntryId::ZERO, entries, commit: Index(0) })
    }

    fn heartbeat(round: u64) -> Message {
        Message::Heartbeat(Heartbeat { term: Term(1), commit: Index(0), round: Round(round) })
    }

    fn next(lane: &mut LaneReceiver) -> Poll<Option<Message>> {
        lane.poll_next(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn is_bounded_in_messages_and_bytes() {
        let (sender, mut receiver) = lane(2, 1 << 20);
        assert!(sender.send(append(1)) && sender.send(append(1)));
        assert!(!sender.send(append(1)), "a third message");
        assert!(next(&mut receiver).is_ready());
        assert!(sender.send(append(1)), "room again");

        let (sender, mut receiver) = lane(100, 1000);
        assert!(sender.send(append(5000)), "one that is too large passes alone");
        assert!(!sender.send(append(1)), "nothing beside it");
        assert!(next(&mut receiver).is_ready());
        assert!(sender.send(append(400)) && sender.send(append(300)) && !sender.send(append(200)));
    }

    #[test]
    fn the_newest_heartbeat_overtakes() {
        let (sender, mut receiver) = lane(2, 1000);
        assert!(sender.send(append(1)) && sender.send(append(1)));
        assert!(sender.send(heartbeat(7)) && sender.send(heartbeat(8)), "never full for heartbeats");
        assert_eq!(next(&mut receiver), Poll::Ready(Some(heartbeat(8))));
        assert_eq!(next(&mut receiver), Poll::Ready(Some(append(1))));
    }

    #[test]
    fn either_end_ends_it() {
        let (sender, mut receiver) = lane(2, 1000);
        assert!(next(&mut receiver).is_pending());
        drop(sender);
        assert_eq!(next(&mut receiver), Poll::Ready(None));
        let (sender, receiver) = lane(2, 1000);
        drop(receiver);
        assert!(!sender.send(append(1)) && !sender.send(heartbeat(1)));
    }
}
