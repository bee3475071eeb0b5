//! Events: told on a thread of their own, so that no request waits for a listener.

use super::attributes::Attributes;
use super::id::SessionKey;
use crate::RemovalCause;
use crate::count::Count;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

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
/// Each session is created once and ends once, and each renewal is told once. `Created` comes first; events
/// of one session that race each other come in any order after it.
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
    /// The session's attributes at that moment: what an application may have to clean up.
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

/// The way from the operations to the listener: a queue, and the thread that empties it.
///
/// The queue has no bound, since an event is neither lost nor waited for: a listener should keep up.
pub(super) struct Events {
    sender: Option<Sender<Event>>,
    thread: Option<JoinHandle<()>>,
    panics: Arc<Count>,
}

impl Events {
    /// # Panics
    /// If the operating system does not give a thread.
    pub(super) fn new(listener: Listener) -> Self {
        let (sender, queue) = channel();
        let panics = Arc::new(Count::default());
        let counted = Arc::clone(&panics);
        let thread = thread::Builder::new()
            .name("dwell-events".into())
            .spawn(move || tell(&queue, listener, &counted))
            .expect("the operating system gives no thread to tell events on");
        Self {
            sender: Some(sender),
            thread: Some(thread),
            panics,
        }
    }

    pub(super) fn send(&self, event: Event) {
        if let Some(sender) = &self.sender {
            // The thread outlives the sender.
            let _ = sender.send(event);
        }
    }

    /// How often the listener panicked.
    pub(super) fn panics(&self) -> u64 {
        self.panics.get()
    }
}

impl Drop for Events {
    /// Waits until the listener has been told everything.
    fn drop(&mut self) {
        drop(self.sender.take());
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
        {
            // The listener's panics are caught; there are no others.
            let _ = thread.join();
        }
    }
}

fn tell(queue: &Receiver<Event>, mut listener: Listener, panics: &Count) {
    for event in queue {
        if catch_unwind(AssertUnwindSafe(|| listener(&event))).is_err() {
            panics.one();
        }
    }
}
