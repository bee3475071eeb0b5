//! A block: some sessions, encoded, compressed, and sealed or checked, independent of all others.
//!
//! ```text
//! marker 8 | number 4 | is last 1 | length of the body 4 | body: sealed or plain bytes, then 16 to check them
//! the bytes: length when packed 4 | length before that 4 | packed by LZ4 | zeros
//! ```
//!
//! The check covers the head of the block and the digest of the file's header. The number is part
//! of the nonce: each block has its own. The last block says how many sessions there are in all;
//! without it the file is incomplete.
//!
//! A block makes at most [`GREATEST_RATIO`] times its own length in memory. What would make more is
//! filled up with zeros by the writer, so the reader may refuse it: whatever a file claims, and
//! whoever wrote it, its length bounds what reading it takes.

use super::Key;
use super::header::{self, Header, part, short_digest};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};

pub(super) const MARKER: &[u8; 8] = b"dwellblk";
pub(super) const HEAD: usize = 17;
const CHECK: usize = 16;
/// How many times its own length a block makes in memory at the most. A session of ordinary
/// attributes makes about twenty times what it takes in the file.
pub(super) const GREATEST_RATIO: usize = 32;

/// What stands before a block's body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) number: u32,
    pub(super) is_last: bool,
    pub(super) length: u32,
}

impl Head {
    fn to_bytes(self) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[..8].copy_from_slice(MARKER);
        bytes[8..12].copy_from_slice(&self.number.to_le_bytes());
        bytes[12] = u8::from(self.is_last);
        bytes[13..].copy_from_slice(&self.length.to_le_bytes());
        bytes
    }

    /// None if no block begins here.
    pub(super) fn parse(bytes: &[u8; HEAD]) -> Option<Self> {
        let head = Self {
            number: u32::from_le_bytes(part(bytes, 8)),
            is_last: bytes[12] == 1,
            length: u32::from_le_bytes(part(bytes, 13)),
        };
        // Each head has one spelling.
        (head.to_bytes() == *bytes).then_some(head)
    }
}

/// What is in a block: one session after the other; or, in the last one, how many there are.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    /// What it makes in memory at the most.
    pub(super) weight: usize,
}

/// Makes the blocks of one file, and opens them.
pub(super) struct Sealer {
    cipher: Option<XChaCha20Poly1305>,
    nonce: [u8; 16],
    header: [u8; header::LENGTH],
}

impl Sealer {
    pub(super) fn new(header: Header, key: Option<&Key>) -> Self {
        Self {
            cipher: key.map(|key| XChaCha20Poly1305::new(key.into())),
            nonce: header.nonce,
            header: header.to_bytes(),
        }
    }

    /// A whole block, with its head. None if it would be too large for its own length: four
    /// gigabytes.
    pub(super) fn seal(&self, number: u32, is_last: bool, content: &Content) -> Option<Vec<u8>> {
        let plain = pack(content)?;
        let head = Head {
            number,
            is_last,
            length: u32::try_from(plain.len() + CHECK).ok()?,
        };
        let mut block = head.to_bytes().to_vec();
        match &self.cipher {
            Some(cipher) => {
                let payload = Payload {
                    msg: &plain,
                    aad: &self.covered(head),
                };
                block.extend(cipher.encrypt(&self.nonce(head), payload).ok()?);
            }
            None => {
                block.extend_from_slice(&plain);
                block.extend_from_slice(&self.checksum(head, &plain));
            }
        }
        Some(block)
    }

    /// What is in a body, and what it may weigh; none if it is damaged, or of another file.
    pub(super) fn open(&self, head: Head, body: &[u8]) -> Option<Content> {
        let opened;
        let plain = match &self.cipher {
            Some(cipher) => {
                let payload = Payload {
                    msg: body,
                    aad: &self.covered(head),
                };
                opened = cipher.decrypt(&self.nonce(head), payload).ok()?;
                &opened[..]
            }
            None => {
                let (plain, check) = body.split_at_checked(body.len().checked_sub(CHECK)?)?;
                if self.checksum(head, plain) != check {
                    return None;
                }
                plain
            }
        };
        unpack(plain)
    }

    fn nonce(&self, head: Head) -> XNonce {
        let mut nonce = [0; 24];
        nonce[..16].copy_from_slice(&self.nonce);
        nonce[16..20].copy_from_slice(&head.number.to_le_bytes());
        nonce[20] = u8::from(head.is_last);
        nonce.into()
    }

    fn covered(&self, head: Head) -> Vec<u8> {
        [&self.header[..], &head.to_bytes()].concat()
    }

    fn checksum(&self, head: Head, plain: &[u8]) -> [u8; CHECK] {
        short_digest(
            "dwell snapshot block",
            &[&self.covered(head), plain].concat(),
        )
    }
}

fn pack(content: &Content) -> Option<Vec<u8>> {
    let packed = lz4_flex::compress(&content.bytes);
    let mut plain = Vec::with_capacity(8 + packed.len());
    for length in [packed.len(), content.bytes.len()] {
        plain.extend(u32::try_from(length).ok()?.to_le_bytes());
    }
    plain.extend(packed);
    let least = content.weight.div_ceil(GREATEST_RATIO);
    if plain.len() < least {
        plain.resize(least, 0);
    }
    Some(plain)
}

fn unpack(plain: &[u8]) -> Option<Content> {
    let (lengths, rest) = plain.split_at_checked(8)?;
    let length = |at| u32::from_le_bytes(part(lengths, at)) as usize;
    let (packed, claimed) = (rest.get(..length(0))?, length(4));
    let weight = plain.len() * GREATEST_RATIO;
    // Asked before memory is reserved for what the file claims.
    if claimed > weight {
        return None;
    }
    let bytes = lz4_flex::decompress(packed, claimed).ok()?;
    (bytes.len() == claimed).then_some(Content { bytes, weight })
}
