//! How a file begins.
//!
//! ```text
//! magic 8 | version 2 | sealed 2 | written at 8 | nonce 16 | check of the key 16 | digest of all this 16
//! ```
//!
//! Numbers are little-endian. The digest goes into the check of every block, so a block of another
//! file is damage.

use super::Key;
use super::error::SnapshotError;
use crate::session::digest;

pub(super) const LENGTH: usize = 68;
const MAGIC: &[u8; 8] = b"dwellsnp";
pub(super) const VERSION: u16 = 2;
const CHECKED: usize = LENGTH - 16;

#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub(super) is_sealed: bool,
    /// Milliseconds since the Unix epoch.
    pub(super) written_at: u64,
    pub(super) nonce: [u8; 16],
    key_check: [u8; 16],
}

impl Header {
    pub(super) fn new(written_at: u64, nonce: [u8; 16], key: Option<&Key>) -> Self {
        Self {
            is_sealed: key.is_some(),
            written_at,
            nonce,
            key_check: key.map_or([0; 16], |key| key_check(key, &nonce)),
        }
    }

    pub(super) fn to_bytes(self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        bytes[10..12].copy_from_slice(&u16::from(self.is_sealed).to_le_bytes());
        bytes[12..20].copy_from_slice(&self.written_at.to_le_bytes());
        bytes[20..36].copy_from_slice(&self.nonce);
        bytes[36..CHECKED].copy_from_slice(&self.key_check);
        let digest = short_digest("dwell snapshot header", &bytes[..CHECKED]);
        bytes[CHECKED..].copy_from_slice(&digest);
        bytes
    }

    pub(super) fn parse(bytes: &[u8; LENGTH], key: Option<&Key>) -> Result<Self, SnapshotError> {
        if bytes[..8] != *MAGIC {
            return Err(SnapshotError::NotASnapshot);
        }
        if short_digest("dwell snapshot header", &bytes[..CHECKED]) != bytes[CHECKED..] {
            return Err(SnapshotError::HeaderDamaged);
        }
        let found = u16::from_le_bytes(part(bytes, 8));
        if found != VERSION {
            let supported = VERSION;
            return Err(SnapshotError::Version { found, supported });
        }
        let header = Self {
            is_sealed: bytes[10] != 0,
            written_at: u64::from_le_bytes(part(bytes, 12)),
            nonce: part(bytes, 20),
            key_check: part(bytes, 36),
        };
        match (header.is_sealed, key) {
            (true, None) => Err(SnapshotError::KeyNeeded),
            (false, Some(_)) => Err(SnapshotError::NotSealed),
            (true, Some(key)) if key_check(key, &header.nonce) != header.key_check => {
                Err(SnapshotError::WrongKey)
            }
            _ => Ok(header),
        }
    }
}

/// Tells a wrong key from damage. It tells nothing about the key.
fn key_check(key: &Key, nonce: &[u8; 16]) -> [u8; 16] {
    short_digest("dwell snapshot key", &[&key[..], nonce].concat())
}

pub(super) fn short_digest(purpose: &str, bytes: &[u8]) -> [u8; 16] {
    part(&digest(purpose, bytes), 0)
}

/// Some bytes of many.
pub(super) fn part<const LENGTH: usize>(bytes: &[u8], from: usize) -> [u8; LENGTH] {
    let mut part = [0; LENGTH];
    part.copy_from_slice(&bytes[from..from + LENGTH]);
    part
}
