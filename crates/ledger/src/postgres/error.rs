//! What PostgreSQL and its client say, as our errors; and whether the same may be asked again.

use handover_core::{Error, ErrorKind};
use std::error::Error as _;
use tokio_postgres::error::{DbError, SqlState};

/// An error of one attempt, and whether another attempt may be made.
#[derive(Debug)]
pub(super) struct Fault {
    /// What is told if there is no other attempt.
    pub(super) error: Error,
    /// Whether there is.
    pub(super) again: Again,
}

/// Whether the same may be asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// It would come to the same, or nobody knows what came of it.
    No,
    /// It met with another transaction and was rolled back.
    Conflict,
    /// The connection is lost, or there was none, and nothing of it counts.
    Lost,
    /// It is more than the server holds at once, and nothing of it counts: the same would come to the same, less might not.
    Less,
}

/// The result of one attempt.
pub(super) type Attempt<T> = Result<T, Fault>;

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self { error, again: Again::No }
    }
}

/// Turns an error of the client into ours; `doing` says what was being done. A lost connection counts as
/// [`Again::Lost`]: whoever has sent a COMMIT asks first what came of it.
pub(super) fn sql(doing: &'static str) -> impl Fn(tokio_postgres::Error) -> Fault {
    move |error| fault(doing, &error)
}

pub(super) fn fault(doing: &'static str, error: &tokio_postgres::Error) -> Fault {
    match error.as_db_error() {
        Some(said) => Fault { error: from_server(doing, said), again: again_as(said) },
        None if is_lost(error) => Fault {
            error: Error::new(
                ErrorKind::Io,
                format!("the ledger cannot {doing}: the connection to PostgreSQL was lost ({})", told(error)),
            )
            .hint("it is asked again by itself when PostgreSQL answers"),
            again: Again::Lost,
        },
        None => Error::new(ErrorKind::Io, format!("the ledger cannot {doing}: {}", told(error))).into(),
    }
}

/// The client has no public word for its kinds of error; a lost connection is closed, or an error of the socket.
fn is_lost(error: &tokio_postgres::Error) -> bool {
    error.is_closed() || error.source().is_some_and(|cause| cause.is::<std::io::Error>())
}

fn again_as(said: &DbError) -> Again {
    match *said.code() {
        // An array or a message beyond a gigabyte, and memory that is not there.
        SqlState::PROGRAM_LIMIT_EXCEEDED | SqlState::OUT_OF_MEMORY => Again::Less,
        // A gigabyte is the end of an allocation too, which has no code of its own.
        SqlState::INTERNAL_ERROR if said.message().starts_with("invalid memory alloc request size") => {
            Again::Less
        }
        ref code => again(code),
    }
}

fn again(code: &SqlState) -> Again {
    match *code {
        SqlState::T_R_SERIALIZATION_FAILURE
        | SqlState::T_R_DEADLOCK_DETECTED
        | SqlState::LOCK_NOT_AVAILABLE => Again::Conflict,
        SqlState::ADMIN_SHUTDOWN
        | SqlState::CRASH_SHUTDOWN
        | SqlState::CANNOT_CONNECT_NOW
        | SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT
        | SqlState::TOO_MANY_CONNECTIONS => Again::Lost,
        // Class 08 is a lost connection, as poolers say it.
        _ if code.code().starts_with("08") => Again::Lost,
        _ => Again::No,
    }
}

