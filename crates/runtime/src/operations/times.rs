//! Times as people write and read them: in the configured time zone, short, and the same in every command.

use handover_core::{Error, Result, units};
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// By so much the clocks of two machines may differ without a word.
const AT_ONCE: SignedDuration = SignedDuration::from_secs(5);

/// A time for people: the time alone where it is today's, else with its date.
pub fn at(time: Timestamp, zone: &TimeZone, now: Timestamp) -> String {
    let (then, today) = (time.to_zoned(zone.clone()), now.to_zoned(zone.clone()));
    let form = if then.date() == today.date() { "%H:%M:%S" } else { "%Y-%m-%d %H:%M" };
    then.strftime(form).to_string()
}

/// A time with its zone and how long ago it was, or how long it still takes.
pub fn at_and_ago(time: Timestamp, zone: &TimeZone, now: Timestamp) -> String {
    let name = time.to_zoned(zone.clone()).strftime("%Z").to_string();
    let apart = now.duration_since(time);
    let apart =
        if apart.is_negative() { format!("in {}", length(apart)) } else { format!("{} ago", length(apart)) };
    format!("{} {name}, {apart}", at(time, zone, now))
}

/// A time with its zone and how long ago that happened. What seems to lie ahead, as after a clock that jumped, is told as that, and
/// without a length.
pub fn happened(time: Timestamp, zone: &TimeZone, now: Timestamp) -> String {
    if time.duration_since(now) <= AT_ONCE {
        return at_and_ago(time.min(now), zone, now);
    }
    let name = time.to_zoned(zone.clone()).strftime("%Z").to_string();
    format!("{} {name}, ahead of this clock", at(time, zone, now))
}

/// How long something lasts since then, as [`length`] has it; nothing, where that seems to lie ahead.
pub fn lasts(since: Timestamp, now: Timestamp) -> String {
    length(now.duration_since(since).max(SignedDuration::ZERO))
}

/// A length of time in its largest unit that says enough: `350 ms`, `1.2 s`, `12 s`, `5 min`, `3 h`, `4 days`. It is rounded down.
pub fn length(duration: SignedDuration) -> String {
    let duration = duration.abs();
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.subsec_millis()),
        1..10 => format!("{}.{} s", seconds, duration.subsec_millis() / 100),
        10..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A number with its thousands apart: `80,789`.
pub fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number with its noun: `1 row`, `842 rows`.
pub fn count(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", number(n), if n == 1 { "" } else { "s" })
}

/// Reads what people give for "since": RFC 3339, a date, a date and time, or how long ago (`2h`, `3 days`).
///
/// # Errors
/// [`handover_core::ErrorKind::Config`] for any other text.
pub fn since(text: &str, zone: &TimeZone, now: Timestamp) -> Result<Timestamp> {
    let text = text.trim();
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let local = |civil: jiff::civil::DateTime| civil.to_zoned(zone.clone()).map(|zoned| zoned.timestamp());
    if let Ok(date) = text.parse::<Date>()
        && text.len() == 10
        && let Ok(time) = local(date.to_datetime(Time::midnight()))
    {
        return Ok(time);
    }
    if let Ok(civil) = text.replacen(' ', "T", 1).parse::<jiff::civil::DateTime>()
        && let Ok(time) = local(civil)
    {
        return Ok(time);
    }
    let past = units::parse_duration(text.strip_suffix("ago").unwrap_or(text).trim()).ok();
    past.and_then(|past| now.checked_sub(past).ok()).ok_or_else(|| {
        Error::config(format!("{text:?} is not a time"))
            .hint("write how long ago (2h, 3 days), a date (2025-11-24), or a time (2025-11-24T10:30:00Z)")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2025-11-24T10:30:00Z".parse().unwrap()
    }

    #[test]
    fn times_are_short_and_local() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        assert_eq!(at("2025-11-24T09:00:00Z".parse().unwrap(), &TimeZone::UTC, now()), "09:00:00");
        assert_eq!(at("2025-11-23T23:30:00Z".parse().unwrap(), &berlin, now()), "00:30:00");
        assert_eq!(at("2025-11-23T22:30:00Z".parse().unwrap(), &berlin, now()), "2025-11-23 23:30");
        assert_eq!(
            at_and_ago("2025-11-24T10:29:48Z".parse().unwrap(), &berlin, now()),
            "11:29:48 CET, 12 s ago"
        );
        assert_eq!(
            at_and_ago("2025-11-24T10:35:01Z".parse().unwrap(), &TimeZone::UTC, now()),
            "10:35:01 UTC, in 5 min"
        );
        let ago = |text: &str| happened(text.parse().unwrap(), &TimeZone::UTC, now());
        assert_eq!(ago("2025-11-24T10:29:48Z"), "10:29:48 UTC, 12 s ago");
        assert_eq!(ago("2025-11-24T10:30:02Z"), "10:30:00 UTC, 0 ms ago");
        assert_eq!(ago("2025-11-25T09:00:00Z"), "2025-11-25 09:00 UTC, ahead of this clock");
        let since = |text: &str| lasts(text.parse().unwrap(), now());
        assert_eq!(
            (since("2025-11-24T10:29:48Z"), since("2025-11-25T09:00:00Z")),
            ("12 s".into(), "0 ms".into())
        );
        assert_eq!(length(SignedDuration::from_millis(350)), "350 ms");
        assert_eq!(length(SignedDuration::from_millis(1_250)), "1.2 s");
        assert_eq!(length(SignedDuration::from_hours(49)), "2 days");
        assert_eq!(
            (number(7), number(80_789), number(1_000_000)),
            ("7".into(), "80,789".into(), "1,000,000".into())
        );
        assert_eq!((count(1, "row"), count(0, "row")), ("1 row".into(), "0 rows".into()));
    }

    #[test]
    fn since_is_a_time_a_date_or_a_length() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let read = |text: &str| since(text, &berlin, now()).map(|t| t.to_string());
        assert_eq!(read("2025-11-24T08:00:00Z").unwrap(), "2025-11-24T08:00:00Z");
        assert_eq!(read("2025-11-24").unwrap(), "2025-11-23T23:00:00Z");
        assert_eq!(read("2025-11-24 08:00").unwrap(), "2025-11-24T07:00:00Z");
        assert_eq!(read("2h").unwrap(), "2025-11-24T08:30:00Z");
        assert_eq!(read("3 days ago").unwrap(), "2025-11-21T10:30:00Z");
        for wrong in ["", "yesterdayish", "5", "2025-13-01", "600 w 600000 w"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
