//! The quick judgement: whether a cell is surely fine, from its bytes, without allocating.
//!
//! A schema is compiled to one [`Column`] a field. What a column does not accept is not wrong yet: it goes to the exact
//! judgement ([`super::judge`]), which also has the reasons.
//!
//! Invariant: what is accepted here the exact judgement accepts too, as the same sort (a value, or none). There is no
//! I/O, and no bytes make it panic.

use super::field::{Bound, Field, FieldType, StringFormat, Value};
use super::number::{Number, NumberFormat};
use super::pattern::Pattern;
use super::temporal::{Moment, TimeFormat};
use super::words::Words;

/// What a column says of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Not known here.
    Ask,
    /// It stands for no value, and may.
    Missing,
    /// It is a value, and fine.
    Fine,
}

/// A field, compiled.
#[derive(Debug)]
pub(super) struct Column {
    check: Check,
    /// What is said of an empty cell.
    empty: Verdict,
    /// What else stands for no value.
    missing: Vec<Vec<u8>>,
    on_missing: Verdict,
}

#[derive(Debug)]
enum Check {
    /// Every text is fine.
    Always,
    /// Not for here.
    Never,
    /// A string with these constraints.
    Text(Box<Text>),
    /// One of these words.
    Words(Words),
    /// At most 18 digits with perhaps a sign.
    Integer { least: i64, most: i64 },
    /// At most 15 digits with perhaps a sign and a point.
    Number { above: f64, below: f64 },
    /// `YYYY-MM-DD` between two days.
    Date { least: i64, most: i64 },
    /// `hh:mm:ss`, perhaps `Z`.
    Time,
    /// `YYYY-MM-DDThh:mm:ss`, perhaps `Z`.
    DateTime,
    /// `YYYY`
    Year { least: i64, most: i64 },
}

#[derive(Debug)]
struct Text {
    pattern: Option<Pattern>,
    least_chars: usize,
    most_chars: usize,
    words: Option<Words>,
}

impl Column {
    /// Compiles a field.
    pub(super) fn new(field: &Field) -> Self {
        let check = Check::new(field);
        let required = field.constraints.required;
        let on_missing = if required { Verdict::Ask } else { Verdict::Missing };
        let empty = match (field.is_missing(""), check.accepts(b"", 0)) {
            (true, _) => on_missing,
            (false, true) => Verdict::Fine,
            (false, false) => Verdict::Ask,
        };
        let missing = field.missing.iter().filter(|word| !word.is_empty());
        Self { check, empty, missing: missing.map(|word| word.clone().into_bytes()).collect(), on_missing }
    }

    /// What is known of this cell, which is UTF-8. `tail` is the eight bytes that end where it does, the last of them the
    /// highest; or zero, where they are not at hand.
    #[inline]
    pub(super) fn judge(&self, text: &[u8], tail: u64) -> Verdict {
        if text.is_empty() {
            return self.empty;
        }
        if !self.missing.is_empty() && self.missing.iter().any(|word| word == text) {
            return self.on_missing;
        }
        if self.check.accepts(text, tail) { Verdict::Fine } else { Verdict::Ask }
    }
}

impl Check {
    fn new(field: &Field) -> Self {
        let bounds = &field.constraints;
        let compared = [&bounds.minimum, &bounds.maximum, &bounds.above, &bounds.below];
        let bounded = compared.iter().any(|bound| bound.is_some());
        if bounds.json_schema.is_some() {
            return Check::Never;
        }
        match &field.kind {
            FieldType::String(StringFormat::Default) => Self::text(field),
            FieldType::Any if bounds.allowed.is_none() => Check::Always,
            FieldType::Boolean { yes, no } if bounds.allowed.is_none() => {
                Check::Words(Words::new(yes.iter().chain(no).map(String::as_bytes)))
            }
            _ if bounds.allowed.is_some() => Check::Never,
            FieldType::Integer(format) if is_plain(format) => integer_range(field, number)
                .map_or(Check::Never, |(least, most)| Check::Integer { least, most }),
            FieldType::Number(format) if is_plain(format) => Self::number(field),
            FieldType::Moment(Moment::Date, TimeFormat::Default) => {
                integer_range(field, point).map_or(Check::Never, |(least, most)| Check::Date { least, most })
            }
            FieldType::Year => {
                integer_range(field, point).map_or(Check::Never, |(least, most)| Check::Year { least, most })
            }
            FieldType::Moment(Moment::Time, TimeFormat::Default) if !bounded => Check::Time,
            FieldType::Moment(Moment::DateTime, TimeFormat::Default) if !bounded => Check::DateTime,
            _ => Check::Never,
        }
    }

