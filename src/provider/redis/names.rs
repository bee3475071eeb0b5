//! What things are called in the server. No name is, or tells, an id.

use crate::session::{SessionKey, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

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

    /// Spreads sessions over connections.
    pub(super) fn hash(&self) -> u8 {
        self.0[0]
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

/// The names of what the server keeps. The braces make a cluster place a key by what is between them, whatever
/// the prefix is.
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

    /// Where the index of an owner is: under a hash, for an owner may be called anything.
    pub(super) fn owner(&self, owner: &str) -> String {
        let hash = digest("dwell owner", owner.as_bytes());
        format!("{}:owner:{{{}}}", self.prefix, URL_SAFE_NO_PAD.encode(hash))
    }
}
