//! Types: whether a text is of a type, and how it is then written, so that JSON takes it and every program reads the
//! same.
//!
//! Numbers keep all their digits, whatever their length: `007` becomes `7`, `+1.50` becomes `1.50`, and nothing goes
//! through a double. There is no I/O.

use super::config::Type;
use super::fields::Kind;
use crate::table::shown;
use handover_records::json;
use jiff::civil::Date;

/// What became of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// It fits as it stands.
    AsIs(Kind),
    /// It fits, and was written anew.
    Written(Kind),
}

/// Casts a text: what fits only when it is written otherwise is appended to `into`.
///
/// # Errors
/// Why it does not fit, for people.
pub(super) fn cast(to: Type, text: &[u8], into: &mut Vec<u8>) -> Result<Fit, String> {
    let fits = match to {
        Type::String => Some(Fit::AsIs(Kind::Text)),
        Type::Integer => integer(text, into),
        Type::Number => number(text, into),
        Type::Boolean => boolean(text, into),
        Type::Date => is_date(text).then_some(Fit::AsIs(Kind::Text)),
        Type::Time => is_time(text).then_some(Fit::AsIs(Kind::Text)),
        Type::Datetime => datetime(text, into),
        Type::Json => return as_json(text),
    };
    fits.ok_or_else(|| {
        let what = match to {
            Type::Integer => "an integer",
            Type::Number => "a number",
            Type::Boolean => "a boolean",
            Type::Date => "a date (YYYY-MM-DD)",
            Type::Time => "a time (hh:mm:ss)",
            _ => "a datetime (YYYY-MM-DDThh:mm:ss)",
        };
        format!("{} is not {what}", shown(&String::from_utf8_lossy(text)))
    })
}

fn all_digits(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

/// Whether it is digits as JSON has them before the point: no zero before another digit.
fn is_plain_whole(text: &[u8]) -> bool {
    all_digits(text) && (text.len() == 1 || text[0] != b'0')
}

fn unsigned(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"-").unwrap_or(text)
}

fn push_whole(into: &mut Vec<u8>, negative: bool, digits: &[u8]) {
    let zeros = digits.iter().take_while(|byte| **byte == b'0').count();
    let digits = &digits[zeros..];
    if negative && !digits.is_empty() {
        into.push(b'-');
    }
    into.extend_from_slice(if digits.is_empty() { b"0" } else { digits });
}

fn integer(text: &[u8], into: &mut Vec<u8>) -> Option<Fit> {
    if is_plain_whole(unsigned(text)) && text != b"-0" {
        return Some(Fit::AsIs(Kind::Number));
    }
    let (negative, digits) = sign(text);
    all_digits(digits).then(|| {
        push_whole(into, negative, digits);
        Fit::Written(Kind::Number)
    })
}

/// Whether it is negative, and the text without its sign.
fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    }
}

/// So many digits no double is too small for.
const FINITE_DIGITS: usize = 300;

fn number(text: &[u8], into: &mut Vec<u8>) -> Option<Fit> {
    let bare = unsigned(text);
    let whole = bare.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if bare.len() <= FINITE_DIGITS && is_plain_whole(&bare[..whole]) {
        match &bare[whole..] {
            [] => return Some(Fit::AsIs(Kind::Number)),
            [b'.', decimals @ ..] if all_digits(decimals) => return Some(Fit::AsIs(Kind::Number)),
            _ => {}
        }
    }
    other_number(text, into)
}

/// A number that JSON would write otherwise: with a plus sign, leading zeros, a bare point, or an exponent.
fn other_number(text: &[u8], into: &mut Vec<u8>) -> Option<Fit> {
    let (negative, bare) = sign(text);
    let (mantissa, exponent) = match bare.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => (&bare[..at], Some(&bare[at + 1..])),
        None => (bare, None),
    };
    let (whole, decimals) = match mantissa.iter().position(|byte| *byte == b'.') {
        Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
        None => (mantissa, &b""[..]),
    };
    let digits = |text: &[u8]| text.iter().all(u8::is_ascii_digit);
    let power = exponent.is_none_or(|power| all_digits(sign(power).1));
    if !digits(whole) || !digits(decimals) || whole.len() + decimals.len() == 0 || !power {
        return None;
    }
    // What no double can hold is no number that another program would read.
    if (exponent.is_some() || bare.len() > FINITE_DIGITS)
        && !std::str::from_utf8(text).ok()?.parse::<f64>().is_ok_and(f64::is_finite)
    {
        return None;
    }
    if negative {
        into.push(b'-');
    }
    push_whole(into, false, whole);
    if !decimals.is_empty() {
        into.push(b'.');
        into.extend_from_slice(decimals);
    }
    if let Some(power) = exponent {
        into.push(b'e');
        into.extend_from_slice(power);
    }
    Some(Fit::Written(Kind::Number))
}

