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
            Some(ErrorCode::CannotOpen) => {
                (ErrorKind::Denied, Some("check that the folder exists and may be written"))
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                (ErrorKind::Io, Some("another program keeps the ledger locked: end its transaction"))
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => (
                ErrorKind::Io,
                Some(
                    "the ledger's file is damaged: restore it from a backup, the data directory is not touched",
                ),
            ),
            Some(ErrorCode::ConstraintViolation) if error.to_string().contains("illegal transition") => {
                (ErrorKind::IllegalTransition, None)
            }
            _ => (ErrorKind::Io, None),
        };
        let ours = Error::new(kind, format!("cannot {doing} in the ledger")).because(error);
        match hint {
            Some(hint) => ours.hint(hint),
            None => ours,
        }
    }
}
