//! Durations of ISO 8601, such as `P1Y2M10DT2H30M`, `P2W` or `-PT0.5S`.
//!
//! The last number may have decimals, with a point or a comma. Two durations are compared as XML Schema does
//! (<https://www.w3.org/TR/xmlschema-2/#duration>): months have no length of their own, so `P1M` and `P30D` are in no order.
//! There is no I/O.

use std::cmp::Ordering;

const SECOND: i128 = 1_000_000_000;
const DAY: i128 = 86_400 * SECOND;

/// A duration: months and nanoseconds, which are not comparable with one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    months: i128,
    nanoseconds: i128,
}

impl Span {
    /// Reads a duration; none where the text is none.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (sign, rest) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text.strip_prefix('+').unwrap_or(text)),
        };
        let rest = rest.strip_prefix('P')?;
        let (date, time) = match rest.split_once('T') {
            Some((_, "")) => return None,
            Some((date, time)) => (date, Some(time)),
            None => (rest, None),
        };
        if rest.is_empty() {
            return None;
        }
        let mut span = Self { months: 0, nanoseconds: 0 };
        span.add(date, b"YMWD", time.is_none())?;
        span.add(time.unwrap_or(""), b"HMS", true)?;
        Some(Self { months: sign * span.months, nanoseconds: sign * span.nanoseconds })
    }

    /// Adds numbers each followed by one of these letters, in their order; the last may have decimals.
    fn add(&mut self, mut text: &str, letters: &[u8], decimals: bool) -> Option<()> {
        let time = letters.first() == Some(&b'H');
        let mut letters = letters.iter();
        while !text.is_empty() {
            let end = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ',')?;
            let letter = *text.as_bytes().get(end)?;
            letters.find(|known| **known == letter)?;
            let (number, rest) = (&text[..end], text.get(end + 1..)?);
            let (whole, part) = number.split_once(['.', ',']).unwrap_or((number, "0"));
            let has_part = whole.len() != number.len();
            if whole.is_empty() || part.is_empty() || (has_part && !(decimals && rest.is_empty())) {
                return None;
            }
            self.add_one(letter, time, whole.parse().ok()?, fraction(part)?)?;
            text = rest;
        }
        Some(())
    }

    /// `part` is in 10^-9.
    fn add_one(&mut self, letter: u8, time: bool, whole: i64, part: i128) -> Option<()> {
        let unit = match (letter, time) {
            (b'Y' | b'M', false) => {
                let months = if letter == b'Y' { 12 } else { 1 };
                self.months = self.months.checked_add(i128::from(whole) * months)?;
                // Parts of a year are months; parts of a month are of 30 days, as nothing says which month.
                let month_parts = part * months;
                self.months += month_parts / SECOND;
                self.nanoseconds += month_parts % SECOND * 30 * (DAY / SECOND);
                return Some(());
            }
            (b'W', _) => 7 * DAY,
            (b'D', _) => DAY,
            (b'H', _) => 3600 * SECOND,
            (b'M', true) => 60 * SECOND,
            _ => SECOND,
        };
        let added = i128::from(whole).checked_mul(unit)?.checked_add(part * (unit / SECOND))?;
        self.nanoseconds = self.nanoseconds.checked_add(added)?;
        Some(())
    }

    /// The order of two; none where it depends on the month.
    pub(crate) fn compare(&self, other: &Self) -> Option<Ordering> {
        let months = self.months - other.months;
        let rest = self.nanoseconds.checked_sub(other.nanoseconds)?;
        // So many months are at least and at most so many days (28 in one month, 30.4 in the long run).
        let (shortest, longest) = (days(months.abs(), true), days(months.abs(), false));
        let (least, most) = if months >= 0 { (shortest, longest) } else { (-longest, -shortest) };
        let (least, most) =
            (least.checked_mul(DAY)?.checked_add(rest)?, most.checked_mul(DAY)?.checked_add(rest)?);
        match (least.cmp(&0), most.cmp(&0)) {
            (one, other) if one == other => Some(one),
            _ => None,
        }
    }

    /// Equal durations have equal keys.
    pub(crate) fn key(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.months.to_be_bytes());
        into.extend_from_slice(&self.nanoseconds.to_be_bytes());
    }
}

/// The fewest or the most days that so many months can have.
fn days(months: i128, fewest: bool) -> i128 {
    const FEWEST: [i128; 12] = [0, 28, 59, 89, 120, 150, 181, 212, 242, 273, 303, 334];
    const MOST: [i128; 12] = [0, 31, 62, 92, 123, 153, 184, 215, 245, 276, 306, 337];
    let (years, rest) = (months / 12, usize::try_from(months % 12).unwrap_or(0));
    if fewest {
        // In any run of years one in four is longer, but a run of a century may miss one.
        years * 365 + (years / 4 - (years + 99) / 100).max(0) + FEWEST[rest]
    } else {
        years * 365 + (years + 3) / 4 + MOST[rest]
    }
}

/// Decimals in units of 10^-9; what lies beyond is cut off.
fn fraction(text: &str) -> Option<i128> {
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    format!("{text:0<9.9}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn span(text: &str) -> Span {
        Span::read(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn what_is_a_duration_and_what_is_not() {
        for text in ["P1Y", "P1Y2M10DT2H30M", "PT0.5S", "-P1D", "P2W", "P1.5D", "PT1,5H", "P0D", "+P1D"] {
            span(text);
        }
        for text in [
            "", "P", "PT", "1Y", "P1H", "P1M1Y", "PT1.5H1M", "P1.5DT1H", "PY", "PT.S", "PT1.S", "P1D ",
            "p1d", "P1é",
        ] {
            assert_eq!(Span::read(text), None, "{text}");
        }
    }

    #[test]
    fn they_are_in_an_order_where_the_month_does_not_matter() {
        for (less, more) in [
            ("P1D", "P2D"),
            ("PT23H", "P1D"),
            ("P1M", "P32D"),
            ("P27D", "P1M"),
            ("P1Y", "P13M"),
            ("-P1D", "PT0S"),
        ] {
            assert_eq!(span(less).compare(&span(more)), Some(Ordering::Less), "{less} {more}");
            assert_eq!(span(more).compare(&span(less)), Some(Ordering::Greater), "{more} {less}");
        }
        assert_eq!(span("P1M").compare(&span("P30D")), None);
        assert_eq!(span("PT24H").compare(&span("P1D")), Some(Ordering::Equal));
        assert_eq!((span("PT60M"), span("P12M")), (span("PT1H"), span("P1Y")));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "-?P?[0-9.,YMWDTHSé]{0,30}") {
            if let Some(span) = Span::read(&text) {
                prop_assert_eq!(span.compare(&span), Some(Ordering::Equal));
            }
        }
    }
}
