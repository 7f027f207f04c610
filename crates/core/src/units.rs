//! Durations and sizes as people write them: `30s`, `5m`, `1 h 30 m`, `250ms`, `500 MB`, `1GiB`.
//!
//! A number and its unit, once for a size, once or more for a duration. A bare number is refused for a duration
//! (seconds or milliseconds?) and is bytes for a size. Decimal units are powers of 1000 (`MB`), binary ones of
//! 1024 (`MiB`). Nothing here does I/O.

use crate::error::{Error, Result};
use std::time::Duration;

/// The units of a duration with their length in nanoseconds. `m` is minutes; months have no fixed length.
const DURATION_UNITS: &[(&[&str], u64)] = &[
    (&["ns", "nanosecond", "nanoseconds"], 1),
    (&["us", "µs", "microsecond", "microseconds"], 1_000),
    (&["ms", "millisecond", "milliseconds"], 1_000_000),
    (&["s", "sec", "secs", "second", "seconds"], 1_000_000_000),
    (&["m", "min", "mins", "minute", "minutes"], 60_000_000_000),
    (&["h", "hr", "hrs", "hour", "hours"], 3_600_000_000_000),
    (&["d", "day", "days"], 86_400_000_000_000),
    (&["w", "week", "weeks"], 604_800_000_000_000),
];

/// The units of a size with their length in bytes. Their case does not matter.
const SIZE_UNITS: &[(&[&str], u64)] = &[
    (&["b", "byte", "bytes"], 1),
    (&["k", "kb"], 1_000),
    (&["m", "mb"], 1_000_000),
    (&["g", "gb"], 1_000_000_000),
    (&["t", "tb"], 1_000_000_000_000),
    (&["ki", "kib"], 1 << 10),
    (&["mi", "mib"], 1 << 20),
    (&["gi", "gib"], 1 << 30),
    (&["ti", "tib"], 1 << 40),
];

fn unit(units: &[(&[&str], u64)], word: &str) -> Option<u64> {
    units.iter().find(|(names, _)| names.contains(&word)).map(|(_, factor)| *factor)
}

/// One number with up to nine decimals and the word after it, as (number in billionths, word, rest).
fn number_and_word(text: &str) -> Option<(u128, &str, &str)> {
    let text = text.trim_start();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (whole, mut rest) = text.split_at(digits);
    if whole.is_empty() || whole.len() > 19 {
        return None;
    }
    let mut billionths = whole.parse::<u128>().ok()? * 1_000_000_000;
    if let Some(after) = rest.strip_prefix('.') {
        let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        if digits == 0 || digits > 9 {
            return None;
        }
        billionths += after[..digits].parse::<u128>().ok()? * 10u128.pow(9 - u32::try_from(digits).ok()?);
        rest = &after[digits..];
    }
    let rest = rest.trim_start();
    let word = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
    Some((billionths, &rest[..word], &rest[word..]))
}

/// Reads a duration: `30s`, `5m`, `1h30m`, `1 h 30 m`, `1.5 h`, `250ms`, `7 days`; plain `0` too.
///
/// # Errors
/// [`crate::ErrorKind::Config`] for any other text, for a number without a unit and for more than 500 years.
pub fn parse_duration(text: &str) -> Result<Duration> {
    let refuse = |why: &str| {
        Error::config(format!("{text:?} is not a duration: {why}"))
            .hint("write a number and a unit, such as 250ms, 30s, 5m, 1h 30m or 7d")
    };
    if text.trim() == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text.trim();
    let mut nanoseconds: u128 = 0;
    loop {
        let (billionths, word, after) =
            number_and_word(rest).ok_or_else(|| refuse("it is not numbers with their units"))?;
        if word.is_empty() {
            return Err(refuse("a number has no unit"));
        }
        let factor =
            unit(DURATION_UNITS, word).ok_or_else(|| refuse(&format!("{word:?} is not a unit of time")))?;
        nanoseconds =
            nanoseconds.saturating_add(billionths.saturating_mul(u128::from(factor)) / 1_000_000_000);
        rest = after.trim_start();
        if rest.is_empty() {
            break;
        }
    }
    let most = 500 * 365 * 86_400 * 1_000_000_000u128;
    if nanoseconds > most {
        return Err(refuse("it is longer than 500 years"));
    }
    let nanoseconds = u64::try_from(nanoseconds).map_err(|_| refuse("it is longer than 500 years"))?;
    Ok(Duration::from_nanos(nanoseconds))
}

