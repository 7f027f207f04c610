//! Dates and times by patterns, with the names of months and days in several languages.
//!
//! Patterns are those of `strptime` as the jiff crate reads them, and are tried when the app is made. What is read is
//! written as ISO 8601, or by another pattern. There is no I/O.

use super::cast::{four_digits, two_digits};
use super::config::{Dates, OneOrMore};
use super::months::{self, Language};
use handover_core::suggest::nearest;
use handover_core::{Error, Result};
use jiff::civil::{Date, DateTime};
use jiff::fmt::strtime::{self, BrokenDownTime};
use jiff::tz::TimeZone;
use std::io::Write as _;

/// What patterns read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    Date,
    Time,
    DateTime,
    /// A datetime with its offset.
    Zoned,
}

/// One part of a pattern that is read without the jiff crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    Byte(u8),
}

#[derive(Debug, Clone)]
struct Pattern {
    text: String,
    /// Where it is nothing but whole numbers and characters.
    pieces: Option<Vec<Piece>>,
}

/// The rules of one field.
#[derive(Clone)]
pub(super) struct DateRule {
    patterns: Vec<Pattern>,
    moment: Moment,
    language: Option<&'static Language>,
    to: Option<String>,
}

impl DateRule {
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] for a pattern that cannot be read or does not say enough, and for a language
    /// that is not known.
    pub(super) fn new(dates: &Dates) -> Result<Self> {
        let (from, language, to) = match dates {
            Dates::Pattern(pattern) => (vec![pattern.clone()], None, None),
            Dates::Full(full) => {
                let from = match &full.from {
                    OneOrMore::One(pattern) => vec![pattern.clone()],
                    OneOrMore::More(patterns) => patterns.clone(),
                };
                (from, full.language.as_deref(), full.to.clone())
            }
        };
        let language = language.map(known_language).transpose()?.flatten();
        let mut patterns = Vec::new();
        let mut moment = None;
        for text in from {
            let found = checked(&text)?;
            if *moment.get_or_insert(found) != found {
                return Err(Error::config(format!(
                    "{text:?} does not say the same as the patterns before it"
                ))
                .hint("all patterns of a field say a date, a time, or both"));
            }
            // The dot behind a shortened name goes with it.
            let text = if language.is_some() { text.replace("%b.", "%b").replace("%a.", "%a") } else { text };
            patterns.push(Pattern { pieces: pieces(&text), text });
        }
        let Some(moment) = moment else { return Err(Error::config("from has no pattern")) };
        let rule = Self { patterns, moment, language, to };
        if let Some(to) = &rule.to {
            sample(to).ok().filter(|_| rule.writes()).ok_or_else(|| {
                Error::config(format!("to: {to:?} cannot be written from what is read"))
                    .hint("it may hold what the patterns of `from` say, and no more")
            })?;
        }
        Ok(rule)
    }

    /// Whether what a pattern of it reads can be written by `to`.
    fn writes(&self) -> bool {
        let Some(first) = self.patterns.first() else { return false };
        let Ok(text) = sample(&first.text) else { return false };
        strtime::parse(&first.text, &text).is_ok_and(|read| self.push_read(&read, &mut Vec::new()).is_some())
    }

    /// Appends the moment; false, and nothing appended, where the text is none.
    pub(super) fn read(&self, text: &str, into: &mut Vec<u8>) -> bool {
        let start = into.len();
        let read = self.patterns.iter().any(|pattern| {
            into.truncate(start);
            let fast =
                self.to.is_none().then(|| push_fast(pattern, self.moment, text.as_bytes(), into)).flatten();
            fast.or_else(|| {
                into.truncate(start);
                self.push_any(pattern, text, into)
            })
            .is_some()
        });
        if !read {
            into.truncate(start);
        }
        read
    }

    fn push_any(&self, pattern: &Pattern, text: &str, into: &mut Vec<u8>) -> Option<()> {
        let read = match self.language {
            None => strtime::parse(&pattern.text, text).ok()?,
            Some(language) => {
                let full = |names: &str| pattern.text.contains(names);
                let english = language.in_english(text, full("%B"), full("%A"));
                strtime::parse(&pattern.text, english).ok()?
            }
        };
        self.push_read(&read, into)
    }

    fn push_read(&self, read: &BrokenDownTime, into: &mut Vec<u8>) -> Option<()> {
        match (&self.to, self.moment) {
            (Some(to), Moment::Date) => {
                into.extend_from_slice(strtime::format(to, read.to_date().ok()?).ok()?.as_bytes());
            }
            (Some(to), Moment::Time) => {
                into.extend_from_slice(strtime::format(to, read.to_time().ok()?).ok()?.as_bytes());
            }
            (Some(to), Moment::DateTime) => {
                into.extend_from_slice(strtime::format(to, read.to_datetime().ok()?).ok()?.as_bytes());
            }
            (Some(to), Moment::Zoned) => {
                let zoned =
                    read.to_timestamp().ok()?.to_zoned(read.offset().map_or(TimeZone::UTC, TimeZone::fixed));
                into.extend_from_slice(strtime::format(to, &zoned).ok()?.as_bytes());
            }
            (None, Moment::Date) => write!(into, "{}", read.to_date().ok()?).ok()?,
            (None, Moment::Time) => write!(into, "{}", read.to_time().ok()?).ok()?,
            (None, Moment::DateTime) => write!(into, "{}", read.to_datetime().ok()?).ok()?,
            (None, Moment::Zoned) => push_zoned(read, into)?,
        }
        Some(())
    }

    /// What a text should be, for people.
    pub(super) fn expected(&self) -> String {
        let patterns: Vec<&str> = self.patterns.iter().map(|pattern| pattern.text.as_str()).collect();
        format!("of the form {}", patterns.join(" or "))
    }
}