/// An error with all its causes in one line.
pub(super) fn told(error: &tokio_postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        return said.message().to_owned();
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

fn from_server(doing: &'static str, said: &DbError) -> Error {
    let message = said.message();
    if let Some((kind, hint)) = ours(said.code().code()) {
        return Error::new(kind, message).hint(said.hint().unwrap_or(hint));
    }
    let because = match said.detail() {
        Some(detail) => format!("{message} ({detail})"),
        None => message.to_owned(),
    };
    let (kind, hint) = match known(said) {
        Some((kind, hint)) => (kind, Some(hint)),
        None if message.contains("illegal transition") => (ErrorKind::IllegalTransition, None),
        None => (ErrorKind::Io, None),
    };
    let error = Error::new(kind, format!("the ledger cannot {doing}: {because}"));
    match hint.map(str::to_owned).or_else(|| said.hint().map(str::to_owned)) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// The codes of the ledger's own functions, and a hint where they give none.
fn ours(code: &str) -> Option<(ErrorKind, &'static str)> {
    Some(match code {
        "HO001" => {
            (ErrorKind::Stale, "the work was done again elsewhere, or it was cancelled; nothing was changed")
        }
        "HO002" => {
            (ErrorKind::IllegalTransition, "`handover show` tells where it stands; nothing was changed")
        }
        "HO003" => (ErrorKind::NotFound, "`handover list` shows the deliveries"),
        "HO004" => (ErrorKind::Config, "nothing was changed"),
        _ => return None,
    })
}

/// What we know of PostgreSQL's codes: the kind, and the way out.
fn known(said: &DbError) -> Option<(ErrorKind, &'static str)> {
    Some(match *said.code() {
        SqlState::INSUFFICIENT_PRIVILEGE => (
            ErrorKind::Denied,
            "let the ledger's role own the schema `integration`, or grant it what is missing: docs/guides/postgresql.md",
        ),
        SqlState::DISK_FULL => (
            ErrorKind::NotYet,
            "the PostgreSQL server's disk is full: work resumes by itself when there is room",
        ),
        SqlState::LOCK_NOT_AVAILABLE => (
            ErrorKind::NotYet,
            "another transaction has what it needs: it is tried again when that has ended; pg_stat_activity shows it",
        ),
        SqlState::TOO_MANY_CONNECTIONS => (
            ErrorKind::NotYet,
            "raise max_connections of the server, or put a pooler such as PgBouncer in between",
        ),
        SqlState::READ_ONLY_SQL_TRANSACTION => {
            (ErrorKind::Denied, "this server takes no writes: name the primary in `ledger:`")
        }
        SqlState::UNDEFINED_TABLE | SqlState::UNDEFINED_FUNCTION | SqlState::INVALID_SCHEMA_NAME => (
            ErrorKind::Config,
            "the schema `integration` is not what this Handover needs: `handover check` says more",
        ),
        SqlState::UNTRANSLATABLE_CHARACTER | SqlState::CHARACTER_NOT_IN_REPERTOIRE => (
            ErrorKind::BadData,
            "PostgreSQL keeps no NUL character in a text: remove it before the delivery is handed over",
        ),
        SqlState::INVALID_SQL_STATEMENT_NAME | SqlState::DUPLICATE_PSTATEMENT => (
            ErrorKind::Config,
            "the pooler in between hands a statement to another connection: let it pool by transaction or by session",
        ),
        SqlState::UNIQUE_VIOLATION if said.constraint().is_some_and(|name| name.ends_with("_live_pkey")) => (
            ErrorKind::Io,
            "the ledger's sequence of numbers is behind its records: whoever opens the ledger next sets it forward; nothing was pushed",
        ),
        SqlState::PROGRAM_LIMIT_EXCEEDED => {
            (ErrorKind::BadData, "it is larger than PostgreSQL keeps: hand it over as a file")
        }
        _ => return None,
    })
}

/// Why there is no connection, in one sentence with the way out. `shown` is the address without its password.
pub(super) fn no_connection(shown: &str, user: Option<&str>, error: &tokio_postgres::Error) -> Fault {
    let Some(said) = error.as_db_error() else { return no_server(shown, error) };
    let (kind, message, hint) = match *said.code() {
        SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION_SPECIFICATION => (
            ErrorKind::Denied,
            format!("PostgreSQL lets {} not in: {}", user.unwrap_or("this role"), said.message()),
            "correct the role and its password in `ledger:` (or PGPASSWORD), or let the role in: pg_hba.conf of the server",
        ),
        SqlState::UNDEFINED_DATABASE => (
            ErrorKind::Config,
            format!("PostgreSQL has no such database: {}", said.message()),
            "make it (createdb), or correct the name at the end of `ledger:`",
        ),
        SqlState::CANNOT_CONNECT_NOW => (
            ErrorKind::Io,
            format!("PostgreSQL takes no connections now: {}", said.message()),
            "it is starting or stopping: try again in a moment",
        ),
        SqlState::TOO_MANY_CONNECTIONS => (
            ErrorKind::Io,
            format!("PostgreSQL has no connection left: {}", said.message()),
            "raise max_connections of the server, or put a pooler such as PgBouncer in between",
        ),
        _ => (
            ErrorKind::Io,
            format!("PostgreSQL refuses the connection: {}", said.message()),
            "the server's log says more; `ledger:` in handover.yaml names the server",
        ),
    };
    Fault { error: Error::new(kind, message).on(shown).hint(hint), again: again(said.code()) }
}

fn no_server(shown: &str, error: &tokio_postgres::Error) -> Fault {
    let text = told(error);
    if text.contains("password missing") {
        return Error::new(ErrorKind::Denied, "PostgreSQL asks for a password, and `ledger:` has none")
            .on(shown)
            .hint("write it into `ledger:` by ${NAME} from the environment, or set PGPASSWORD")
            .into();
    }
    if text.contains("TLS") || text.contains("tls") {
        let error = Error::config(format!("there is no TLS connection to PostgreSQL: {text}"));
        return error
            .on(shown)
            .hint("docs/guides/postgresql.md says which certificates are trusted; `sslmode=disable` does without TLS")
            .into();
    }
    let lost = is_lost(error) || text.contains("timeout");
    let error = Error::new(ErrorKind::Io, format!("no PostgreSQL answers: {text}"))
        .on(shown)
        .hint("start the server, or correct host and port in `ledger:`; it must listen there, and no firewall be in between");
    Fault { error, again: if lost { Again::Lost } else { Again::No } }
}
