//! How pages show times, ages, sizes, numbers and long texts. Nothing is ever negative: a clock that jumped says `now`
//! of what has happened.

use handover_core::units::format_size;
use handover_runtime::operations::times;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::time::Duration;

pub use times::{count, number};

/// So much of a text is shown in a line.
pub const LINE_MAX_CHARS: usize = 160;
/// So much of a text is shown where there is room for it.
pub const TEXT_MAX_CHARS: usize = 4_000;

/// What stays as it is in a query.
const QUERY: AsciiSet =
    NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/').remove(b':');

/// A time, in the forms that a page has of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moment {
    /// For programs: RFC 3339.
    pub iso: String,
    /// In the project's time zone.
    pub local: String,
    /// How long ago, or how long it still takes.
    pub ago: String,
}

/// A time.
pub fn moment(time: Timestamp, zone: &TimeZone, now: Timestamp) -> Moment {
    let apart = now.duration_since(time);
    let ago = if apart.is_negative() && apart.as_secs() < -1 {
        format!("in {}", times::length(apart))
    } else if apart.as_secs() < 1 {
        "now".to_owned()
    } else {
        format!("{} ago", times::length(apart))
    };
    Moment { iso: time.to_string(), local: times::at(time, zone, now), ago }
}

/// The time of what has happened: what seems to lie ahead is `now`.
pub fn past(time: Timestamp, zone: &TimeZone, now: Timestamp) -> Moment {
    let moment = moment(time, zone, now);
    if time > now { Moment { ago: "now".to_owned(), ..moment } } else { moment }
}

/// How long something has lasted: `12 s`, `14 min`; what seems to begin later is `0 s` old.
pub fn age(since: Timestamp, now: Timestamp) -> String {
    let age = now.duration_since(since);
    if age.as_secs() < 1 { "0 s".to_owned() } else { times::length(age) }
}

/// How long something has lasted, in milliseconds; nothing, where it seems to begin later.
pub fn age_ms(since: Timestamp, now: Timestamp) -> u64 {
    u64::try_from(now.duration_since(since).as_millis()).unwrap_or(0)
}

/// The same as [`age`] in steps of ten seconds below a minute, so that what is sent live does not change every second.
pub fn rough_age(since: Timestamp, now: Timestamp) -> String {
    match age_ms(since, now) / 1_000 {
        0..10 => "<10 s".to_owned(),
        seconds @ 10..60 => format!("{} s", seconds / 10 * 10),
        _ => age(since, now),
    }
}

/// A time whose age is told by [`rough_age`].
pub fn rough_moment(time: Timestamp, zone: &TimeZone, now: Timestamp) -> Moment {
    Moment { ago: format!("{} ago", rough_age(time, now)), ..moment(time, zone, now) }
}

/// How long something took: `180 ms`, `2.4 s`.
pub fn took(took: Duration) -> String {
    millis(u64::try_from(took.as_millis()).unwrap_or(u64::MAX))
}

/// A number with its noun, whose plural is said: `1 delivery`, `3 deliveries`.
pub fn count_of(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(n), if n == 1 { one } else { many })
}

/// A length of time in milliseconds: `180 ms`, `2.4 s`.
pub fn millis(ms: u64) -> String {
    times::length(jiff::SignedDuration::from_millis(i64::try_from(ms).unwrap_or(i64::MAX)))
}

/// A size in bytes: `1.9 GB`.
pub fn size(bytes: u64) -> String {
    format_size(bytes)
}

/// A large number in short: `950`, `12.3 k`, `3.37 M`.
pub fn about(n: u64) -> String {
    let scaled = |unit: u64, word: &str| {
        let (whole, part) = (n / unit, n % unit * 100 / unit);
        match whole {
            0..10 => format!("{whole}.{part:02} {word}"),
            10..100 => format!("{whole}.{} {word}", part / 10),
            _ => format!("{whole} {word}"),
        }
    };
    match n {
        0..10_000 => number(n),
        10_000..1_000_000 => scaled(1_000, "k"),
        1_000_000..1_000_000_000 => scaled(1_000_000, "M"),
        _ => scaled(1_000_000_000, "G"),
    }
}