fn push_zoned(read: &BrokenDownTime, into: &mut Vec<u8>) -> Option<()> {
    let timestamp = read.to_timestamp().ok()?;
    let offset = read.offset().unwrap_or(jiff::tz::Offset::UTC);
    write!(into, "{}", offset.to_datetime(timestamp)).ok()?;
    if offset.is_zero() {
        into.push(b'Z');
        return Some(());
    }
    let minutes = offset.seconds().abs() / 60;
    let sign = if offset.is_negative() { '-' } else { '+' };
    write!(into, "{sign}{:02}:{:02}", minutes / 60, minutes % 60).ok()
}

fn known_language(code: &str) -> Result<Option<&'static Language>> {
    if code == "en" {
        return Ok(None);
    }
    months::language(code).map(Some).ok_or_else(|| {
        let error = Error::config(format!("language: {code:?} is not known"));
        match nearest(code, months::codes()) {
            Some(near) => error.hint(format!("did you mean {near}?")),
            None => error.hint(format!("known are {}", months::codes().collect::<Vec<_>>().join(", "))),
        }
    })
}

/// A moment written by a pattern.
fn sample(pattern: &str) -> Result<String, jiff::Error> {
    let sample = DateTime::constant(2013, 11, 23, 14, 5, 6, 0);
    strtime::format(pattern, &sample.to_zoned(TimeZone::UTC)?)
}

