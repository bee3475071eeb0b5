//! Session ids: what a client shows, and what the store looks up.
//!
//! An id is 48 bytes from the operating system's generator: a *key* of 16 bytes, by which the store
//! finds the session, and a *secret* of 32 bytes, which proves that the client may have it. The key
//! stays the same for as long as the session lives; a renewal replaces the secret. So a renewal
//! changes one record in one step, the key may be shown in a list of sessions, and whatever is
//! derived from it for a log tells nothing about the secret.

use super::error::SessionError;
use super::text;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::io;
use std::sync::OnceLock;
use subtle::ConstantTimeEq;

const KEY_BYTES: usize = 16;
const SECRET_BYTES: usize = 32;
const ID_BYTES: usize = KEY_BYTES + SECRET_BYTES;

/// Where an id's bytes come from. Fails rather than give bytes that are not random.
pub(crate) type Random = fn(&mut [u8]) -> io::Result<()>;

/// The operating system's generator.
pub(crate) fn system_random(bytes: &mut [u8]) -> io::Result<()> {
    #[cfg(dwell_loom)]
    return crate::internals::session::number(bytes);
    #[cfg(not(dwell_loom))]
    getrandom::fill(bytes).map_err(io::Error::from)
}

/// By what a store finds a session. Stays the same when the session's id is renewed.
///
/// A key is no credential: nobody gets a session for it. It may stand in a page that lists a user's
/// sessions, so that the user can end one of them. `Debug` shows a [`Tag`].
///
/// ```
/// use dwell::session::{SessionKey, SessionStore};
/// use std::time::Duration;
///
/// let store = SessionStore::new(Duration::from_secs(60));
/// let session = store.create()?;
/// let in_a_form = session.key().to_text();
/// assert!(store.destroy(&SessionKey::parse(&in_a_form).unwrap()));
/// # Ok::<(), dwell::session::SessionError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionKey([u8; KEY_BYTES]);

impl Hash for SessionKey {
    /// As one number: half of its random bytes tell keys apart.
    #[inline]
    fn hash<H: Hasher>(&self, to: &mut H) {
        let (words, _) = self.0.as_chunks();
        to.write_u64(words.first().map_or(0, |word| u64::from_ne_bytes(*word)));
    }
}

impl SessionKey {
    /// The length of a key's text, in characters.
    pub const TEXT_LENGTH: usize = 22;

    pub(crate) fn random(random: Random) -> io::Result<Self> {
        let mut bytes = [0; KEY_BYTES];
        random(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// The key as text: 22 characters of base64url.
    pub fn to_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// Reads exactly what [`to_text`](Self::to_text) writes. None for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != Self::TEXT_LENGTH {
            return None;
        }
        // Text of this length is of as many bytes, or of none: the engine refuses foreign
        // characters, padding and stray last bits.
        let mut bytes = [0; KEY_BYTES];
        URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }

    pub(crate) fn to_bytes(self) -> [u8; KEY_BYTES] {
        self.0
    }

    #[cfg(feature = "snapshot")]
    pub(crate) fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// What another process may know it by.
    #[cfg(feature = "redis")]
    pub(crate) fn digest(&self) -> [u8; 32] {
        digest("dwell session key", &self.0)
    }

    /// What a log may show of the session.
    pub fn tag(&self) -> Tag {
        static STATE: OnceLock<RandomState> = OnceLock::new();
        Tag(STATE.get_or_init(RandomState::new).hash_one(self.0))
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionKey({})", self.tag())
    }
}

/// What a log may show of a session: a hash of its key, keyed anew in each process.
///
/// A session keeps its tag when its id is renewed. Tags of two processes have nothing to do with
/// each other.
///
/// ```
/// use dwell::session::SessionStore;
/// use std::time::Duration;
///
/// let store = SessionStore::new(Duration::from_secs(60));
/// let session = store.create()?;
/// assert_eq!(session.key().tag(), session.id().tag());
/// assert_eq!(session.key().tag().to_string().len(), 16);
/// # Ok::<(), dwell::session::SessionError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tag(u64);

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tag({self})")
    }
}

/// What proves that a client may have a session. Compared in constant time, and never shown.
#[derive(Clone, Copy)]
pub(crate) struct Secret([u8; SECRET_BYTES]);

