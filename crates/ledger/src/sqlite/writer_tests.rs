//! The writer's groups: what one command's end means for the others that share its commit.

use super::error::sql;
use super::open::{connect, look};
use super::writer::{Step, Write, Writer};
use handover_core::{Error, ErrorKind, Result};
use handover_testkit::{FakeClock, Folder};
use rusqlite::OpenFlags;
use std::sync::{Arc, mpsc};
use tokio::sync::watch;

struct World {
    folder: Folder,
    writer: Writer,
    wake: watch::Receiver<u64>,
}

impl World {
    fn new() -> Self {
        let folder = Folder::new();
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let connection = connect(&folder.join("ledger.db"), flags).unwrap();
        connection.execute_batch("CREATE TABLE t (n)").unwrap();
        let (wake, woken) = watch::channel(0);
        let writer = Writer::start(
            connection,
            FakeClock::new(),
            Arc::new(wake),
            crate::sqlite::wake::Touch::nowhere(),
        )
        .unwrap();
        Self { folder, writer, wake: woken }
    }

    /// Holds the writer until the sender is dropped, so that what is sent meanwhile becomes one group.
    async fn hold(&self) -> mpsc::Sender<()> {
        let (release, held) = mpsc::channel::<()>();
        let (running, runs) = tokio::sync::oneshot::channel();
        let writer = self.writer.clone();
        tokio::spawn(async move {
            let command = move |_: &Write<'_>| {
                let _ = running.send(());
                let _ = held.recv();
                Ok(())
            };
            writer.run(Step::Quiet, command).await
        });
        runs.await.unwrap();
        release
    }

    fn rows(&self) -> Vec<i64> {
        let connection = look(&self.folder.join("ledger.db")).unwrap();
        let mut statement = connection.prepare("SELECT n FROM t ORDER BY n").unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.collect::<rusqlite::Result<_>>().unwrap()
    }
}

fn insert(write: &Write<'_>, n: i64) -> Result<()> {
    write.sql.execute("INSERT INTO t VALUES (?1)", [n]).map(|_| ()).map_err(sql("insert"))
}

/// Runs these as one group and gives what each was told.
async fn group(world: &World, second: fn(&Write<'_>) -> Result<()>) -> (Result<()>, Result<()>, Result<()>) {
    let release = world.hold().await;
    let go = async move { drop(release) };
    let writer = &world.writer;
    let (first, second, third, ()) = tokio::join!(
        writer.run(Step::Other, |w| insert(w, 1)),
        writer.run(Step::Other, second),
        writer.run(Step::Other, |w| insert(w, 3)),
        go
    );
    (first, second, third)
}

#[tokio::test]
async fn one_that_fails_takes_nothing_with_it() {
    let world = World::new();
    let refuse = |w: &Write<'_>| insert(w, 2).and(Err(Error::not_found("no")));
    let (first, second, third) = group(&world, refuse).await;
    assert!(first.is_ok() && third.is_ok());
    assert_eq!(second.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(world.rows(), [1, 3]);
    assert!(world.wake.has_changed().unwrap());
}

#[tokio::test]
async fn one_that_undoes_the_transaction_is_told_to_all() {
    // As SQLite itself does where the disk is full in the middle of a statement.
    let world = World::new();
    let undo = |w: &Write<'_>| {
        w.sql.execute_batch("ROLLBACK").map_err(sql("undo"))?;
        Err(Error::new(ErrorKind::NotYet, "full").hint("make room"))
    };
    let (first, second, third) = group(&world, undo).await;
    for told in [first, second, third] {
        let error = told.unwrap_err();
        assert_eq!((error.kind(), error.hint_text()), (ErrorKind::NotYet, Some("make room")), "{error:?}");
    }
    assert!(world.rows().is_empty());
    assert!(!world.wake.has_changed().unwrap());
    // The writer goes on.
    world.writer.run(Step::Other, |w| insert(w, 7)).await.unwrap();
    assert_eq!(world.rows(), [7]);
}

#[tokio::test]
async fn all_hear_why_none_of_them_could_run() {
    let world = World::new();
    world
        .writer
        .run(Step::Quiet, |w| w.sql.pragma_update(None, "query_only", true).map_err(sql("set")))
        .await
        .ok();
    let command = |n| world.writer.run(Step::Other, move |w| insert(w, n));
    let (first, second) = tokio::join!(command(1), command(2));
    for told in [first, second] {
        let error = told.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    }
}

#[tokio::test]
async fn what_changes_nothing_is_not_committed() {
    let world = World::new();
    let before = std::fs::metadata(world.folder.join("ledger.db-wal")).unwrap().len();
    world.writer.run(Step::Other, |_| Ok(())).await.unwrap();
    assert!(!world.wake.has_changed().unwrap());
    assert_eq!(std::fs::metadata(world.folder.join("ledger.db-wal")).unwrap().len(), before);
}
