//! Opening the file: what is refused, in which words, and what several processes do at once.

use super::Sqlite;
use crate::conformance::{Backend as _, World, new};
use handover_core::{Error, ErrorKind, Kind, SystemClock};
use handover_ledger::Ledger as _;
use handover_ledger::sqlite::SqliteLedger;
use handover_testkit::Folder;
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

fn open(file: &Path) -> Result<SqliteLedger, Error> {
    SqliteLedger::open(file, true, Arc::new(SystemClock))
}

/// The error, after a look that it names the file and says what to do.
#[track_caller]
fn refused(file: &Path, result: Result<SqliteLedger, Error>) -> Error {
    let Err(error) = result else { panic!("{} was opened", file.display()) };
    let text = error.to_string();
    assert!(text.contains(&*file.to_string_lossy()), "{text}");
    assert_eq!(text.matches(&*file.to_string_lossy()).count(), 1, "the path is said once: {text}");
    assert!(error.hint_text().is_some(), "{text}");
    error
}

#[test]
fn what_is_no_ledger_is_refused_and_left_alone() {
    let folder = Folder::new();
    let text = folder.write("text.db", "date,amount\n2025-11-24,17\n".repeat(200));
    let error = refused(&text, open(&text));
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("file is not a database"), "{error}");
    assert!(std::fs::read_to_string(&text).unwrap().starts_with("date,amount"));

    let a_folder = folder.join("folder.db");
    std::fs::create_dir(&a_folder).unwrap();
    assert!(
        refused(&a_folder, open(&a_folder))
            .to_string()
            .contains("a folder stands where the ledger should be")
    );

    let foreign = folder.join("foreign.db");
    Connection::open(&foreign)
        .unwrap()
        .execute_batch("CREATE TABLE orders (id INTEGER); PRAGMA user_version = 3")
        .unwrap();
    let error = refused(&foreign, open(&foreign));
    assert!(error.to_string().contains("another program's database"), "{error}");
    let asked = Connection::open(&foreign).unwrap();
    let tables: i64 = asked.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0)).unwrap();
    let mode: String = asked.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    assert_eq!((tables, mode.as_str()), (1, "delete"), "it was changed before it was refused");
}

#[test]
fn a_missing_folder_and_a_missing_ledger_are_said() {
    let folder = Folder::new();
    let nowhere = folder.join("not/there/ledger.db");
    let Err(error) = open(&nowhere) else { panic!("it was opened") };
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("the ledger's folder does not exist"), "{error}");
    let file = folder.join("ledger.db");
    let error = refused(&file, SqliteLedger::open_existing(&file, Arc::new(SystemClock)));
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let error = refused(&file, SqliteLedger::open(&file, false, Arc::new(SystemClock)));
    assert!(error.hint_text().is_some_and(|hint| hint.contains("migrate: false")), "{error:?}");
    assert!(!file.exists(), "nothing was made");
}

#[test]
fn another_schema_is_refused() {
    let folder = Folder::new();
    let file = folder.join("ledger.db");
    drop(open(&file).unwrap());
    SqliteLedger::open(&file, false, Arc::new(SystemClock)).unwrap();
    let set =
        |version: u32| Connection::open(&file).unwrap().pragma_update(None, "user_version", version).unwrap();
    set(4_000);
    let error = refused(&file, open(&file));
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("the ledger has schema 4000"), "{error}");
    assert!(error.hint_text().is_some_and(|hint| hint.contains("update this one")), "{error:?}");
    set(2);
    let error = refused(&file, SqliteLedger::open(&file, false, Arc::new(SystemClock)));
    assert!(error.to_string().contains("the ledger has schema 2"), "{error}");
}

#[test]
fn many_may_open_an_empty_file_at_once() {
    for _ in 0..5 {
        let folder = Folder::new();
        let file = folder.join("ledger.db");
        let open_here = |file: &PathBuf| open(file).map(|ledger| ledger.identity().to_owned());
        let identities: Vec<String> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| open_here(&file))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap().unwrap()).collect()
        });
        assert!(
            identities.windows(2).all(|pair| pair[0] == pair[1]),
            "one ledger, one identity: {identities:?}"
        );
    }
}

#[tokio::test]
async fn a_path_without_a_folder_is_watched_too() {
    // In a process of its own, which may change its working folder.
    let folder = Folder::new();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "opening::in_the_working_folder", "--ignored"])
        .current_dir(folder.path())
        .env("HANDOVER_TEST_HERE", "1")
        .output()
        .unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stdout));
    assert!(folder.join("ledger.db").exists());
}