impl Secret {
    pub(crate) fn random(random: Random) -> io::Result<Self> {
        let mut bytes = [0; SECRET_BYTES];
        random(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// Takes the same time wherever the two differ.
    #[inline]
    pub(crate) fn is(&self, other: &Self) -> bool {
        const { assert!(SECRET_BYTES.is_multiple_of(size_of::<u64>())) };
        let (ours, _) = self.0.as_chunks();
        let (theirs, _) = other.0.as_chunks();
        let words = ours.iter().zip(theirs);
        let differences = words.fold(0, |differences, (one, other)| {
            differences | (u64::from_ne_bytes(*one) ^ u64::from_ne_bytes(*other))
        });
        differences.ct_eq(&0).into()
    }

    /// What is kept outside of the process: from it nobody gets the secret back, which has 256
    /// random bits.
    #[cfg(any(feature = "redis", feature = "snapshot"))]
    pub(crate) fn digest(&self) -> [u8; 32] {
        digest("dwell session secret", &self.0)
    }
}

/// A session id: what the client's cookie holds. A client that knows it has the session.
///
/// `Debug` shows a [`Tag`]. There is no `Display`: [`to_cookie`](Self::to_cookie) is the one way to
/// the text, so that it gets nowhere by accident.
///
/// ```
/// use dwell::session::{SessionId, SessionStore};
/// use std::time::Duration;
///
/// let store = SessionStore::new(Duration::from_secs(60));
/// let cookie = store.create()?.id().to_cookie();
/// assert_eq!(cookie.len(), SessionId::TEXT_LENGTH);
/// assert!(store.find(&SessionId::parse(&cookie).unwrap()).is_some());
/// assert!(SessionId::parse("chosen by somebody else").is_none());
/// # Ok::<(), dwell::session::SessionError>(())
/// ```
#[derive(Clone, Copy)]
pub struct SessionId {
    key: SessionKey,
    secret: Secret,
}

impl SessionId {
    /// The length of an id's text, in characters.
    pub const TEXT_LENGTH: usize = text::CHARACTERS;

    pub(crate) fn new(key: SessionKey, secret: Secret) -> Self {
        Self { key, secret }
    }

    /// A new id, for a provider that creates a session.
    ///
    /// # Errors
    /// If the operating system's generator fails. There is no id then.
    ///
    /// ```
    /// use dwell::session::SessionId;
    /// assert_ne!(SessionId::generate()?, SessionId::generate()?);
    /// # Ok::<(), dwell::session::SessionError>(())
    /// ```
    pub fn generate() -> Result<Self, SessionError> {
        let key = SessionKey::random(system_random).map_err(SessionError::Random)?;
        let secret = Secret::random(system_random).map_err(SessionError::Random)?;
        Ok(Self::new(key, secret))
    }

    /// An id of the same key with a new secret, for a provider that renews one.
    ///
    /// # Errors
    /// As [`generate`](Self::generate).
    pub fn renewed(&self) -> Result<Self, SessionError> {
        let secret = Secret::random(system_random).map_err(SessionError::Random)?;
        Ok(Self::new(self.key, secret))
    }

    /// The id as text: 64 characters of base64url, without padding.
    pub fn to_cookie(&self) -> String {
        let mut bytes = [0; ID_BYTES];
        bytes[..KEY_BYTES].copy_from_slice(&self.key.0);
        bytes[KEY_BYTES..].copy_from_slice(&self.secret.0);
        let text = str::from_utf8(&text::encode(&bytes)).map(String::from);
        text.expect("base64url is text")
    }

    /// Reads exactly what [`to_cookie`](Self::to_cookie) writes. None for anything else: each id
    /// has one spelling. Looks nothing up.
    pub fn parse(text: &str) -> Option<Self> {
        Self::parse_bytes(text.as_bytes())
    }

    /// The same of bytes that may be no text.
    pub(crate) fn parse_bytes(text: &[u8]) -> Option<Self> {
        let bytes: [u8; ID_BYTES] = text::decode(text)?;
        let (key, secret) = bytes.split_at(KEY_BYTES);
        Some(Self {
            key: SessionKey(key.try_into().ok()?),
            secret: Secret(secret.try_into().ok()?),
        })
    }

    /// The session's key. Says nothing about whether the id is the session's.
    pub fn key(&self) -> SessionKey {
        self.key
    }

    /// What a log may show of the session.
    pub fn tag(&self) -> Tag {
        self.key.tag()
    }

    pub(crate) fn key_ref(&self) -> &SessionKey {
        &self.key
    }

    pub(crate) fn secret(&self) -> &Secret {
        &self.secret
    }
}

impl PartialEq for SessionId {
    /// Takes the same time wherever two secrets differ.
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.secret.is(&other.secret)
    }
}

impl Eq for SessionId {}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({})", self.tag())
    }
}

/// A hash for one purpose.
#[cfg(any(feature = "redis", feature = "snapshot"))]
pub(crate) fn digest(purpose: &str, bytes: &[u8]) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    let hash = Sha256::new().chain_update(purpose).chain_update([0]);
    hash.chain_update(bytes).finalize().into()
}
