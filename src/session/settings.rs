//! Settings of a session store, whichever provider keeps it.

use std::time::Duration;

/// Long enough for requests that are under way when an id is renewed, and for little else.
const DEFAULT_GRACE: Duration = Duration::from_secs(5);

/// More than any person has. Without a bound a single account could fill the store, by a script
/// that logs in and keeps no cookie.
const DEFAULT_PER_OWNER: usize = 1_000;

/// Far more than a session should have, and little enough that a few do no harm.
const DEFAULT_SESSION_BYTES: u64 = 4 << 20;

/// A session may outgrow this by what its renewals take, and still weighs what the map can hold.
pub(crate) const GREATEST_SESSION_BYTES: u64 = 16_000_000;

/// How long sessions live, and how many there may be.
///
/// ```
/// use dwell::session::{SessionStore, Settings};
/// use std::time::Duration;
///
/// let settings = Settings::new(Duration::from_secs(30 * 60))
///     .max_lifetime(Duration::from_secs(12 * 60 * 60))
///     .capacity(1_000_000)
///     .max_per_owner(10);
/// let store = SessionStore::builder(settings).build()?;
/// # Ok::<(), dwell::BuildError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "its methods return other settings"]
pub struct Settings {
    /// How long a session lives without being accessed.
    #[doc(alias("time_to_idle", "TTI", "sliding expiration"))]
    pub idle_timeout: Duration,
    /// How long a session lives at most, however often it is accessed. None: no limit.
    #[doc(alias("time_to_live", "TTL", "absolute timeout"))]
    pub max_lifetime: Option<Duration>,
    /// By how much a session's last access must move before an access writes it down. A session may
    /// end by that much before its idle timeout is over, never later.
    pub touch_resolution: Duration,
    /// How long a renewed session's old id still answers. Zero: not at all.
    #[doc(alias("session id rotation", "renewal overlap"))]
    pub grace: Duration,
    /// How many sessions there may be. None: no bound.
    pub capacity: Option<usize>,
    /// How many bytes they may take. None: no bound.
    pub capacity_bytes: Option<u64>,
    /// How many bytes one session may take. More than 16,000,000 counts as that.
    pub max_session_bytes: u64,
    /// How many sessions an owner may have: 1,000 by default. None: no bound.
    #[doc(alias("concurrent sessions", "simultaneous logins"))]
    pub max_per_owner: Option<usize>,
}

impl Settings {
    /// Sessions that end when they were not accessed for so long, that take 4 MiB at the most, and
    /// of which an owner may have 1,000. No other limit; a grace of five seconds.
    pub fn new(idle_timeout: Duration) -> Self {
        Self {
            idle_timeout,
            max_lifetime: None,
            touch_resolution: Duration::ZERO,
            grace: DEFAULT_GRACE,
            capacity: None,
            capacity_bytes: None,
            max_session_bytes: DEFAULT_SESSION_BYTES,
            max_per_owner: Some(DEFAULT_PER_OWNER),
        }
    }

    /// Sets [`max_lifetime`](Self::max_lifetime).
    pub fn max_lifetime(mut self, lifetime: Duration) -> Self {
        self.max_lifetime = Some(lifetime);
        self
    }

    /// Sets [`touch_resolution`](Self::touch_resolution).
    pub fn touch_resolution(mut self, resolution: Duration) -> Self {
        self.touch_resolution = resolution;
        self
    }

    /// Sets [`grace`](Self::grace).
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Sets [`capacity`](Self::capacity). A full store refuses nobody. It ends those first who
    /// never came back, then other sessions without an owner, as
    /// [`Builder::capacity`](crate::Builder::capacity) tells; and a session that has an owner only
    /// if all others have one too: the one that ends first.
    ///
    /// So give more than there are users at a time: where sessions with an owner fill the store, a
    /// visitor without one takes the place of the visitor before.
    pub fn capacity(mut self, sessions: usize) -> Self {
        self.capacity = Some(sessions);
        self
    }

    /// Sets [`capacity_bytes`](Self::capacity_bytes). A full store ends sessions as it does for
    /// [`capacity`](Self::capacity).
    ///
    /// All that belongs to a session is counted: its record, its attributes and their names
    /// ([`Value::size`](super::Value::size)), its owner and its place in the owner index. What is
    /// counted is what it takes at most. Of 38 shapes of sessions none took more from the
    /// allocator, and most took half of it or more; the worst was a `VecDeque<u16>`, which took an
    /// eighth. Not counted: states that were replaced or have ended and that somebody still reads;
    /// what the map keeps ready; events that wait for a slow listener; and what values take that
    /// [`Value::size`](super::Value::size) does not see.
    pub fn capacity_bytes(mut self, bytes: u64) -> Self {
        self.capacity_bytes = Some(bytes);
        self
    }

    /// Sets [`max_session_bytes`](Self::max_session_bytes): a write that would make a session
    /// larger is refused with [`SessionError::TooLarge`](super::SessionError::TooLarge), and
    /// changes nothing. So is one for which [`capacity_bytes`](Self::capacity_bytes) has no room. A
    /// session that is larger already, since it was written under other settings, can be made
    /// smaller.
    ///
    /// In memory the bytes are those of [`capacity_bytes`](Self::capacity_bytes); in Redis those of
    /// the attributes' names and JSON and of the owner. There each request fetches the whole
    /// session, so that large ones hold up others: give less, say 64 KiB.
    pub fn max_session_bytes(mut self, bytes: u64) -> Self {
        self.max_session_bytes = bytes;
        self
    }

    /// How many bytes a session of a store may take.
    pub(crate) fn session_bound(&self) -> u64 {
        let bound = self.max_session_bytes.min(GREATEST_SESSION_BYTES);
        bound.min(self.capacity_bytes.unwrap_or(u64::MAX))
    }

    /// Sets [`max_per_owner`](Self::max_per_owner): a session more ends the owner's that was idle
    /// for the longest time. `None` lifts the bound: for an account that many programs share, say.
    ///
    /// Cost of a login in memory, with `n` sessions of the owner: in proportion to `log n`, and at
    /// the bound one look more for each of the owner's sessions that was used since the last login.
    /// In Redis at the bound: in proportion to `n`.
    ///
    /// ```
    /// use dwell::session::Settings;
    /// use std::time::Duration;
    ///
    /// let settings = Settings::new(Duration::from_secs(60));
    /// assert_eq!(settings.max_per_owner, Some(1_000));
    /// assert_eq!(settings.max_per_owner(5).max_per_owner, Some(5));
    /// assert_eq!(settings.max_per_owner(None).max_per_owner, None);
    /// ```
    pub fn max_per_owner(mut self, sessions: impl Into<Option<usize>>) -> Self {
        self.max_per_owner = sessions.into();
        self
    }
}