/// A share: `0%`, `0.12%`, `2.8%`, `64%`; never `0%` where there is some, never `100%` where some is missing.
pub fn share(part: u64, whole: u64) -> String {
    if part == 0 || whole == 0 {
        return "0%".to_owned();
    }
    let hundredths = u128::from(part.min(whole)) * 10_000 / u128::from(whole);
    match hundredths {
        0 => "<0.01%".to_owned(),
        1..100 => format!("0.{hundredths:02}%"),
        100..1_000 => format!("{}.{}%", hundredths / 100, hundredths % 100 / 10),
        _ if part >= whole => "100%".to_owned(),
        _ => format!("{}%", ((hundredths + 50) / 100).min(99)),
    }
}

/// A text that may be too long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Its beginning, or all of it.
    pub text: String,
    /// Whether there is more.
    pub more: bool,
}

/// The beginning of a text, of so many characters at most.
pub fn cut(text: &str, max_chars: usize) -> Cut {
    match text.char_indices().nth(max_chars) {
        None => Cut { text: text.to_owned(), more: false },
        Some((end, _)) => Cut { text: format!("{}…", &text[..end]), more: true },
    }
}

/// The first line of a text, cut.
pub fn line(text: &str) -> Cut {
    let first = text.lines().next().unwrap_or_default();
    let mut cut = cut(first, LINE_MAX_CHARS);
    cut.more |= text.trim_end().len() > first.len();
    cut
}

/// A link with a query; what is empty is left out.
pub fn link(path: &str, query: &[(&str, &str)]) -> String {
    let mut out = path.to_owned();
    for (name, value) in query.iter().filter(|(_, value)| !value.is_empty()) {
        out.push(if out.contains('?') { '&' } else { '?' });
        out.push_str(name);
        out.push('=');
        out.extend(utf8_percent_encode(value, &QUERY));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_jumps_gives_no_negative_age() {
        let at = |text: &str| -> Timestamp { text.parse().unwrap() };
        let now = at("2026-01-02T03:04:05Z");
        assert_eq!(age(at("2026-01-02T03:03:05Z"), now), "1 min");
        assert_eq!(age(at("2026-01-02T04:04:05Z"), now), "0 s");
        assert_eq!(moment(at("2026-01-02T03:04:05.5Z"), &TimeZone::UTC, now).ago, "now");
        assert_eq!(moment(at("2026-01-02T03:05:05Z"), &TimeZone::UTC, now).ago, "in 1 min");
        for told in [moment, past] {
            assert_eq!(told(at("2026-01-02T03:02:05Z"), &TimeZone::UTC, now).ago, "2 min ago");
        }
        assert_eq!(past(at("2026-01-02T03:05:05Z"), &TimeZone::UTC, now).ago, "now");
    }

    #[test]
    fn numbers_and_shares_are_short_and_never_lie() {
        assert_eq!([about(9_999), about(12_345), about(3_371_000)], ["9,999", "12.3 k", "3.37 M"]);
        assert_eq!([share(0, 9), share(1, 0), share(1, 1_000_000)], ["0%", "0%", "<0.01%"]);
        assert_eq!([share(12, 10_000), share(28, 1_000), share(9_999, 10_000)], ["0.12%", "2.8%", "99%"]);
        assert_eq!([share(3, 3), share(30, 180), share(9_960, 10_000)], ["100%", "17%", "99%"]);
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(cut("äöü", 2), Cut { text: "äö…".into(), more: true });
        assert_eq!(cut("äöü", 3), Cut { text: "äöü".into(), more: false });
        assert_eq!(line("one\ntwo"), Cut { text: "one".into(), more: true });
    }

    #[test]
    fn links_hold_what_they_are_given() {
        assert_eq!(link("/deliveries", &[("app", "a&b=c"), ("flow", "")]), "/deliveries?app=a%26b%3Dc");
        assert_eq!(link("/x?a=1", &[("t", "é \"")]), "/x?a=1&t=%C3%A9%20%22");
    }
}
