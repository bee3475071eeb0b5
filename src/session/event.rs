//! Events: told on a thread of their own, so that no request waits for a listener.

use super::attributes::Attributes;
use super::id::SessionKey;
use crate::RemovalCause;
use crate::count::{Count, Room, Tally};
use crate::survive::survives;
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What happened to a session.
///
/// ```
/// use dwell::session::{EventKind, SessionStore, Settings};
/// use std::sync::mpsc::channel;
/// use std::time::Duration;
///
/// let (report, reported) = channel();
/// let store = SessionStore::builder(Settings::new(Duration::from_secs(60)))
///     .on_event(move |event| drop(report.send(event.kind)))
///     .build()?;
/// store.create()?.destroy();
/// assert_eq!(reported.recv()?, EventKind::Created);
/// assert_eq!(reported.recv()?, EventKind::Destroyed);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// It was created.
    Created,
    /// Its id was renewed.
    Renewed,
    /// It was destroyed: by its client, its owner, or the application.
    Destroyed,
    /// It was not accessed for its idle timeout.
    ExpiredIdle,
    /// It reached its absolute deadline.
    ExpiredLifetime,
    /// The store was full.
    Evicted,
    /// So many events were lost since the last one of this kind: the listener is slower than the
    /// sessions, and the queue was full. The event's session is that of the first one that was
    /// lost.
    Lost(u64),
}

impl EventKind {
    pub(super) fn of_end(cause: RemovalCause) -> Self {
        match cause {
            RemovalCause::ExpiredIdle => Self::ExpiredIdle,
            RemovalCause::ExpiredLifetime => Self::ExpiredLifetime,
            RemovalCause::Evicted => Self::Evicted,
            // Nothing is ever inserted over a session.
            RemovalCause::Removed | RemovalCause::Replaced => Self::Destroyed,
        }
    }
}

/// An event of a session's life, for [`Builder::on_event`](super::Builder::on_event).
///
/// Each session is created once and ends once, and each creation, renewal and end is either told
/// once or counted once in an event of the kind [`Lost`](EventKind::Lost). `Created` comes first;
/// events of one session that race each other come in any order after it.
///
/// ```
/// use dwell::session::{Event, EventKind};
///
/// /// A line for a log: the tag, never the id.
/// fn line(event: &Event) -> String {
///     format!("{} {:?}", event.key.tag(), event.kind)
/// }
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// To which session. Its tag is what a log may show.
    pub key: SessionKey,
    /// Whose it was at that moment.
    pub owner: Option<Arc<str>>,
    /// The session's attributes at that moment: what an application may have to clean up. They are
    /// kept in memory until the event was told.
    pub attributes: Attributes,
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("kind", &self.kind)
            .field("key", &self.key)
            .field("owner", &self.owner)
            .finish_non_exhaustive()
    }
}

pub(super) type Listener = Box<dyn FnMut(&Event) + Send>;

/// What the events that wait, and the one that is being told, may take in memory.
const QUEUE_BYTES: u64 = 16 << 20;
/// What an event takes beside its session's owner and attributes.
const EVENT_BYTES: u64 = 256;
/// How long dropping a store waits for the listener.
const PATIENCE: Duration = Duration::from_secs(5);

/// The way from the operations to the listener: a queue, and the thread that empties it.
///
/// No operation waits for a listener, and what waits for it has a bound. So an event for which
/// there is no room is lost, and counted in `untold`. The thread that counts the first one puts a
/// notice into the queue, for which there is always room: there is one at the most, since no thread
/// counts a first one again before the thread has met the notice and taken the count. So each event
/// is either told once, or counted once in a loss that is told.
pub(super) struct Events {
    sender: Option<Sender<Message>>,
    thread: JoinHandle<()>,
    shared: Arc<Shared>,
}

struct Shared {
    room: Room,
    untold: Tally,
    lost: Count,
    panics: Count,
}

enum Message {
    /// What happened, and the room that it takes.
    Event(Event, u64),
    /// Events were lost, and that of this session first.
    Lost(SessionKey),
    /// The last message. Dropped when the listener is gone.
    End { _done: Sender<()> },
}

impl Events {
    /// # Panics
    /// If the operating system does not give a thread.
    pub(super) fn new(listener: Listener) -> Self {
        let (sender, queue) = channel();
        let shared = Arc::new(Shared {
            room: Room::new(QUEUE_BYTES),
            untold: Tally::default(),
            lost: Count::default(),
            panics: Count::default(),
        });
        let own = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("dwell-events".into())
            .spawn(move || own.tell_all(&queue, listener))
            .expect("the operating system gives no thread to tell events on");
        Self {
            sender: Some(sender),
            thread,
            shared,
        }
    }

    pub(super) fn send(&self, event: Event) {
        let owner = event.owner.as_ref().map_or(0, |owner| owner.len());
        let size = EVENT_BYTES + (owner + event.attributes.size()) as u64;
        if self.shared.room.take(size) {
            self.put(Message::Event(event, size));
            return;
        }
        self.shared.lost.one();
        if self.shared.untold.one() {
            self.put(Message::Lost(event.key));
        }
    }

    fn put(&self, message: Message) {
        if let Some(sender) = &self.sender {
            // The thread outlives the sender: what it calls is kept from ending it.
            let _ = sender.send(message);
        }
    }

    /// How many events were lost.
    pub(super) fn lost(&self) -> u64 {
        self.shared.lost.get()
    }

    /// How often the listener panicked.
    pub(super) fn panics(&self) -> u64 {
        self.shared.panics.get()
    }
}

impl Drop for Events {
    /// Waits until the listener has been told everything, but not longer than `PATIENCE`. The
    /// thread tells the rest by itself, and ends.
    fn drop(&mut self) {
        let (done, is_done) = channel();
        self.put(Message::End { _done: done });
        drop(self.sender.take());
        // The listener may drop the store.
        if self.thread.thread().id() != thread::current().id() {
            // Nothing is sent: the sender is dropped. The thread is not joined, for its
            // thread-locals may take their time.
            let _ = is_done.recv_timeout(PATIENCE);
        }
    }
}

impl Shared {
    fn tell_all(&self, queue: &Receiver<Message>, mut listener: Listener) {
        for message in queue {
            match message {
                Message::Event(event, size) => {
                    self.tell(&mut listener, &event);
                    // It may be the last to have an attribute, whose `Drop` is the application's.
                    survives(|| drop(event));
                    self.room.give_back(size);
                }
                Message::Lost(key) => {
                    let lost = Event {
                        kind: EventKind::Lost(self.untold.take()),
                        key,
                        owner: None,
                        attributes: Attributes::default(),
                    };
                    self.tell(&mut listener, &lost);
                }
                Message::End { _done } => {
                    survives(|| drop(listener));
                    return;
                }
            }
        }
    }

    fn tell(&self, listener: &mut Listener, event: &Event) {
        if !survives(|| listener(event)) {
            self.panics.one();
        }
    }
}