/// Reads a size in bytes: `500 MB`, `1GiB`, `1.5 kB`, or a bare number of bytes.
///
/// # Errors
/// [`crate::ErrorKind::Config`] for any other text and for more than 2^63 bytes.
pub fn parse_size(text: &str) -> Result<u64> {
    let refuse = |why: &str| {
        Error::config(format!("{text:?} is not a size: {why}"))
            .hint("write a number and a unit, such as 500 MB, 1GiB or 64 KiB; a bare number is bytes")
    };
    let (billionths, word, rest) =
        number_and_word(text).ok_or_else(|| refuse("it is not a number with its unit"))?;
    if !rest.trim().is_empty() {
        return Err(refuse("something follows the unit"));
    }
    let factor = if word.is_empty() { Some(1) } else { unit(SIZE_UNITS, &word.to_ascii_lowercase()) }
        .ok_or_else(|| refuse(&format!("{word:?} is not a unit of size")))?;
    let bytes = billionths.saturating_mul(u128::from(factor)) / 1_000_000_000;
    i64::try_from(bytes).map(i64::unsigned_abs).map_err(|_| refuse("it is too large"))
}

/// A duration as [`parse_duration`] reads it, with the largest units that lose nothing: `1h 30m`, `250ms`.
pub fn format_duration(duration: Duration) -> String {
    let mut rest = duration.as_nanos();
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut parts = Vec::new();
    for (names, factor) in DURATION_UNITS.iter().rev().filter(|(names, _)| names[0] != "w") {
        let count = rest / u128::from(*factor);
        rest %= u128::from(*factor);
        if count > 0 {
            parts.push(format!("{count}{}", names[0]));
        }
    }
    parts.join(" ")
}

/// A size for people: three digits or so and a decimal unit, `31.1 MB`. It is rounded.
pub fn format_size(bytes: u64) -> String {
    let units = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1_000 {
        return format!("{bytes} B");
    }
    #[allow(clippy::cast_precision_loss)]
    let mut number = bytes as f64 / 1_000.0;
    let mut at = 0;
    while number >= 999.95 && at + 1 < units.len() {
        number /= 1_000.0;
        at += 1;
    }
    format!("{number:.1} {}", units[at])
}

/// What a configuration may hold for a duration or a size: text, or a number.
struct Text;

impl serde::de::Visitor<'_> for Text {
    type Value = String;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a number with its unit, such as 30s or 500 MB")
    }
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }
    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<String, E> {
        Ok(number.to_string())
    }
    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<String, E> {
        Ok(number.to_string())
    }
    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<String, E> {
        Ok(number.to_string())
    }
}

struct OptionalText;

impl<'de> serde::de::Visitor<'de> for OptionalText {
    type Value = Option<String>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a number with its unit, such as 30s or 500 MB, or null")
    }
    fn visit_none<E>(self) -> Result<Option<String>, E> {
        Ok(None)
    }
    fn visit_unit<E>(self) -> Result<Option<String>, E> {
        Ok(None)
    }
    fn visit_some<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Option<String>, D::Error> {
        deserializer.deserialize_any(Text).map(Some)
    }
}

