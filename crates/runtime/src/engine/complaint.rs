//! What hinders somebody who tries again and again is said once, and not each time.
//!
//! Where a person has to do something, as on a full disk, it is said as an error: `run --once`, which says warnings at its end, would
//! wait in silence.

use handover_core::{AppName, Error, ErrorKind};
use tracing::{debug, error, info, warn};

/// What was said last.
#[derive(Debug, Default)]
pub(crate) struct Complaint {
    said: Option<String>,
}

impl Complaint {
    /// It failed once more. Says so where that is news; returns whether it was.
    pub(crate) fn failed(&mut self, app: &AppName, what: &str, error: &Error) -> bool {
        let text = format!("cannot {what}: {}; it is tried again every second", crate::delivery::said(error));
        if self.said.as_ref() == Some(&text) {
            debug!(app = %app, "{text}");
            return false;
        }
        match error.kind() {
            ErrorKind::NotYet => error!(app = %app, "{text}"),
            _ => warn!(app = %app, "{text}"),
        }
        self.said = Some(text);
        true
    }

    /// It went well. Says so where it had not.
    pub(crate) fn over(&mut self, app: &AppName, what: &str) {
        if self.said.take().is_some() {
            info!(app = %app, "can {what} again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_once_and_again_after_it_went_well() {
        let (app, mut complaint) = (AppName::new("a").unwrap(), Complaint::default());
        let full = Error::new(ErrorKind::NotYet, "the disk is full");
        let gone = Error::new(ErrorKind::Io, "no PostgreSQL answers");
        let mut said = |error: Option<&Error>| match error {
            Some(error) => complaint.failed(&app, "claim", error),
            None => {
                complaint.over(&app, "claim");
                false
            }
        };
        let all = [Some(&full), Some(&full), Some(&gone), Some(&gone), Some(&full), None, Some(&full)];
        assert_eq!(all.map(&mut said), [true, false, true, false, true, false, true]);
    }
}
