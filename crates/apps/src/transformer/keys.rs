//! Keys whose bytes compare as the values do: for sorting, and for telling duplicates.
//!
//! A key of several fields is its parts one behind the other: each part ends where its bytes say so, so that none is the
//! beginning of another. A part is a byte that says whether there is a value (those without come last, whichever way is
//! sorted), a byte for what it is (numbers before texts), and the value. Numbers are compared exactly, whatever their
//! length. There is no I/O.

use super::config::Compare;
use super::fields::Kind;

const THERE: u8 = 0;
const NOT_THERE: u8 = 1;
const NUMBER: u8 = 1;
const TEXT: u8 = 2;
const OTHER: u8 = 3;

/// How one field is compared.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) slot: usize,
    pub(super) descending: bool,
    /// By its kind where nothing is said.
    pub(super) compare: Option<Compare>,
}

/// Appends the part of a key for sorting.
pub(super) fn push_part(key: &mut Vec<u8>, part: &Part, kind: Kind, value: &[u8]) {
    if !kind.is_some() {
        key.push(NOT_THERE);
        return;
    }
    key.push(THERE);
    let start = key.len();
    let as_number = match part.compare {
        Some(Compare::Number) => true,
        Some(Compare::Text) => false,
        None => kind == Kind::Number,
    };
    if !(as_number && push_number(key, value)) {
        key.push(TEXT);
        push_text(key, value);
    }
    if part.descending {
        key[start..].iter_mut().for_each(|byte| *byte = !*byte);
    }
}

/// Appends the part of a key for telling duplicates: values are the same where their kinds and texts are, numbers where
/// they are equal.
pub(super) fn push_same(key: &mut Vec<u8>, kind: Kind, value: &[u8]) {
    match kind {
        Kind::Absent | Kind::Missing => key.push(NOT_THERE),
        Kind::Number if push_number(key, value) => {}
        Kind::Bool | Kind::Json => {
            key.push(OTHER);
            push_text(key, value);
        }
        Kind::Text | Kind::Number => {
            key.push(TEXT);
            push_text(key, value);
        }
    }
}

/// A text, and two NULs behind it; a NUL in it becomes a NUL and a one.
fn push_text(key: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    while let Some(at) = memchr::memchr(0, rest) {
        key.extend_from_slice(&rest[..=at]);
        key.push(1);
        rest = &rest[at + 1..];
    }
    key.extend_from_slice(rest);
    key.extend_from_slice(&[0, 0]);
}

const NEGATIVE: u8 = 1;
const ZERO: u8 = 2;
const POSITIVE: u8 = 3;

