//! `Prefer` (RFC 7240): whether, and for how long, an answer may wait for the end of a job.

use http::HeaderMap;
use std::time::Duration;

/// Nobody waits longer than this with one request.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(60);

/// What a client prefers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Prefer {
    /// To be answered at once, with 202.
    pub(crate) respond_async: bool,
    /// To wait so long for the end.
    pub(crate) wait: Option<Duration>,
}

impl Prefer {
    /// Reads it; what is not understood is passed over, as the standard has it.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut prefer = Self::default();
        let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
        for preference in values.flat_map(|value| value.split(',')) {
            let mut parts = preference.split(';').next().unwrap_or_default().splitn(2, '=');
            let name = parts.next().unwrap_or_default().trim();
            let value = parts.next().map(|value| value.trim().trim_matches('"'));
            if name.eq_ignore_ascii_case("respond-async") {
                prefer.respond_async = true;
            } else if name.eq_ignore_ascii_case("wait") && prefer.wait.is_none() {
                let seconds = value.and_then(|value| value.parse().ok()).map(Duration::from_secs);
                prefer.wait = seconds.map(|wait| wait.min(WAIT_MAX));
            }
        }
        prefer
    }

    /// What was done of it, for `Preference-Applied`.
    pub(crate) fn applied(self) -> Option<String> {
        let wait = self.wait.map(|wait| format!("wait={}", wait.as_secs()));
        let parts: Vec<String> =
            self.respond_async.then(|| "respond-async".to_owned()).into_iter().chain(wait).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_understood_is_taken_and_the_rest_passed_over() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("prefer", text.parse().unwrap());
            Prefer::of(&headers)
        };
        let seconds = |s| Some(Duration::from_secs(s));
        assert_eq!(of("respond-async, wait=10"), Prefer { respond_async: true, wait: seconds(10) });
        assert_eq!(of("Wait=\"5\"; foo=1, wait=7"), Prefer { respond_async: false, wait: seconds(5) });
        assert_eq!(of("wait=100000").wait, Some(WAIT_MAX));
        assert_eq!(of("wait=-1, wait, wait=x, return=minimal"), Prefer::default());
        assert_eq!(of("respond-async, wait=10").applied().as_deref(), Some("respond-async, wait=10"));
    }
}
