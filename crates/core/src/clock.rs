//! Where the time comes from: one clock, so that tests can turn it.

use jiff::Timestamp;

/// Gives the time. Everything that compares times takes them from one of these.
pub trait Clock: Send + Sync + 'static {
    /// Now, in UTC.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A time as every part of Handover writes it: RFC 3339, UTC, milliseconds, `Z`. Such texts sort as times do.
pub fn rfc3339(time: Timestamp) -> String {
    format!("{time:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_one_width_and_so_sort_as_text() {
        let whole: Timestamp = "2025-11-24T10:30:00Z".parse().unwrap();
        let part: Timestamp = "2025-11-24T10:30:00.0421Z".parse().unwrap();
        assert_eq!(rfc3339(whole), "2025-11-24T10:30:00.000Z");
        assert!(rfc3339(whole) < rfc3339(part));
    }
}
