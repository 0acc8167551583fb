//! KSUIDs, the second half of Clerk's ids. See <https://github.com/segmentio/ksuid>.

use crate::clock::Timestamp;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const EPOCH: i64 = 1_400_000_000;

/// 27 base62 digits: seconds since May 2014 in 32 bits, then the 128 bits of `payload`. Times out of range
/// (before 2014, after 2150) become the nearest in range.
pub(super) fn encode(at: Timestamp, payload: &[u8; 16]) -> String {
    let seconds = (at.as_seconds() - EPOCH).clamp(0, i64::from(u32::MAX));
    let mut words = [u32::try_from(seconds).unwrap_or_default(), 0, 0, 0, 0];
    for (word, bytes) in words[1..].iter_mut().zip(payload.chunks_exact(4)) {
        *word = bytes.iter().fold(0, |word, byte| word << 8 | u32::from(*byte));
    }
    let mut digits = [char::from(DIGITS[0]); 27];
    for digit in digits.iter_mut().rev() {
        *digit = char::from(DIGITS[divide_by_62(&mut words)]);
    }
    digits.iter().collect()
}

/// Divides the number, most significant word first, and returns the remainder.
fn divide_by_62(words: &mut [u32; 5]) -> usize {
    let mut rest = 0_u64;
    for word in words {
        let part = rest << 32 | u64::from(*word);
        *word = u32::try_from(part / 62).unwrap_or_default();
        rest = part % 62;
    }
    usize::try_from(rest).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_published_examples() {
        // From the KSUID README: 107608047 seconds, payload b5a1cd34b5f99d1154fb6853345c9735.
        let at = Timestamp::from_millis((EPOCH + 107_608_047) * 1000);
        let payload = 0xb5a1_cd34_b5f9_9d11_54fb_6853_345c_9735_u128.to_be_bytes();
        assert_eq!(encode(at, &payload), "0ujtsYcgvSTl8PAuAdqWYSMnLOv");
        let end = Timestamp::from_millis((EPOCH + i64::from(u32::MAX)) * 1000);
        assert_eq!(encode(end, &[0xff; 16]), "aWgEPTl1tmebfsQzFP4bxwgy80V");
        assert_eq!(encode(Timestamp::from_millis(0), &[0; 16]), "0".repeat(27));
    }
}
