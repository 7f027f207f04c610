//! What SQLite says, as our errors.

use handover_core::{Error, ErrorKind};
use rusqlite::ErrorCode;

/// Turns an SQLite error into ours; `doing` says what was being done.
pub(super) fn sql(doing: &'static str) -> impl Fn(rusqlite::Error) -> Error {
    move |error| {
        let (kind, hint) = match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => {
                (ErrorKind::NotYet, Some("the disk is full: work resumes by itself when there is room"))
            }
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => (
                ErrorKind::Denied,
                Some("give the user that runs handover the right to write the ledger and its folder"),
            ),
            Some(ErrorCode::CannotOpen) => (
                ErrorKind::Denied,
                Some("check that the user that runs handover may read and write the file and its folder"),
            ),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                (ErrorKind::Io, Some("another program keeps the ledger locked: end its transaction"))
            }
            Some(ErrorCode::NotADatabase) => (
                ErrorKind::Config,
                Some(
                    "another file stands where the ledger should be: move it away, or restore the ledger from a backup",
                ),
            ),
            Some(ErrorCode::DatabaseCorrupt) => (
                ErrorKind::Io,
                Some(
                    "the ledger's file is damaged: restore it from a backup; the data files are not touched",
                ),
            ),
            Some(ErrorCode::ConstraintViolation) if error.to_string().contains("illegal transition") => {
                (ErrorKind::IllegalTransition, None)
            }
            _ => (ErrorKind::Io, None),
        };
        let what = match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => "the ledger's file is no database".to_owned(),
            _ => format!("the ledger cannot {doing}"),
        };
        let ours = Error::new(kind, what).because(error);
        match hint {
            Some(hint) => ours.hint(hint),
            None => ours,
        }
    }
}

/// The same error once more: one commit's failure is told to everyone in its group.
pub(super) fn again(error: &Error) -> Error {
    let copy = Error::new(error.kind(), error.to_string());
    match error.hint_text() {
        Some(hint) => copy.hint(hint),
        None => copy,
    }
}