/// What a pattern reads.
fn checked(pattern: &str) -> Result<Moment> {
    let wrong = |why: String| {
        Error::config(format!("the pattern {pattern:?} cannot be used: {why}"))
            .hint("a pattern is as in strptime: %d.%m.%Y, %d/%m/%y %H:%M, %B %d, %Y")
    };
    let parts: Vec<char> = pattern
        .match_indices('%')
        .filter_map(|(at, _)| pattern[at + 1..].chars().find(|c| c.is_alphabetic()))
        .collect();
    let has = |letters: &str| parts.iter().any(|c| letters.contains(*c));
    let moment = match (has("YyCGgFDmbBhdejx"), has("HIklMSTRrXpPfN"), has("zQs")) {
        (_, _, true) => Moment::Zoned,
        (true, true, _) => Moment::DateTime,
        (true, false, _) => Moment::Date,
        (false, true, _) => Moment::Time,
        (false, false, _) if has("c") => Moment::DateTime,
        _ => return Err(wrong("it has no part of a date or a time".to_owned())),
    };
    let text = sample(pattern).map_err(|error| wrong(error.to_string()))?;
    let read = strtime::parse(pattern, &text).map_err(|error| wrong(error.to_string()))?;
    let enough = match moment {
        Moment::Date => read.to_date().map(drop),
        Moment::Time => read.to_time().map(drop),
        Moment::DateTime => read.to_datetime().map(drop),
        Moment::Zoned => read.to_timestamp().map(drop),
    };
    enough.map_err(|error| wrong(format!("it does not say enough: {error}")))?;
    Ok(moment)
}

/// The pieces of a pattern that has no others.
fn pieces(pattern: &str) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut bytes = pattern.bytes();
    while let Some(byte) = bytes.next() {
        pieces.push(match byte {
            b'%' => match bytes.next()? {
                b'Y' => Piece::Year,
                b'm' => Piece::Month,
                b'd' => Piece::Day,
                b'H' => Piece::Hour,
                b'M' => Piece::Minute,
                b'S' => Piece::Second,
                _ => return None,
            },
            byte if byte.is_ascii_punctuation() || byte.is_ascii_alphabetic() => Piece::Byte(byte),
            _ => return None,
        });
    }
    Some(pieces)
}

/// Reads a text in which every number has all its digits; none where it is anything else.
fn push_fast(pattern: &Pattern, moment: Moment, text: &[u8], into: &mut Vec<u8>) -> Option<()> {
    let (mut year, mut month, mut day) = (0, 0, 0);
    let mut clock = [0i8; 3];
    let mut at = 0;
    for piece in pattern.pieces.as_ref()? {
        at += match piece {
            Piece::Year => {
                year = four_digits(text, at)?;
                4
            }
            Piece::Byte(byte) => {
                if text.get(at) != Some(byte) {
                    return None;
                }
                1
            }
            two => {
                let number = two_digits(text, at)?;
                match two {
                    Piece::Month => month = number,
                    Piece::Day => day = number,
                    Piece::Hour => clock[0] = number,
                    Piece::Minute => clock[1] = number,
                    _ => clock[2] = number,
                }
                2
            }
        };
    }
    if at != text.len() || clock[0] > 23 || clock[1] > 59 || clock[2] > 59 {
        return None;
    }
    match moment {
        Moment::Date | Moment::DateTime => {
            Date::new(year, month, day).ok()?;
            push_number(into, year / 100);
            push_number(into, year % 100);
            into.push(b'-');
            push_number(into, i16::from(month));
            into.push(b'-');
            push_number(into, i16::from(day));
        }
        Moment::Time => {}
        Moment::Zoned => return None,
    }
    if moment != Moment::Date {
        for (index, number) in clock.iter().enumerate() {
            let between: &[u8] = match (index, moment) {
                (0, Moment::DateTime) => b"T",
                (0, _) => b"",
                _ => b":",
            };
            into.extend_from_slice(between);
            push_number(into, i16::from(*number));
        }
    }
    Some(())
}

