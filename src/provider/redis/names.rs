//! What things are called in the server. No name is, or tells, an id.

use crate::session::{SessionKey, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use crc::{CRC_16_XMODEM, Crc};

/// How many slots a cluster has, and the checksum that tells a key's.
const SLOTS: u16 = 16_384;
const SLOT: Crc<u16> = Crc::<u16>::new(&CRC_16_XMODEM);

/// Bytes of a key's hash that name a session: as many as the key has.
const NAME_BYTES: usize = 16;

/// A session's name: a hash of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Name([u8; NAME_BYTES]);

impl Name {
    pub(super) fn of(key: &SessionKey) -> Self {
        let mut name = [0; NAME_BYTES];
        name.copy_from_slice(&key.digest()[..NAME_BYTES]);
        Self(name)
    }

    pub(super) fn to_text(self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let mut name = [0; NAME_BYTES];
        let decoded = URL_SAFE_NO_PAD.decode_slice(text, &mut name);
        (decoded == Ok(NAME_BYTES)).then_some(Self(name))
    }
}

/// What a request is about: this decides where it goes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target {
    Session(Name),
    /// The index of an owner, by its slot.
    Index(u16),
}

impl Target {
    pub(super) fn index(owner: &str) -> Self {
        Self::Index(slot_of(owner_tag(owner).as_bytes()))
    }

    /// The slot in a cluster. With a prefix that has braces of its own the server places keys by
    /// those: it is then another number than the server's, but what has the same one here is in one
    /// place there.
    pub(super) fn slot(self) -> u16 {
        match self {
            Self::Session(Name(name)) => {
                let mut text = [0; NAME_BYTES.div_ceil(3) * 4];
                let length = URL_SAFE_NO_PAD.encode_slice(name, &mut text);
                slot_of(&text[..length.unwrap_or(0)])
            }
            Self::Index(slot) => slot,
        }
    }
}

fn slot_of(tag: &[u8]) -> u16 {
    SLOT.checksum(tag) % SLOTS
}

/// An owner's name, as a hash: it may be anything.
fn owner_tag(owner: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest("dwell owner", owner.as_bytes()))
}

/// The names of what the server keeps. The braces make a cluster place a key by what is between
/// them, whatever the prefix is.
#[derive(Debug, Clone)]
pub(super) struct Names {
    prefix: String,
}

impl Names {
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.into(),
        }
    }

    /// Where a session is.
    pub(super) fn session(&self, name: Name) -> String {
        format!("{}:session:{{{}}}", self.prefix, name.to_text())
    }

    /// The session that is there.
    pub(super) fn parse_session(&self, key: &[u8]) -> Option<Name> {
        let name = key.strip_prefix(self.prefix.as_bytes())?;
        let name = name.strip_prefix(b":session:{")?.strip_suffix(b"}")?;
        Name::parse(name)
    }

    /// Where the index of an owner is.
    pub(super) fn owner(&self, owner: &str) -> String {
        format!("{}:owner:{{{}}}", self.prefix, owner_tag(owner))
    }
}