macro_rules! serde_helper {
    ($(#[$doc:meta])* $module:ident, $value:ty, $parse:path, $write:expr) => {
        $(#[$doc])*
        pub mod $module {
            use serde::{Deserializer, Serializer, de::Error as _};

            /// Reads the text, or a number.
            ///
            /// # Errors
            /// The deserializer's own, with the reason.
            pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<$value, D::Error> {
                let text = deserializer.deserialize_any(super::Text)?;
                $parse(&text).map_err(D::Error::custom)
            }

            /// Writes what [`deserialize`] reads.
            ///
            /// # Errors
            /// The serializer's own.
            pub fn serialize<S: Serializer>(value: &$value, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&$write(*value))
            }

            /// The same for a value that may be missing; the field needs `#[serde(default)]` beside it.
            pub mod option {
                use serde::{Deserializer, Serializer, de::Error as _};

                /// Reads the text, a number, or null.
                ///
                /// # Errors
                /// The deserializer's own, with the reason.
                pub fn deserialize<'de, D: Deserializer<'de>>(
                    deserializer: D,
                ) -> Result<Option<$value>, D::Error> {
                    let text = deserializer.deserialize_option(super::super::OptionalText)?;
                    text.map(|text| $parse(&text)).transpose().map_err(D::Error::custom)
                }

                /// Writes what [`deserialize`] reads.
                ///
                /// # Errors
                /// The serializer's own.
                pub fn serialize<S: Serializer>(
                    value: &Option<$value>,
                    serializer: S,
                ) -> Result<S::Ok, S::Error> {
                    match value {
                        Some(value) => super::serialize(value, serializer),
                        None => serializer.serialize_none(),
                    }
                }
            }
        }
    };
}

serde_helper! {
    /// `#[serde(with = "units::duration")]` for a [`std::time::Duration`].
    duration, std::time::Duration, crate::units::parse_duration, crate::units::format_duration
}
serde_helper! {
    /// `#[serde(with = "units::size")]` for a `u64` of bytes.
    size, u64, crate::units::parse_size, std::convert::identity
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_read() {
        for (text, milliseconds) in [
            ("30s", 30_000),
            ("5m", 300_000),
            ("1 h 30 m", 5_400_000),
            ("1h30m", 5_400_000),
            ("250ms", 250),
            ("1.5 hours", 5_400_000),
            ("7d", 604_800_000),
            (" 2 weeks ", 1_209_600_000),
            ("0", 0),
            ("0s", 0),
            ("0h 5m", 300_000),
        ] {
            assert_eq!(parse_duration(text).unwrap(), Duration::from_millis(milliseconds), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_its_reason() {
        for (text, why) in [
            ("30", "no unit"),
            ("", "numbers with their units"),
            ("-5s", "numbers with their units"),
            ("5 parsecs", "not a unit of time"),
            ("1h 30", "no unit"),
            ("s", "numbers with their units"),
            ("1.s", "numbers with their units"),
            ("9999999999999999999w", "500 years"),
            ("99999999999999999999s", "numbers with their units"),
        ] {
            let error = parse_duration(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn sizes_are_read() {
        for (text, bytes) in [
            ("500 MB", 500_000_000),
            ("1GiB", 1 << 30),
            ("64 KiB", 65_536),
            ("1.5kb", 1_500),
            ("1024", 1024),
            ("0", 0),
            ("3 bytes", 3),
        ] {
            assert_eq!(parse_size(text).unwrap(), bytes, "{text}");
        }
        for text in ["", "MB", "5 XB", "1 MB 2 kB", "-1", "99999999999 TB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_configuration_holds_them_as_text_or_number() {
        #[derive(serde::Deserialize, serde::Serialize, PartialEq, Debug)]
        struct Config {
            #[serde(with = "duration")]
            settle: Duration,
            #[serde(default, with = "size::option")]
            max_size: Option<u64>,
        }
        let config: Config = serde_json::from_str(r#"{"settle":"1h 30m","max_size":1024}"#).unwrap();
        assert_eq!((config.settle, config.max_size), (Duration::from_secs(5400), Some(1024)));
        let again: Config = serde_json::from_str(&serde_json::to_string(&config).unwrap()).unwrap();
        assert_eq!(again, config);
        let config: Config = serde_json::from_str(r#"{"settle":"0","max_size":null}"#).unwrap();
        assert_eq!(config.max_size, None);
        let error = serde_json::from_str::<Config>(r#"{"settle":30}"#).unwrap_err().to_string();
        assert!(error.contains("no unit"), "{error}");
    }

    #[test]
    fn sizes_are_shown_short() {
        for (bytes, text) in
            [(0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (31_053_850, "31.1 MB"), (999_999, "1.0 MB")]
        {
            assert_eq!(format_size(bytes), text);
        }
    }

    proptest! {
        #[test]
        fn a_duration_survives_its_text(nanoseconds in 0u64..1 << 53) {
            let duration = Duration::from_nanos(nanoseconds);
            prop_assert_eq!(parse_duration(&format_duration(duration)).unwrap(), duration);
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,30}") {
            let _ = (parse_duration(&text), parse_size(&text));
        }
    }
}