fn boolean(text: &[u8], into: &mut Vec<u8>) -> Option<Fit> {
    match text {
        b"true" | b"false" => return Some(Fit::AsIs(Kind::Bool)),
        b"True" | b"TRUE" | b"1" => into.extend_from_slice(b"true"),
        b"False" | b"FALSE" | b"0" => into.extend_from_slice(b"false"),
        _ => return None,
    }
    Some(Fit::Written(Kind::Bool))
}

fn as_json(text: &[u8]) -> Result<Fit, String> {
    match json::check(text) {
        Ok(()) => Ok(Fit::AsIs(Kind::Json)),
        Err(problem) => Err(format!("{}: {problem}", shown(&String::from_utf8_lossy(text)))),
    }
}

/// What a text looks like. Where a number or a boolean in its place could lose something, it stays text: leading zeros
/// (`007`), a sign before zero or a plus, exponents, and more digits than every reader of JSON keeps.
pub(super) fn infer(text: &[u8]) -> Kind {
    /// Of so many digits every double keeps each.
    const DIGITS_MAX: usize = 15;
    if matches!(text, b"true" | b"false") {
        return Kind::Bool;
    }
    let bare = unsigned(text);
    let whole = bare.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let decimals = match &bare[whole..] {
        [] => 0,
        [b'.', decimals @ ..] if all_digits(decimals) => decimals.len(),
        _ => return Kind::Text,
    };
    let zero = bare.len() < text.len() && bare.iter().all(|byte| matches!(byte, b'0' | b'.'));
    if is_plain_whole(&bare[..whole]) && whole + decimals <= DIGITS_MAX && !zero {
        Kind::Number
    } else {
        Kind::Text
    }
}

/// The number of digits at this place.
pub(super) fn two_digits(text: &[u8], at: usize) -> Option<i8> {
    match text.get(at..at + 2)? {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => i8::try_from((tens - b'0') * 10 + (ones - b'0')).ok(),
        _ => None,
    }
}

/// The year of four digits at this place.
pub(super) fn four_digits(text: &[u8], at: usize) -> Option<i16> {
    Some(i16::from(two_digits(text, at)?) * 100 + i16::from(two_digits(text, at + 2)?))
}

fn is_date(text: &[u8]) -> bool {
    let date = || {
        if text.len() != 10 || text[4] != b'-' || text[7] != b'-' {
            return None;
        }
        Date::new(four_digits(text, 0)?, two_digits(text, 5)?, two_digits(text, 8)?).ok()
    };
    date().is_some()
}

/// `hh:mm:ss`, perhaps with a fraction.
fn is_time(text: &[u8]) -> bool {
    let clock = |at: usize, limit: i8| two_digits(text, at).is_some_and(|number| number < limit);
    let fraction = match text.get(8..) {
        Some([]) => true,
        Some([b'.', digits @ ..]) => all_digits(digits) && digits.len() <= 9,
        _ => false,
    };
    fraction && clock(0, 24) && text[2] == b':' && clock(3, 60) && text[5] == b':' && clock(6, 60)
}

/// Whether it is `Z` or an offset such as `+01:00`.
fn is_offset(text: &[u8]) -> bool {
    match text {
        b"Z" => true,
        [b'+' | b'-', rest @ ..] => {
            rest.len() == 5
                && rest[2] == b':'
                && two_digits(rest, 0).is_some_and(|hours| hours <= 14)
                && two_digits(rest, 3).is_some_and(|minutes| minutes < 60)
        }
        _ => false,
    }
}