/// A number: its sign, its power of ten, its digits without zeros at either end, and a NUL; for negative numbers all of it
/// turned round. False, and nothing appended, where the text is none.
fn push_number(key: &mut Vec<u8>, text: &[u8]) -> bool {
    let (negative, unsigned) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let (mantissa, power) = match unsigned.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        None => (unsigned, 0),
        Some(at) => {
            match std::str::from_utf8(&unsigned[at + 1..]).ok().and_then(|text| text.parse::<i32>().ok()) {
                Some(power) => (&unsigned[..at], i64::from(power)),
                None => return false,
            }
        }
    };
    let point = mantissa.iter().position(|byte| *byte == b'.').unwrap_or(mantissa.len());
    let (whole, decimals) = (&mantissa[..point], mantissa.get(point + 1..).unwrap_or_default());
    let mut digits = whole.iter().chain(decimals);
    if whole.len() + decimals.len() == 0 || !digits.clone().all(u8::is_ascii_digit) {
        return false;
    }
    let zeros = digits.clone().take_while(|digit| **digit == b'0').count();
    let count =
        whole.len() + decimals.len() - digits.clone().rev().take_while(|digit| **digit == b'0').count();
    key.push(NUMBER);
    if zeros == whole.len() + decimals.len() {
        key.push(ZERO);
        return true;
    }
    let signed = |at: usize| i64::try_from(at).unwrap_or(i64::MAX);
    let exponent = signed(whole.len()).saturating_sub(signed(zeros)).saturating_add(power);
    let exponent = exponent.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) - i64::from(i32::MIN);
    key.push(if negative { NEGATIVE } else { POSITIVE });
    let start = key.len();
    key.extend_from_slice(&u32::try_from(exponent).unwrap_or(u32::MAX).to_be_bytes());
    let _ = digits.by_ref().take(zeros).count();
    key.extend(digits.take(count - zeros));
    key.push(0);
    if negative {
        key[start..].iter_mut().for_each(|byte| *byte = !*byte);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cmp::Ordering;

    fn key(descending: bool, compare: Option<Compare>, kind: Kind, values: &[&str]) -> Vec<u8> {
        let mut key = Vec::new();
        for value in values {
            push_part(&mut key, &Part { slot: 0, descending, compare }, kind, value.as_bytes());
        }
        key
    }

    #[test]
    fn numbers_are_compared_by_value_and_exactly() {
        let ordered = [
            "-1e400",
            "-99999999999999999999.5",
            "-99999999999999999999",
            "-10",
            "-2.5",
            "-2",
            "-0.001",
            "0",
            "0.0009",
            "0.001",
            "1",
            "1.5",
            "2",
            "9",
            "10",
            "100",
            "99999999999999999998",
            "99999999999999999999",
            "1e400",
        ];
        for pair in ordered.windows(2) {
            let of = |text| key(false, Some(Compare::Number), Kind::Text, &[text]);
            assert!(of(pair[0]) < of(pair[1]), "{pair:?}");
            let of = |text| key(true, Some(Compare::Number), Kind::Text, &[text]);
            assert!(of(pair[0]) > of(pair[1]), "{pair:?}");
        }
        for (one, other) in [("1", "1.0"), ("1e3", "1000"), ("-0", "0"), ("+007", "7"), ("0.10", ".1")] {
            let of = |text| key(false, Some(Compare::Number), Kind::Text, &[text]);
            assert_eq!(of(one), of(other), "{one} {other}");
        }
    }

    #[test]
    fn what_is_no_number_comes_after_them_and_no_value_last() {
        for descending in [false, true] {
            let missing = key(descending, None, Kind::Missing, &[""]);
            assert!(key(descending, None, Kind::Text, &["x"]) < missing);
        }
        let number = key(false, Some(Compare::Number), Kind::Text, &["5"]);
        assert!(number < key(false, Some(Compare::Number), Kind::Text, &["n/a"]));
        assert!(key(false, None, Kind::Number, &["5"]) < key(false, None, Kind::Text, &["4"]));
        assert!(key(false, None, Kind::Text, &["10"]) < key(false, None, Kind::Text, &["9"]));
    }

    #[test]
    fn duplicates_are_told_by_kind_and_value() {
        let same = |kind, text: &str| {
            let mut key = Vec::new();
            push_same(&mut key, kind, text.as_bytes());
            key
        };
        assert_eq!(same(Kind::Number, "1.0"), same(Kind::Number, "1"));
        assert_ne!(same(Kind::Number, "1"), same(Kind::Text, "1"));
        assert_ne!(same(Kind::Bool, "true"), same(Kind::Text, "true"));
        assert_eq!(same(Kind::Missing, ""), same(Kind::Absent, ""));
    }

    proptest! {
        #[test]
        fn several_fields_compare_one_after_the_other(
            one in proptest::collection::vec("[\0ab]{0,3}", 2), other in proptest::collection::vec("[\0ab]{0,3}", 2),
        ) {
            let of = |values: &[String]| {
                let values: Vec<&str> = values.iter().map(String::as_str).collect();
                key(false, None, Kind::Text, &values)
            };
            prop_assert_eq!(of(&one).cmp(&of(&other)), one.cmp(&other));
        }

        #[test]
        fn numbers_compare_as_doubles_do(one in any::<f32>(), other in any::<f32>()) {
            prop_assume!(one.is_finite() && other.is_finite());
            let of = |number: f32| key(false, Some(Compare::Number), Kind::Text, &[&number.to_string()]);
            let expected = one.partial_cmp(&other).unwrap_or(Ordering::Equal);
            prop_assert_eq!(of(one).cmp(&of(other)), expected);
        }
    }
}