    fn text(field: &Field) -> Self {
        let bounds = &field.constraints;
        let pattern = match &bounds.pattern {
            None => None,
            Some((written, _)) => match Pattern::new(written) {
                None => return Check::Never,
                compiled => compiled,
            },
        };
        let words = bounds.allowed.as_ref().map(|(_, keys)| Words::new(keys.iter().map(Vec::as_slice)));
        let (least_chars, most_chars) =
            (bounds.min_length.unwrap_or(0), bounds.max_length.unwrap_or(usize::MAX));
        let any_length = least_chars == 0 && most_chars == usize::MAX;
        match (pattern, words) {
            (None, None) if any_length => Check::Always,
            (None, Some(words)) if any_length => Check::Words(words),
            (pattern, words) => Check::Text(Box::new(Text { pattern, least_chars, most_chars, words })),
        }
    }

    fn number(field: &Field) -> Self {
        let bounds = &field.constraints;
        // Rounding keeps the order, so what lies strictly between the rounded bounds lies between the exact ones.
        let near = |bound: &Bound, none: f64| match bound {
            None => Some(none),
            Some((_, Value::Number(Number::Finite(decimal)))) => Some(decimal.to_f64()),
            Some(_) => None,
        };
        let lower = (near(&bounds.minimum, f64::NEG_INFINITY), near(&bounds.above, f64::NEG_INFINITY));
        let upper = (near(&bounds.maximum, f64::INFINITY), near(&bounds.below, f64::INFINITY));
        match (lower, upper) {
            ((Some(a), Some(b)), (Some(c), Some(d))) => Check::Number { above: a.max(b), below: c.min(d) },
            _ => Check::Never,
        }
    }

    #[inline]
    fn accepts(&self, text: &[u8], tail: u64) -> bool {
        match self {
            Check::Always => true,
            Check::Never => false,
            Check::Text(check) => check.accepts(text),
            Check::Words(words) => words.contains(text),
            Check::Integer { least, most } => short_integer(text.len(), tail)
                .or_else(|| integer(text))
                .is_some_and(|number| *least <= number && number <= *most),
            Check::Number { above, below } => {
                decimal(text).is_some_and(|number| *above < number && number < *below)
            }
            Check::Date { least, most } => date(text).is_some_and(|day| *least <= day && day <= *most),
            Check::Time => is_time(without_z(text)),
            Check::DateTime => match text.split_at_checked(10) {
                Some((day, [b'T', rest @ ..])) => date(day).is_some() && is_time(without_z(rest)),
                _ => false,
            },
            Check::Year { least, most } => {
                text.len() == 4 && digits(text).is_some_and(|year| *least <= year && year <= *most)
            }
        }
    }
}

impl Text {
    fn accepts(&self, text: &[u8]) -> bool {
        let length_fine = (self.least_chars == 0 && self.most_chars == usize::MAX) || {
            // Every character has one byte that does not continue another.
            let chars = text.iter().filter(|byte| (**byte & 0xC0) != 0x80).count();
            self.least_chars <= chars && chars <= self.most_chars
        };
        length_fine
            && self.pattern.as_ref().is_none_or(|pattern| pattern.matches(text))
            && self.words.as_ref().is_none_or(|words| words.contains(text))
    }
}

fn is_plain(format: &NumberFormat) -> bool {
    format.bare && format.group.is_none() && format.decimal.as_deref().is_none_or(|point| point == ".")
}

fn number(value: &Value) -> Option<i128> {
    match value {
        Value::Number(Number::Finite(decimal)) => decimal.scaled(0),
        _ => None,
    }
}

fn point(value: &Value) -> Option<i128> {
    match value {
        Value::Point(point) => Some(*point),
        _ => None,
    }
}

