//! Strings of a payload, and numbers in them as C reads them.

/// The bytes before the first NUL, and those behind it; `None` without a NUL.
pub(crate) fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&byte| byte == 0)?;
    Some((bytes.get(..end)?, bytes.get(end + 1..)?))
}

/// The one string that a payload is; `None` where it is something else.
pub(crate) fn one(bytes: &[u8]) -> Option<&[u8]> {
    match string(bytes)? {
        (text, []) => Some(text),
        _ => None,
    }
}

/// The strings of a payload; `None` unless there are `N`. Bytes behind the last NUL are nothing.
pub(crate) fn strings<const N: usize>(mut bytes: &[u8]) -> Option<[&[u8]; N]> {
    let mut all = [&[][..]; N];
    for slot in &mut all {
        (*slot, bytes) = string(bytes)?;
    }
    (!bytes.contains(&0)).then_some(all)
}

/// How many strings there are.
pub(crate) fn count(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte == 0).count()
}

fn signed(text: &[u8]) -> (bool, &[u8]) {
    let text = text.trim_ascii_start();
    match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    }
}

/// The digits of `radix` in front, as a number, and what follows them; `None` without any.
/// Saturates.
fn digits(text: &[u8], radix: u32) -> Option<(i64, &[u8])> {
    let digit = |byte: &u8| char::from(*byte).to_digit(radix);
    let end = text
        .iter()
        .position(|byte| digit(byte).is_none())
        .unwrap_or(text.len());
    let (number, rest) = text.split_at_checked(end).filter(|_| end > 0)?;
    let value = number.iter().filter_map(digit).fold(0_i64, |value, digit| {
        value
            .saturating_mul(radix.into())
            .saturating_add(digit.into())
    });
    Some((value, rest))
}

/// The whole of `text` as C's `strtol` reads it with base 0.
pub(crate) fn integer(text: &[u8]) -> Option<i64> {
    let (negative, text) = signed(text);
    let hex = text
        .strip_prefix(b"0x")
        .or_else(|| text.strip_prefix(b"0X"));
    let (value, rest) = match hex {
        Some(hex) => digits(hex, 16)?,
        None if text.first() == Some(&b'0') => digits(text, 8)?,
        None => digits(text, 10)?,
    };
    let value = if negative { -value } else { value };
    rest.is_empty().then_some(value)
}

/// The front of `text` as C's `atoi` reads it; 0 where there is no number.
pub(crate) fn leading(text: &[u8]) -> i64 {
    let (negative, text) = signed(text);
    let value = digits(text, 10).map_or(0, |(value, _)| value);
    if negative { -value } else { value }
}

/// A domain id, as the messages that take one have it; an empty string is 0.
pub(crate) fn domid(text: &[u8]) -> Option<u16> {
    let (negative, number) = signed(text);
    if text.is_empty() {
        return Some(0);
    }
    let (value, rest) = digits(number, 10)?;
    let value = u16::try_from(value).ok()?;
    (rest.is_empty() && (!negative || value == 0)).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_of_a_payload() {
        assert_eq!(one(b"a\0"), Some(&b"a"[..]));
        assert_eq!(one(b"a"), None);
        assert_eq!(one(b"a\0b\0"), None);
        assert_eq!(one(b""), None);
        assert_eq!(strings(b"a\0b\0rest"), Some([&b"a"[..], b"b"]));
        assert_eq!(strings::<2>(b"a\0b\0c\0"), None);
        assert_eq!(strings::<2>(b"a\0"), None);
        assert_eq!(count(b"a\0\0b"), 2);
    }

    #[test]
    fn numbers_as_c_reads_them() {
        assert_eq!(integer(b"12"), Some(12));
        assert_eq!(integer(b" -0x1F"), Some(-31));
        assert_eq!(integer(b"010"), Some(8));
        assert_eq!(integer(b"0"), Some(0));
        assert_eq!(integer(b"12a"), None);
        assert_eq!(integer(b""), None);
        assert_eq!(leading(b"12abc"), 12);
        assert_eq!(leading(b"-3"), -3);
        assert_eq!(leading(b"x"), 0);
        assert_eq!(leading(b"99999999999999999999"), i64::MAX);
        assert_eq!(domid(b"7"), Some(7));
        assert_eq!(domid(b""), Some(0));
        assert_eq!(domid(b"65536"), None);
        assert_eq!(domid(b"1x"), None);
        assert_eq!(domid(b"-1"), None);
    }
}
