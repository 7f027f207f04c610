//! Opening the file: whether its place will do, and the settings that every connection has.

use super::error::sql;
use super::mount;
use handover_core::{Error, ErrorKind, Result};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, MAIN_DB, OpenFlags};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a command waits for another process's transaction.
const BUSY: Duration = Duration::from_secs(30);

/// Checks what SQLite would only fail at later, or with less to say.
pub(super) fn check_place(file: &Path, may_make: bool) -> Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(Error::not_found("the ledger's folder does not exist")
            .on(folder.display())
            .hint("make the folder, or correct `ledger:` or `data:` in handover.yaml"));
    }
    if file.is_dir() {
        return Err(Error::config("a folder stands where the ledger should be")
            .on(file.display())
            .hint("`ledger:` names a file, such as data/.handover/ledger.db"));
    }
    if !may_make && !file.exists() {
        return Err(Error::not_found("there is no ledger yet, and `migrate: false` forbids to make one")
            .on(file.display())
            .hint("let one `handover run` without `migrate: false` make it"));
    }
    match mount::network(folder) {
        None => Ok(()),
        Some(kind) => Err(on_network(file, kind)),
    }
}

fn on_network(file: &Path, kind: &str) -> Error {
    Error::config(format!("the embedded ledger cannot be on a network mount ({kind})")).on(file.display())
            .hint(
                "it is for one machine: put it on a local disk (`ledger: /var/lib/handover/ledger.db`), or let several \
                 machines share a PostgreSQL (`ledger: postgres://…`); the data directory may stay where it is",
            )
}

/// A connection that only asks: nothing of the file is made or set, whoever's it is.
pub(super) fn look(file: &Path) -> Result<Connection> {
    let fail = sql("open its file");
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags).map_err(&fail)?;
    connection.busy_timeout(BUSY).map_err(&fail)?;
    Ok(connection)
}

/// A connection with the settings that every one of ours has.
pub(super) fn connect(file: &Path, flags: OpenFlags) -> Result<Connection> {
    try_connect(file, flags).map_err(|error| {
        let path = file.display().to_string();
        // Some of SQLite's own texts name the file.
        if error.to_string().contains(&path) { error } else { error.on(path) }
    })
}

fn try_connect(file: &Path, flags: OpenFlags) -> Result<Connection> {
    let fail = sql("open its file");
    let mut connection =
        Connection::open_with_flags(file, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(&fail)?;
    // A millisecond at a time: SQLite's own waiting grows to a tenth of a second, which two busy processes feel.
    connection
        .busy_handler(Some(|tries: i32| {
            std::thread::sleep(Duration::from_millis(1));
            u128::try_from(tries).is_ok_and(|tries| tries < BUSY.as_millis())
        }))
        .map_err(&fail)?;
    if connection.is_readonly(MAIN_DB).map_err(&fail)? {
        return Err(Error::new(ErrorKind::Denied, "the ledger cannot be written")
            .hint("give the user that runs handover the right to write the ledger and its folder"));
    }
    // Before anything of it is changed.
    super::migrate::check_ours(&connection)?;
    write_ahead(&connection)?;
    // Without this, each new parameter value may have SQLite plan the statement anew, which costs more than running it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(sql("open the file"))?;
    for (name, value) in [("synchronous", "full"), ("temp_store", "memory")] {
        connection.pragma_update(None, name, value).map_err(&fail)?;
    }
    // After a burst the log shrinks again, so that a large one tells of a reader that never ends.
    for (name, value) in [
        ("cache_size", -32_768),
        ("mmap_size", 268_435_456),
        ("wal_autocheckpoint", 4_000),
        ("journal_size_limit", 67_108_864),
    ] {
        connection.pragma_update(None, name, value).map_err(&fail)?;
    }
    connection.set_prepared_statement_cache_capacity(128);
    Ok(connection)
}

/// Switches to write-ahead logging. Two processes that do so at once find the file locked without being made to wait,
/// so this waits by itself.
fn write_ahead(connection: &Connection) -> Result<()> {
    let start = Instant::now();
    loop {
        let mode: rusqlite::Result<String> =
            connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0));
        match mode {
            Ok(mode) if mode.eq_ignore_ascii_case("wal") => return Ok(()),
            Ok(mode) => {
                return Err(Error::new(
                    ErrorKind::Io,
                    format!(
                        "the ledger's file system does not allow write-ahead logging (it stays at {mode})"
                    ),
                )
                .hint("put the ledger on a local disk: `ledger:` in handover.yaml names its file"));
            }
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && start.elapsed() < BUSY =>
            {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(error) => return Err(sql("use its file")(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_mount_is_refused_with_the_way_out() {
        let error = on_network(Path::new("/mnt/share/ledger.db"), "NFS");
        assert_eq!(error.kind(), ErrorKind::Config);
        assert_eq!(
            error.to_string(),
            "the embedded ledger cannot be on a network mount (NFS): /mnt/share/ledger.db"
        );
        assert!(error.hint_text().is_some_and(|hint| hint.contains("PostgreSQL")));
    }
}