/// The whole numbers between the bounds; none where the bounds are not whole or leave nothing.
fn integer_range(field: &Field, read: fn(&Value) -> Option<i128>) -> Option<(i64, i64)> {
    let bounds = &field.constraints;
    let at = |bound: &Bound, none: i64, step: i128| match bound {
        None => Some(i128::from(none)),
        Some((_, value)) => read(value)?.checked_add(step),
    };
    let least = at(&bounds.minimum, i64::MIN, 0)?.max(at(&bounds.above, i64::MIN, 1)?);
    let most = at(&bounds.maximum, i64::MAX, 0)?.min(at(&bounds.below, i64::MAX, -1)?);
    let clamp = |number: i128| i64::try_from(number.clamp(i64::MIN.into(), i64::MAX.into())).ok();
    if least > i128::from(i64::MAX) || most < i128::from(i64::MIN) {
        return None;
    }
    Some((clamp(least)?, clamp(most)?))
}

/// A number of 1 to 18 digits.
#[inline]
fn digits(text: &[u8]) -> Option<i64> {
    if text.is_empty() || text.len() > 18 {
        return None;
    }
    let mut number = 0i64;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number * 10 + i64::from(digit);
    }
    Some(number)
}

/// The same as [`integer`], of a text of at most eight bytes without a plus, from its tail: all bytes at once, and no branch
/// on how many there are. None also where it is something else.
#[inline]
fn short_integer(length: usize, tail: u64) -> Option<i64> {
    const ZEROS: u64 = 0x3030_3030_3030_3030;
    const HIGH: u64 = 0xF0F0_F0F0_F0F0_F0F0;
    if length.wrapping_sub(1) >= 8 {
        return None;
    }
    let negative = tail >> (64 - 8 * length) & 0xFF == u64::from(b'-');
    let unused = 64 - 8 * (length - usize::from(negative));
    // What stands before the digits, the sign too, becomes zeros. A sign alone has no digits.
    let kept = u64::MAX.checked_shl(u32::try_from(unused).ok()?)?;
    let digits = tail & kept | ZEROS & !kept;
    if digits & HIGH != ZEROS || digits.wrapping_add(0x0606_0606_0606_0606) & HIGH != ZEROS {
        return None;
    }
    // Pairs of digits, then fours, then all eight.
    let pairs = (digits & !HIGH).wrapping_mul(10).wrapping_add((digits & !HIGH) >> 8) & 0x00FF_00FF_00FF_00FF;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_FFFF_0000_FFFF;
    let number = i64::try_from(fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xFFFF_FFFF).ok()?;
    Some(if negative { -number } else { number })
}

/// A whole number of at most 18 digits with perhaps a sign.
#[inline]
pub(super) fn integer(text: &[u8]) -> Option<i64> {
    match text {
        [b'-', rest @ ..] => digits(rest).map(|number| -number),
        [b'+', rest @ ..] => digits(rest),
        rest => digits(rest),
    }
}

/// A number of at most 15 digits with perhaps a sign and a point, rounded to the nearest: both parts of the division are
/// exact.
#[inline]
#[allow(clippy::cast_precision_loss, reason = "at most 15 digits")]
fn decimal(text: &[u8]) -> Option<f64> {
    const POWERS: [f64; 16] =
        [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if text.len() > 16 {
        return None;
    }
    let (mut number, mut count, mut decimals, mut pointed) = (0i64, 0, 0usize, false);
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            number = number * 10 + i64::from(digit);
            count += 1;
            decimals += usize::from(pointed);
        } else if *byte == b'.' && !pointed {
            pointed = true;
        } else {
            return None;
        }
    }
    if count == 0 || count > 15 {
        return None;
    }
    let number = number as f64 / POWERS.get(decimals)?;
    Some(if negative { -number } else { number })
}

/// The day of `YYYY-MM-DD`, as [`super::temporal`] counts it.
#[inline]
fn date(text: &[u8]) -> Option<i64> {
    let [a, b, c, d, b'-', e, f, b'-', g, h] = text else { return None };
    let (year, month, day) = (digits(&[*a, *b, *c, *d])?, digits(&[*e, *f])?, digits(&[*g, *h])?);
    let longest = match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    (1..=longest).contains(&day).then_some((year * 16 + month) * 32 + day)
}

#[inline]
fn is_time(text: &[u8]) -> bool {
    let [a, b, b':', c, d, b':', e, f] = text else { return false };
    let below = |tens: u8, ones: u8, end: i64| digits(&[tens, ones]).is_some_and(|number| number < end);
    below(*a, *b, 24) && below(*c, *d, 60) && below(*e, *f, 60)
}

fn without_z(text: &[u8]) -> &[u8] {
    text.strip_suffix(b"Z").unwrap_or(text)
}

#[cfg(test)]
#[path = "fast_tests.rs"]
mod tests;