fn datetime(text: &[u8], into: &mut Vec<u8>) -> Option<Fit> {
    let (date, rest) = text.split_at_checked(10)?;
    let (between, rest) = rest.split_first()?;
    let time = rest.iter().position(|byte| matches!(byte, b'Z' | b'+' | b'-')).unwrap_or(rest.len());
    let (time, offset) = rest.split_at(time);
    if !is_date(date) || !is_time(time) || !(offset.is_empty() || is_offset(offset)) {
        return None;
    }
    match between {
        b'T' => Some(Fit::AsIs(Kind::Text)),
        b' ' => {
            into.extend_from_slice(date);
            into.push(b'T');
            into.extend_from_slice(rest);
            Some(Fit::Written(Kind::Text))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cast_to(to: Type, text: &str) -> Result<String, String> {
        let mut into = Vec::new();
        Ok(match cast(to, text.as_bytes(), &mut into)? {
            Fit::AsIs(_) => text.to_owned(),
            Fit::Written(_) => String::from_utf8(into).unwrap(),
        })
    }

    #[test]
    fn each_type_takes_its_own_and_no_other() {
        for (to, good, bad) in [
            (
                Type::Integer,
                &[("7", "7"), ("-7", "-7"), ("007", "7"), ("+5", "5"), ("-0", "0"), ("00", "0")][..],
                &["", "-", "1.0", "1e3", " 1", "1 ", "٣", "0x1", "+-1"][..],
            ),
            (
                Type::Number,
                &[
                    ("1.50", "1.50"),
                    (".5", "0.5"),
                    ("1.", "1"),
                    ("-01.5", "-1.5"),
                    ("+1E+3", "1e+3"),
                    ("-0", "-0"),
                ],
                &["", ".", "NaN", "INF", "1e999", "1e", "1,5", "1.5.2", "--1", "e5"],
            ),
            (Type::Boolean, &[("true", "true"), ("FALSE", "false"), ("1", "true")], &["yes", "tRue", ""]),
            (
                Type::Date,
                &[("2012-02-29", "2012-02-29")],
                &["2013-02-29", "2013-1-1", "2013-01-01T", "", "2013/01/01"],
            ),
            (
                Type::Time,
                &[("10:00:00.5", "10:00:00.5")],
                &["24:00:00", "10:00", "10:00:60", "10:00:00.", ""],
            ),
            (
                Type::Datetime,
                &[
                    ("2013-01-01T10:00:00Z", "2013-01-01T10:00:00Z"),
                    ("2013-01-01 10:00:00.25-05:30", "2013-01-01T10:00:00.25-05:30"),
                ],
                &[
                    "2013-01-01",
                    "2013-01-01x10:00:00",
                    "2013-01-01T10:00:00+15:00",
                    "2013-02-30T10:00:00",
                    "é013-01-01T",
                ],
            ),
            (
                Type::Json,
                &[("{\"a\": [1]}", "{\"a\": [1]}"), ("null", "null")],
                &["", "{a:1}", "{\"a\":1,\"a\":2}"],
            ),
            (Type::String, &[("", ""), ("x", "x")], &[]),
        ] {
            for (text, written) in good {
                assert_eq!(cast_to(to, text).as_deref(), Ok(*written), "{to:?} {text}");
            }
            for text in bad {
                assert!(cast_to(to, text).is_err(), "{to:?} {text}");
            }
        }
        assert_eq!(cast_to(Type::Integer, "x\n").unwrap_err(), "\"x\\n\" is not an integer");
    }

    #[test]
    fn numbers_of_any_length_keep_their_digits() {
        let long = "9".repeat(60);
        assert_eq!(cast_to(Type::Integer, &long).unwrap(), long);
        assert_eq!(cast_to(Type::Number, &format!("0.{long}")).unwrap(), format!("0.{long}"));
        assert!(cast_to(Type::Number, &"9".repeat(400)).is_err());
        assert!(cast_to(Type::Integer, &"9".repeat(400)).is_ok());
    }

    #[test]
    fn what_could_lose_something_stays_text() {
        for text in ["1", "-5", "0", "1.50", "123456789012345", "0.1"] {
            assert_eq!(infer(text.as_bytes()), Kind::Number, "{text}");
        }
        for text in [
            "007",
            "+1",
            "-0",
            "-0.0",
            "1e5",
            "1234567890123456",
            "1.",
            ".5",
            "",
            "-",
            "1,5",
            "NaN",
            "0123.5",
        ] {
            assert_eq!(infer(text.as_bytes()), Kind::Text, "{text}");
        }
        assert_eq!((infer(b"true"), infer(b"True")), (Kind::Bool, Kind::Text));
    }

    proptest! {
        #[test]
        fn what_fits_is_json(text in "[-+]?[0-9.eE+-]{0,12}") {
            let mut into = Vec::new();
            for to in [Type::Number, Type::Integer] {
                into.clear();
                if let Ok(fit) = cast(to, text.as_bytes(), &mut into) {
                    let written = if matches!(fit, Fit::AsIs(_)) { text.as_bytes() } else { &into };
                    let number: serde_json::Number = serde_json::from_slice(written).unwrap();
                    let value = text.parse::<f64>().unwrap();
                    prop_assert_eq!(number.as_f64().unwrap(), value);
                }
            }
            if infer(text.as_bytes()) == Kind::Number {
                prop_assert!(serde_json::from_str::<serde_json::Number>(&text).is_ok());
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in proptest::collection::vec(any::<u8>(), 0..30)) {
            let mut into = Vec::new();
            for to in [Type::Integer, Type::Number, Type::Boolean, Type::Date, Type::Time, Type::Datetime, Type::Json] {
                let _ = cast(to, &text, &mut into);
            }
            let _ = infer(&text);
        }
    }
}
