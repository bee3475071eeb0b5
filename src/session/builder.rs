//! How a store is built.

use super::Settings;
use super::event::{Event, Events, Listener};
use super::id::{SessionKey, system_random};
use super::state::State;
use super::store::{SessionStore, Shared, Store};
#[cfg(feature = "snapshot")]
use crate::CoarseClock;
use crate::{BuildError, Clock, IdleMap};
use std::fmt;
use std::sync::Arc;

/// Makes a [`SessionStore`], from [`SessionStore::builder`].
///
/// ```
/// use dwell::ManualClock;
/// use dwell::session::{SessionStore, Settings};
/// use std::time::Duration;
///
/// let store = SessionStore::builder(Settings::new(Duration::from_secs(60)))
///     .clock(ManualClock::new())
///     .on_event(|event| println!("{}: {:?}", event.key.tag(), event.kind))
///     .build()?;
/// # Ok::<(), dwell::BuildError>(())
/// ```
#[must_use = "it does nothing until `build`"]
pub struct Builder {
    settings: Settings,
    /// None for the default, which needs no call through a pointer.
    clock: Option<Arc<dyn Clock>>,
    listener: Option<Listener>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Builder {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            clock: None,
            listener: None,
        }
    }

    /// What time it is. Default: [`CoarseClock`](crate::CoarseClock).
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Lets the store's clock begin so long before the origin of the one that it was given, that
    /// sessions can be older than that: the machine may have been started since.
    #[cfg(feature = "snapshot")]
    pub(crate) fn with_a_past(mut self) -> Self {
        struct Late(Arc<dyn Clock>);
        impl Clock for Late {
            fn now_millis(&self) -> u64 {
                // 34 years.
                self.0.now_millis().saturating_add(1 << 40)
            }
        }
        let clock = self.clock.unwrap_or_else(|| Arc::new(CoarseClock));
        self.clock = Some(Arc::new(Late(clock)));
        self
    }

    /// Calls `listener` for each event, in a thread of its own.
    ///
    /// No operation waits for the listener: events queue up while it is busy, until those that wait
    /// take 16 MiB, counted as 256 bytes each and what their sessions' owners and attributes take.
    /// An event for which there is no room then is lost, and each event is either told exactly once
    /// or counted exactly once: [`EventKind::Lost`](super::EventKind::Lost) tells the listener how
    /// many were lost, and [`SessionStats::lost_events`](super::SessionStats::lost_events) how many
    /// in all. A listener that needs more than that hands events to a queue of its own; one that
    /// misses an end finds what it has to clean up by looking at the store.
    ///
    /// If the listener panics, the panic is counted, and the next event is told. Dropping the last
    /// clone of the store waits until all events have been told, but no longer than 5 seconds:
    /// after that the thread tells the rest by itself. A listener must not own the store: neither
    /// would ever be dropped.
    ///
    /// # Panics
    /// [`build`](Self::build) does if the operating system does not give a thread.
    pub fn on_event(mut self, listener: impl FnMut(&Event) + Send + 'static) -> Self {
        self.listener = Some(Box::new(listener));
        self
    }

    /// Builds the store.
    ///
    /// # Errors
    /// If a duration is shorter than a millisecond or longer than 34 years, or if a bound is zero.
    pub fn build(self) -> Result<SessionStore, BuildError> {
        let settings = self.settings;
        // The map would name its own setting instead of `capacity_bytes`.
        let zero = [
            ("max_per_owner", settings.max_per_owner == Some(0)),
            ("max_session_bytes", settings.max_session_bytes == 0),
            ("capacity_bytes", settings.capacity_bytes == Some(0)),
        ];
        if let Some((setting, _)) = zero.into_iter().find(|(_, is_zero)| *is_zero) {
            return Err(BuildError::ZeroCapacity { setting });
        }
        let shared = Arc::new(Shared::new(self.listener.map(Events::new)));
        let told = Arc::clone(&shared);
        let mut map = IdleMap::<SessionKey, State>::builder()
            .idle_timeout(settings.idle_timeout)
            .touch_resolution(settings.touch_resolution)
            .protect(|_, session| session.owner.is_some())
            .on_removal(move |session, cause| told.ended(session, cause));
        if let Some(clock) = &self.clock {
            map = map.clock(Arc::clone(clock));
        }
        if let Some(lifetime) = settings.max_lifetime {
            map = map.max_lifetime(lifetime);
        }
        if let Some(sessions) = settings.capacity {
            map = map.capacity(sessions);
        }
        if let Some(bytes) = settings.capacity_bytes {
            map = map.weight_capacity(bytes, |_, session: &State| {
                u32::try_from(session.size()).unwrap_or(u32::MAX)
            });
        }
        Ok(SessionStore::from_parts(Store {
            sessions: Arc::new(map.build()?),
            shared,
            settings,
            clock: self.clock,
            random: system_random,
        }))
    }
}
