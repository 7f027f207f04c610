//! The one error type. An error carries a kind (what sort of thing went wrong), the thing it went
//! wrong on, whether trying again helps, and what a person should do next.
//!
//! Libraries return it; only the binary turns it into text and an exit code.

use std::fmt;

/// What sort of thing went wrong. The kind decides what happens to a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The configuration or the command line is wrong.
    Config,
    /// The thing asked for does not exist.
    NotFound,
    /// The lease is no longer ours: somebody else holds or has ended the delivery.
    Stale,
    /// The state machine does not allow this transition.
    IllegalTransition,
    /// The name is taken by a file that is not ours to replace.
    Exists,
    /// The data itself is bad: it goes to quarantine and is not tried again (sysexits `EX_DATAERR`).
    BadData,
    /// Not now, but later, without using up a retry (sysexits `EX_TEMPFAIL`): disk full, still being written.
    NotYet,
    /// A program that we ran failed.
    Program,
    /// A service that we asked could not do it.
    Service,
    /// What was run took longer than its time limit, and was stopped.
    Timeout,
    /// The operating system refused: permission, read-only file system.
    Denied,
    /// Cancelled by a person or by shutdown.
    Cancelled,
    /// Anything else that the operating system or the ledger reports.
    Io,
    /// A fault of ours.
    Internal,
}

impl ErrorKind {
    /// The kind as programs read it, in `--json` and in a quarantined file's reason;
    /// docs/reference/errors-and-quarantine.md lists them all.
    pub fn code(self) -> &'static str {
        match self {
            Self::Config => "CONFIG_ERROR",
            Self::NotFound => "NOT_FOUND",
            Self::Stale => "STALE",
            Self::IllegalTransition => "ILLEGAL_TRANSITION",
            Self::Exists => "NAME_TAKEN",
            Self::BadData => "BAD_DATA",
            Self::NotYet => "NOT_YET",
            Self::Program => "PROGRAM_FAILED",
            Self::Service => "SERVICE_FAILED",
            Self::Timeout => "TIMEOUT",
            Self::Denied => "DENIED",
            Self::Cancelled => "CANCELLED",
            Self::Io => "IO_ERROR",
            Self::Internal => "INTERNAL_ERROR",
        }
    }
}

/// Whether trying the same thing again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// No: the same input gives the same error.
    No,
    /// Yes, after a delay.
    Yes,
    /// Only after somebody has changed something (the hint says what).
    AfterChange,
}

/// An error of Handover: what failed, on what, whether a retry helps, what to do next.
pub struct Error {
    kind: ErrorKind,
    message: String,
    on: Option<String>,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The result of anything that can fail with an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of this kind; `message` says what failed, in a clause that starts in lower case.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), on: None, hint: None, source: None }
    }

    /// The configuration or the command line is wrong.
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, message)
    }

    /// The data is bad: quarantine, no retry.
    pub fn bad_data(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::BadData, message)
    }

    /// The thing asked for does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// A fault of ours; the message asks for a report.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
            .hint("this is a fault in Handover: please report it with the log")
    }

    /// An operating system error on `on` while doing `doing` ("read", "create", …). The kind follows the
    /// system's own: no space or no quota is [`ErrorKind::NotYet`], permission is [`ErrorKind::Denied`].
    pub fn io(doing: &str, on: impl fmt::Display, source: std::io::Error) -> Self {
        use std::io::ErrorKind as K;
        let (kind, hint) = match source.kind() {
            K::NotFound => (ErrorKind::NotFound, None),
            K::PermissionDenied => {
                (ErrorKind::Denied, Some("give the user that runs handover the right to do this"))
            }
            K::ReadOnlyFilesystem => (
                ErrorKind::Denied,
                Some("the file system is mounted read-only: remount it or move the data directory"),
            ),
            K::StorageFull | K::QuotaExceeded => {
                (ErrorKind::NotYet, Some("the disk is full: work resumes by itself when there is room"))
            }
            K::AlreadyExists => (ErrorKind::Exists, None),
            _ => (ErrorKind::Io, None),
        };
        let mut error = Self::new(kind, format!("cannot {doing}")).on(on).because(source);
        error.hint = hint.map(str::to_owned);
        error
    }

    /// Names the thing that it failed on.
    #[must_use]
    pub fn on(mut self, on: impl fmt::Display) -> Self {
        self.on = Some(on.to_string());
        self
    }

    /// Says what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Keeps the cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Changes the kind, where the caller knows better.
    #[must_use]
    pub fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self
    }

    /// What sort of thing went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The word for programs that its kind has ([`ErrorKind::code`]).
    pub fn code(&self) -> &'static str {
        self.kind.code()
    }

    /// Whether trying again helps.
    pub fn retry(&self) -> Retry {
        match self.kind {
            ErrorKind::NotYet
            | ErrorKind::Program
            | ErrorKind::Service
            | ErrorKind::Timeout
            | ErrorKind::Io
            | ErrorKind::Internal => Retry::Yes,
            ErrorKind::Config | ErrorKind::Denied | ErrorKind::NotFound => Retry::AfterChange,
            ErrorKind::Stale
            | ErrorKind::IllegalTransition
            | ErrorKind::Exists
            | ErrorKind::BadData
            | ErrorKind::Cancelled => Retry::No,
        }
    }

    /// What to do next, where there is something to do.
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(on) = &self.on {
            write!(f, ": {on}")?;
        }
        if let Some(source) = &self.source {
            write!(f, ": {source}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.kind)?;
        if let Some(hint) = &self.hint {
            write!(f, " ({hint})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // The source is part of the message already: chains would say it twice.
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_tried_again_by_itself_and_a_refusal_is_not() {
        let full = Error::io("write", "x.csv", std::io::Error::from(std::io::ErrorKind::StorageFull));
        assert_eq!((full.kind(), full.retry()), (ErrorKind::NotYet, Retry::Yes));
        let denied = Error::io("write", "x.csv", std::io::Error::from(std::io::ErrorKind::PermissionDenied));
        assert_eq!((denied.kind(), denied.retry()), (ErrorKind::Denied, Retry::AfterChange));
        assert_eq!((full.code(), denied.code()), ("NOT_YET", "DENIED"));
        assert!(denied.to_string().starts_with("cannot write: x.csv: "), "{denied}");
    }
}
