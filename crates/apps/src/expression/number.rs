//! Numbers as text, and rounding, without allocation.
//!
//! Invariant: what is written is the shortest text that reads back as the same number, and [`round`] gives what writing
//! the exact value with so many digits and reading that again would give.

use std::io::Write;

/// More digits change no double.
const DIGITS_MAX: i64 = 300;

/// The powers of ten that a double holds exactly and that the fast ways use.
const POWERS: [f64; 16] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// Numbers of fewer than 16 digits are told apart by every double.
const FIFTEEN_DIGITS: f64 = 1e15;

/// Appends a whole number.
#[inline]
pub(super) fn push_int(into: &mut Vec<u8>, number: i64) {
    if number < 0 {
        into.push(b'-');
    }
    push_uint(into, number.unsigned_abs());
}

/// Appends a whole number.
#[inline]
pub(super) fn push_uint(into: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    into.extend_from_slice(&digits[at..]);
}

/// Appends a finite number as the shortest text that reads back as the same; zero has no sign.
#[inline]
pub(super) fn push_double(into: &mut Vec<u8>, number: f64) {
    if !push_short(into, number) {
        push_any(into, number);
    }
}

/// Numbers with at most 15 digits, four of them behind the point. Two decimals of so few digits are never the same
/// double, so the one found is the shortest.
#[inline]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn push_short(into: &mut Vec<u8>, number: f64) -> bool {
    let size = number.abs();
    for (places, power) in POWERS.iter().enumerate().take(5) {
        let scaled = size * power;
        if scaled >= FIFTEEN_DIGITS {
            return false;
        }
        let whole = (scaled + 0.5) as u64;
        if whole as f64 / power != size {
            continue;
        }
        if number < 0.0 {
            into.push(b'-');
        }
        let power = *power as u64;
        push_uint(into, whole / power);
        if places > 0 {
            into.push(b'.');
            let mut rest = whole % power;
            let mut digits = [b'0'; 4];
            for digit in digits[..places].iter_mut().rev() {
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
            into.extend_from_slice(&digits[..places]);
        }
        return true;
    }
    false
}

#[cold]
fn push_any(into: &mut Vec<u8>, number: f64) {
    let size = number.abs();
    // Writing into memory does not fail.
    let _ = if (1e-7..1e21).contains(&size) { write!(into, "{number}") } else { write!(into, "{number:e}") };
}

/// `round(x, digits)`: the exact value of the double, rounded to so many digits behind the point (before it, where
/// `digits` is negative); a tie goes to the even digit.
#[inline]
pub(super) fn round(number: f64, digits: i64) -> f64 {
    match fast_round(number, digits) {
        Some(rounded) => rounded,
        None => exact_round(number, digits),
    }
}

/// Scaled, rounded and scaled back, where the error of scaling cannot matter: it is below 2⁻¹¹ while the scaled number
/// is below 2⁴², and the number is farther than that from a tie. Both the scaled number and the power are exact, so
/// their quotient is the double nearest to the decimal.
#[inline]
fn fast_round(number: f64, digits: i64) -> Option<f64> {
    const LARGEST: f64 = (1u64 << 42) as f64;
    const MARGIN: f64 = 1.0 / 1024.0;
    let power = *POWERS.get(usize::try_from(digits).ok()?)?;
    let scaled = number * power;
    if scaled.is_nan() || scaled.abs() >= LARGEST {
        return None;
    }
    let whole = scaled.round_ties_even();
    if ((scaled - whole).abs() - 0.5).abs() < MARGIN {
        return None;
    }
    Some(whole / power)
}

/// By writing all the digits of its exact value.
#[cold]
pub(super) fn exact_round(number: f64, digits: i64) -> f64 {
    if !number.is_finite() || digits > DIGITS_MAX {
        return number;
    }
    if digits >= 0 {
        return format!("{number:.*}", usize::try_from(digits).unwrap_or(0)).parse().unwrap_or(number);
    }
    let power = 10f64.powi(i32::try_from(-digits.max(-DIGITS_MAX)).unwrap_or(0));
    if power.is_infinite() {
        return 0.0;
    }
    (number / power).round_ties_even() * power
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(number: f64) -> String {
        let mut into = Vec::new();
        push_double(&mut into, number);
        String::from_utf8(into).unwrap()
    }

    #[test]
    fn numbers_are_written_short() {
        for (number, expected) in [
            (0.0, "0"),
            (-0.0, "0"),
            (3.0, "3"),
            (-2.5, "-2.5"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1234.5678, "1234.5678"),
            (0.0001, "0.0001"),
            (100.05, "100.05"),
            (1e15, "1000000000000000"),
            (1e21, "1e21"),
            (1.5e-9, "1.5e-9"),
        ] {
            assert_eq!(text(number), expected);
        }
        let mut into = Vec::new();
        push_int(&mut into, i64::MIN);
        push_uint(&mut into, u64::MAX);
        assert_eq!(into, b"-922337203685477580818446744073709551615");
    }

    proptest! {
        #[test]
        fn the_short_way_writes_what_the_long_one_does(units in -10_000_000_000i64..10_000_000_000, places in 0i32..6) {
            let number = units as f64 / 10f64.powi(places);
            let mut long = Vec::new();
            if number == 0.0 { long.push(b'0') } else { push_any(&mut long, number) }
            prop_assert_eq!(text(number).into_bytes(), long);
        }

        #[test]
        fn any_number_reads_back(bits in any::<u64>()) {
            let number = f64::from_bits(bits);
            prop_assume!(number.is_finite());
            let written = text(number);
            prop_assert!(written.len() <= 40);
            prop_assert_eq!(written.parse::<f64>().unwrap(), number);
        }

        #[test]
        fn rounding_fast_is_rounding_exactly(
            units in -100_000_000_000i64..100_000_000_000, places in 0i32..8, factor in -4.0f64..4.0, digits in 0i64..9,
        ) {
            for number in [units as f64 / 10f64.powi(places), units as f64 * factor, factor] {
                prop_assert_eq!(round(number, digits).to_bits(), exact_round(number, digits).to_bits());
            }
        }
    }
}