/// Two digits.
fn push_number(into: &mut Vec<u8>, number: i16) {
    let digit = |number: i16| b'0' + u8::try_from(number % 10).unwrap_or(0);
    into.extend_from_slice(&[digit(number / 10), digit(number)]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rule(json: serde_json::Value) -> Result<DateRule> {
        DateRule::new(&serde_json::from_value(json).unwrap())
    }

    fn read(rule: &DateRule, text: &str) -> Option<String> {
        let mut into = Vec::new();
        rule.read(text, &mut into).then(|| String::from_utf8(into).unwrap())
    }

    #[test]
    fn patterns_are_read_and_written_as_iso() {
        for (pattern, text, iso) in [
            ("%d.%m.%Y", "31.01.2013", Some("2013-01-31")),
            ("%d.%m.%Y", "1.2.2013", Some("2013-02-01")),
            ("%d.%m.%Y", "30.02.2013", None),
            ("%d.%m.%Y", "31.01.2013 ", None),
            ("%m/%d/%y", "1/31/13", Some("2013-01-31")),
            ("%d/%m/%Y %H:%M", "31/01/2013 10:05", Some("2013-01-31T10:05:00")),
            ("%H.%M", "10.05", Some("10:05:00")),
            ("%I:%M %p", "10:05 pm", Some("22:05:00")),
            ("%Y-%m-%d %H:%M:%S %z", "2013-01-31 10:00:00 +0130", Some("2013-01-31T10:00:00+01:30")),
            ("%Y-%m-%d %H:%M:%S %z", "2013-01-31 10:00:00 +0000", Some("2013-01-31T10:00:00Z")),
            ("%s", "0", Some("1970-01-01T00:00:00Z")),
            ("%B %d, %Y", "January 31, 2013", Some("2013-01-31")),
        ] {
            let rule = rule(serde_json::json!(pattern)).unwrap();
            assert_eq!(read(&rule, text).as_deref(), iso, "{pattern} {text}");
        }
    }

    #[test]
    fn several_patterns_languages_and_another_form() {
        let full =
            rule(serde_json::json!({ "from": ["%d. %B %Y", "%d. %b. %Y", "%Y-%m-%d"], "language": "de" }))
                .unwrap();
        for text in ["3. März 2013", "3. Mrz. 2013", "3. mär 2013", "2013-03-03"] {
            assert_eq!(read(&full, text).as_deref(), Some("2013-03-03"), "{text}");
        }
        let other = rule(serde_json::json!({ "from": "%Y%m%d", "to": "%d/%m/%Y" })).unwrap();
        assert_eq!(read(&other, "20130131").as_deref(), Some("31/01/2013"));
        let zoned = rule(serde_json::json!({ "from": "%Y-%m-%dT%H:%M:%S%:z", "to": "%H:%M %z" })).unwrap();
        assert_eq!(read(&zoned, "2013-01-31T10:00:00+02:00").as_deref(), Some("10:00 +0200"));
    }

    #[test]
    fn what_cannot_work_is_refused() {
        for (dates, why) in [
            (serde_json::json!("%d.%m"), "does not say enough"),
            (serde_json::json!("day"), "no part of a date"),
            (serde_json::json!("%K"), "cannot be used"),
            (serde_json::json!({ "from": [] }), "no pattern"),
            (serde_json::json!({ "from": ["%d.%m.%Y", "%H:%M"] }), "does not say the same"),
            (serde_json::json!({ "from": "%d.%m.%Y", "language": "xx" }), "not known"),
            (serde_json::json!({ "from": "%d.%m.%Y", "to": "%H:%M" }), "cannot be written"),
        ] {
            let error = rule(dates.clone()).err().map(|error| error.to_string());
            assert!(error.as_deref().is_some_and(|error| error.contains(why)), "{dates}: {error:?}");
        }
    }

    proptest! {
        #[test]
        fn the_fast_way_reads_what_the_other_does(day in 0u8..33, month in 0u8..14, year in 0u16..3000, hour in 0u8..26) {
            let text = format!("{day:02}.{month:02}.{year:04} {hour:02}:00");
            for pattern in ["%d.%m.%Y_%H:%M", "%d.%m.%Y %H:%M"] {
                let text = text.replace(' ', if pattern.contains('_') { "_" } else { " " });
                let rule = rule(serde_json::json!(pattern)).unwrap();
                let slow = strtime::parse(pattern, &text).ok().and_then(|read| read.to_datetime().ok());
                prop_assert_eq!(read(&rule, &text), slow.map(|moment| moment.to_string()));
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,20}") {
            let _ = read(&rule(serde_json::json!({ "from": ["%d. %B %Y", "%d.%m.%Y"], "language": "cs" })).unwrap(), &text);
        }
    }
}