#[tokio::test]
#[ignore = "another test runs it in a process of its own"]
async fn in_the_working_folder() {
    if std::env::var_os("HANDOVER_TEST_HERE").is_none() {
        return;
    }
    let file = Path::new("ledger.db");
    let (ledger, other) = (open(file).unwrap(), open(file).unwrap());
    assert!(ledger.events_delivered(), "the folder of a bare file name is watched");
    let mut wake = ledger.wake();
    other.push("test", vec![new(Kind::File, "a")]).await.unwrap();
    tokio::time::timeout(std::time::Duration::from_secs(20), wake.changed()).await.unwrap().unwrap();
}

/// A small file system of its own, unmounted at the end; none where this user may not mount.
struct Mount(Folder);

impl Mount {
    fn new(size: &str) -> Option<Self> {
        let folder = Folder::new();
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(folder.path())
            .output()
            .ok()?;
        status.status.success().then_some(Self(folder))
    }

    fn read_only(&self) {
        assert!(
            Command::new("mount").args(["-o", "remount,ro"]).arg(self.0.path()).status().unwrap().success(),
            "it cannot be made read-only"
        );
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_read_only_file_system_is_said() {
    let Some(mount) = Mount::new("4m") else {
        eprintln!("skipped: this user may not mount a file system");
        return;
    };
    let file = mount.0.join("ledger.db");
    drop(open(&file).unwrap());
    // The ledger's threads close their files a moment after it is dropped; until then the system says "busy".
    while !Command::new("mount")
        .args(["-o", "remount,ro"])
        .arg(mount.0.path())
        .output()
        .unwrap()
        .status
        .success()
    {
        std::thread::yield_now();
    }
    mount.read_only();
    let error = refused(&file, open(&file));
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    let fresh = mount.0.join("new.db");
    assert_eq!(refused(&fresh, open(&fresh)).kind(), ErrorKind::Denied);
}

#[tokio::test]
async fn a_full_disk_fails_whole_and_is_got_over() {
    let Some(mount) = Mount::new("3m") else {
        eprintln!("skipped: this user may not mount a file system");
        return;
    };
    let file = mount.0.join("ledger.db");
    let ledger = open(&file).unwrap();
    let filler = mount.0.write("filler", vec![0; 1_500_000]);
    let big = || {
        let text = "x".repeat(100_000);
        let mut delivery = new(Kind::Record, "a");
        delivery.data = serde_json::json!({ "text": text }).into();
        delivery
    };
    let mut good = 0;
    let error = loop {
        assert!(good < 100, "the disk never fills");
        // Many at once: they share one commit, and all are told.
        let both = tokio::join!(ledger.push("test", vec![big()]), ledger.push("test", vec![big()]));
        match both {
            (Err(error), Err(_)) => break error,
            (one, two) => good += usize::from(one.is_ok()) + usize::from(two.is_ok()),
        }
    };
    assert_eq!((error.kind(), error.retry()), (ErrorKind::NotYet, handover_core::Retry::Yes), "{error:?}");
    assert!(error.hint_text().is_some_and(|hint| hint.contains("disk is full")), "{error:?}");
    let count = |counts: Vec<handover_ledger::AppCount>| counts.iter().map(|c| c.count).sum::<u64>();
    assert_eq!(count(ledger.counts().await.unwrap()), good as u64, "what was refused is not there");
    std::fs::remove_file(filler).unwrap();
    ledger.push("test", vec![big()]).await.unwrap();
    assert_eq!(count(ledger.counts().await.unwrap()), good as u64 + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_ledger_is_waited_for() {
    let w = World::<Sqlite>::new().await;
    let foreign = w.backend.foreign();
    foreign.execute_batch("BEGIN IMMEDIATE").unwrap();
    let ledger = w.ledger.clone();
    let push = tokio::spawn(async move { ledger.push("test", vec![new(Kind::File, "a")]).await });
    // Reading goes on meanwhile.
    assert!(w.ledger.counts().await.unwrap().is_empty());
    assert!(!push.is_finished());
    foreign.execute_batch("COMMIT").unwrap();
    push.await.unwrap().unwrap();
    assert_eq!(w.backend.rows("SELECT count(*) FROM deliveries").await[0][0], "1");
}
