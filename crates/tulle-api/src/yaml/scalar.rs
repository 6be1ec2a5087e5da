//! What a plain scalar stands for, by the rules of Kubernetes' YAML (`sigs.k8s.io/yaml`, which follows YAML 1.1 for
//! booleans and octal numbers and has no base-60 numbers and no dates).

use crate::node::Data;

/// Reads a plain (unquoted) scalar.
pub(super) fn resolve(text: &str) -> Data {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Data::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Data::Bool(true, text.into());
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Data::Bool(false, text.into());
        }
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
            return Data::Float(f64::INFINITY, text.into());
        }
        "-.inf" | "-.Inf" | "-.INF" => return Data::Float(f64::NEG_INFINITY, text.into()),
        ".nan" | ".NaN" | ".NAN" => return Data::Float(f64::NAN, text.into()),
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return Data::String(text.into());
    }
    if let Some(number) = integer(text) {
        return Data::Int(number, text.into());
    }
    match float(text) {
        Some(number) => Data::Float(number, text.into()),
        None => Data::String(text.into()),
    }
}

fn integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let digits = digits.replace('_', "");
    let (radix, digits) = match digits.get(..2).unwrap_or_default() {
        "0x" | "0X" => (16, &digits[2..]),
        "0o" | "0O" => (8, &digits[2..]),
        "0b" | "0B" => (2, &digits[2..]),
        _ if digits.len() > 1 && digits.starts_with('0') => (8, &digits[1..]),
        _ => (10, &*digits),
    };
    if !digits.starts_with(|c: char| c.is_digit(radix)) {
        return None;
    }
    let number = i128::from_str_radix(digits, radix).ok()?;
    Some(if negative { -number } else { number })
}

fn float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    let digits = |s: &str| s.chars().all(|c| c.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if !digits(whole) || !digits(fraction) || whole.len() + fraction.len() == 0 {
        return None;
    }
    if let Some(exponent) = exponent {
        let power = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        if power.is_empty() || !digits(power) {
            return None;
        }
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_kubernetes_reads_them() {
        for (text, value) in
            [("0644", 420), ("0o17", 15), ("0x1F", 31), ("-12", -12), ("1_000", 1000), ("08", -1)]
        {
            match resolve(text) {
                Data::Int(i, _) => assert_eq!(i, value, "{text}"),
                other => assert!(matches!(other, Data::Float(f, _) if f == 8.0), "{text}: {other:?}"),
            }
        }
        for text in
            ["v1", "1.2.3", "10s", "1:30", "2001-01-01", "1e", "-", "+", ".", "0x", "Nullable", "127.0.0.1"]
        {
            assert!(matches!(resolve(text), Data::String(_)), "{text}: {:?}", resolve(text));
        }
        for text in ["1.5", ".5", "1.", "1e3", "-2.5E-3"] {
            assert!(matches!(resolve(text), Data::Float(..)), "{text}: {:?}", resolve(text));
        }
        assert!(matches!(resolve("on"), Data::Bool(true, _)));
        assert_eq!(resolve("~"), Data::Null);
    }
}
