//! The text of an id: base64url of 48 bytes, without tables and without branches on what it says.
//!
//! Each request's cookie is read by this, so it is written for the compiler to work on 16
//! characters at once. An id is a secret: how long it takes to read or to write does not depend on
//! its characters.

/// A text of base64url that has no padding and no stray bits: 64 characters are 48 bytes.
pub(super) const CHARACTERS: usize = 64;
pub(super) const BYTES: usize = 48;

/// What is no character of base64url has bits beyond the six of a value.
const FOREIGN: u8 = 0b1100_0000;

/// The six bits that a character stands for.
#[inline(always)]
fn sextet(character: u8) -> u8 {
    let all_if = |holds: bool| u8::from(holds).wrapping_neg();
    let letter = (character | 0x20).wrapping_sub(b'a');
    let digit = character.wrapping_sub(b'0');
    let lower = all_if(character & 0x20 != 0) & 26;
    let is_letter = all_if(letter < 26);
    let is_digit = all_if(digit < 10);
    let is_minus = all_if(character == b'-');
    let is_line = all_if(character == b'_');
    let is_known = is_letter | is_digit | is_minus | is_line;
    is_letter & letter.wrapping_add(lower)
        | is_digit & digit.wrapping_add(52)
        | is_minus & 62
        | is_line & 63
        | !is_known & FOREIGN
}

/// The bytes that a text says; none if it is of another length, or has a foreign character.
#[inline]
pub(super) fn decode(text: &[u8]) -> Option<[u8; BYTES]> {
    let text: &[u8; CHARACTERS] = text.try_into().ok()?;
    let mut values = [0; CHARACTERS];
    for (value, character) in values.iter_mut().zip(text) {
        *value = sextet(*character);
    }
    if values.iter().fold(0, |all, value| all | value) & FOREIGN != 0 {
        return None;
    }
    let mut bytes = [0; BYTES];
    for (values, bytes) in values
        .as_chunks::<8>()
        .0
        .iter()
        .zip(bytes.as_chunks_mut::<6>().0)
    {
        // Eight times six bits move together: to twelve, to 24, to 48.
        let bits = u64::from_le_bytes(*values);
        let bits = (bits & 0x003f_003f_003f_003f) << 6 | bits >> 8 & 0x003f_003f_003f_003f;
        let bits = (bits & 0x0000_0fff_0000_0fff) << 12 | bits >> 16 & 0x0000_0fff_0000_0fff;
        let bits = bits << 24 | bits >> 32;
        bytes.copy_from_slice(&bits.to_be_bytes()[2..]);
    }
    Some(bytes)
}

/// The character that stands for six bits.
#[inline(always)]
fn character(sextet: u8) -> u8 {
    let all_if = |holds: bool| u8::from(holds).wrapping_neg();
    // Each range begins where the one before it ends, and its characters somewhere else.
    let beyond_upper = all_if(sextet > 25) & (b'a' - b'Z' - 1);
    let beyond_lower = all_if(sextet > 51) & b'0'.wrapping_sub(b'z').wrapping_sub(1);
    let beyond_digit = all_if(sextet > 61) & b'-'.wrapping_sub(b'9').wrapping_sub(1);
    let beyond_minus = all_if(sextet > 62) & (b'_' - b'-' - 1);
    let first = sextet.wrapping_add(b'A').wrapping_add(beyond_upper);
    let later = beyond_lower.wrapping_add(beyond_digit);
    first.wrapping_add(later).wrapping_add(beyond_minus)
}

/// The text that says so many bytes.
pub(super) fn encode(bytes: &[u8; BYTES]) -> [u8; CHARACTERS] {
    let mut text = [0; CHARACTERS];
    let texts = text.as_chunks_mut::<8>().0;
    for (bytes, text) in bytes.as_chunks::<6>().0.iter().zip(texts) {
        let [a, b, c, d, e, f] = *bytes;
        let bits = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
        let bits = (bits & 0x0000_00ff_ffff) << 32 | bits >> 24;
        let bits = (bits & 0x0000_0fff_0000_0fff) << 16 | bits >> 12 & 0x0000_0fff_0000_0fff;
        let bits = (bits & 0x003f_003f_003f_003f) << 8 | bits >> 6 & 0x003f_003f_003f_003f;
        *text = bits.to_le_bytes();
    }
    text.map(character)
}

#[cfg(test)]
mod tests {
    use super::{BYTES, CHARACTERS, decode, encode};
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    /// What the crate says that everybody uses.
    fn expected(text: &[u8]) -> Option<[u8; BYTES]> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
    }

    #[test]
    fn each_byte_at_each_place_means_what_it_does_elsewhere() {
        let mut known = 0;
        for place in 0..CHARACTERS {
            for byte in 0..=u8::MAX {
                let mut text = *b"AZaz09-_BYbx18-_CXcw27_-DWdv36--EVeu45__FUft54-AGTgs63A_HShr72zZ";
                text[place] = byte;
                let read = decode(&text);
                assert_eq!(read, expected(&text), "{byte:?} at {place}");
                known += usize::from(read.is_some());
            }
        }
        assert_eq!(known, 64 * CHARACTERS);
    }

    #[test]
    fn whatever_was_written_is_read_and_nothing_of_another_length() {
        for seed in 0..1_000_u64 {
            let mut state = seed;
            let bytes: [u8; BYTES] = std::array::from_fn(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                (state >> 56) as u8
            });
            let text = URL_SAFE_NO_PAD.encode(bytes);
            assert_eq!(decode(text.as_bytes()), Some(bytes));
            assert_eq!(encode(&bytes), *text.as_bytes());
            assert_eq!(decode(&text.as_bytes()[1..]), None);
            assert_eq!(decode(format!("{text}A").as_bytes()), None);
        }
    }
}
