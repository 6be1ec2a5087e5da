//! SHA-256 digests as configurations write them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// 64 hexadecimal digits, with or without colons between the bytes.
pub(super) fn hex(text: &str) -> Option<[u8; 32]> {
    let digits = text.bytes().filter(|b| *b != b':').map(|b| (b as char).to_digit(16));
    let digits: Option<Vec<u32>> = digits.collect();
    let digits = digits.filter(|d| d.len() == 64)?;
    let mut out = [0; 32];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::try_from(pair[0] * 16 + pair[1]).ok()?;
    }
    Some(out)
}

/// Base64 with padding.
pub(super) fn base64(text: &str) -> Option<[u8; 32]> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_have_32_bytes() {
        let mut one = [0; 32];
        one[31] = 0xaf;
        assert_eq!(hex(&format!("{}aF", "0".repeat(62))), Some(one));
        assert_eq!(hex(&format!("{}AF", "00:".repeat(31))), Some(one));
        assert_eq!(hex("af"), None);
        assert_eq!(hex(&"é0".repeat(32)), None);
        assert_eq!(base64("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAK8="), Some(one));
        assert_eq!(base64("AAAA"), None);
        assert_eq!(base64("not base64"), None);
    }
}
