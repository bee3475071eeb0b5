//! A second reader of `Cookie` headers, by the letter of RFC 6265, that the manager's own is
//! compared with.
#![allow(dead_code)] // each binary that mounts this uses its own part

/// What a request's `Cookie` headers hold under a name.
#[derive(Debug, PartialEq, Eq)]
pub enum Held {
    Nothing,
    /// One value, however often.
    One(Vec<u8>),
    Several,
}

/// What a byte belongs to.
enum At {
    Name,
    Value,
}

/// Reads header by header, byte by byte: `;` ends a cookie, the first `=` in it ends its name.
pub fn held(headers: &[&[u8]], name: &str) -> Held {
    let mut held = Held::Nothing;
    for header in headers {
        let (mut at, mut key, mut value) = (At::Name, Vec::new(), Vec::new());
        for &byte in header.iter().chain(b";") {
            match (byte, &at) {
                (b';', At::Name) => key.clear(),
                (b';', At::Value) => {
                    if without_white_space(&key) == name.as_bytes() {
                        held = held.and(without_white_space(&value));
                    }
                    (at, key, value) = (At::Name, Vec::new(), Vec::new());
                }
                (b'=', At::Name) => at = At::Value,
                (_, At::Name) => key.push(byte),
                (_, At::Value) => value.push(byte),
            }
        }
    }
    held
}

impl Held {
    fn and(self, value: Vec<u8>) -> Self {
        match self {
            Self::Nothing => Self::One(value),
            Self::One(before) if before == value => Self::One(before),
            Self::One(_) | Self::Several => Self::Several,
        }
    }
}

/// Without SP and HTAB at either end, which are all the white space there is.
fn without_white_space(bytes: &[u8]) -> Vec<u8> {
    let is_white = |byte: &u8| [0x20, 0x09].contains(byte);
    let mut rest: Vec<u8> = bytes.iter().copied().skip_while(is_white).collect();
    while rest.last().is_some_and(is_white) {
        rest.pop();
    }
    rest
}
