//! Projects whose data directory or ledger is not what it should be.

use crate::kit::{Case, assert_says};

#[track_caller]
fn refused(case: &Case, words: &[&str]) {
    let ran = case.once();
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert_says(&ran.log, words);
    assert!(ran.log.contains("help: "), "what to do next: {}", ran.log);
}

#[test]
fn a_data_directory_that_is_a_file() {
    let case = Case::importing("");
    case.project.write("data", "mine");
    refused(&case, &["the data directory is a file, not a directory", "/data"]);
    assert_eq!(std::fs::read_to_string(case.join("data")).unwrap(), "mine");
}

#[test]
fn a_ledger_that_is_no_database() {
    let case = Case::importing("");
    let noise: Vec<u8> = (0..10_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let ledger = case.project.write("data/.handover/ledger.db", &noise);
    refused(&case, &["/data/.handover/ledger.db", "is no database"]);
    assert_eq!(std::fs::read(ledger).unwrap(), noise, "it is left as it was");
}

#[test]
fn a_ledger_that_is_another_programs_database() {
    let case = Case::importing("");
    std::fs::create_dir_all(case.join("data/.handover")).unwrap();
    let ledger = rusqlite::Connection::open(case.join("data/.handover/ledger.db")).unwrap();
    ledger.execute_batch("CREATE TABLE songs (title TEXT)").unwrap();
    drop(ledger);
    refused(&case, &["another program's database", "/data/.handover/ledger.db"]);
}

#[test]
fn a_ledger_that_is_a_folder() {
    let case = Case::importing("");
    std::fs::create_dir_all(case.join("data/.handover/ledger.db")).unwrap();
    refused(&case, &["a folder stands where the ledger should be"]);
}

#[test]
fn a_ledger_that_was_cut_off() {
    let case = Case::importing("");
    case.put_good();
    assert_eq!(case.once().code, Some(0));
    let path = case.join("data/.handover/ledger.db");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    for beside in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(case.join(format!("data/.handover/ledger.db{beside}")));
    }
    let ran = case.once();
    assert!(matches!(ran.code, Some(1 | 2)), "{ran:?}");
    assert_says(&ran.log, &["/data"]);
    assert!(!ran.log.contains("panicked"), "{}", ran.log);
}

#[test]
fn a_data_directory_of_another_ledger() {
    let case = Case::importing("");
    case.put_good();
    assert_eq!(case.once().code, Some(0));
    let configuration = std::fs::read_to_string(case.join("handover.yaml")).unwrap();
    case.project.write("other.yaml", format!("ledger: other.db\n{configuration}"));
    let ran = case.run(&["--config", "other.yaml", "run", "--once"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert_says(&ran.log, &["another ledger wrote the data directory", "there is none here"]);
    let check = |named: &str, says: &[&str]| {
        let ran = case.run(&["--config", named, "check"]);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert_says(&ran.log, says);
    };
    check(
        "other.yaml",
        &["other.yaml:1", "another ledger wrote the data directory", "there is none here", "help: "],
    );
    assert!(!case.join("other.db").exists(), "a ledger that may not be used is not made");
    // Nor one that is an empty file.
    case.project.write("other.db", "");
    check("other.yaml", &["another ledger wrote the data directory", "there is none here"]);
    assert_eq!(std::fs::metadata(case.join("other.db")).unwrap().len(), 0, "and not made of an empty file");
    std::fs::remove_file(case.join("other.db")).unwrap();
    // Nor may one that has a history of its own.
    case.project.write("elsewhere.yaml", format!("ledger: other.db\ndata: elsewhere\n{configuration}"));
    assert_eq!(case.run(&["--config", "elsewhere.yaml", "run", "--once"]).code, Some(0));
    let ran = case.run(&["--config", "other.yaml", "run", "--once"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert_says(&ran.log, &["another ledger wrote the data directory"]);
    check("other.yaml", &["another ledger wrote the data directory", "and this one is", "ledger copy"]);
    assert_eq!(case.run(&["check"]).code, Some(0), "of its own ledger it is fine");
}

#[test]
fn a_data_directory_whose_ledger_is_lost() {
    let case = Case::importing("");
    case.put_good();
    assert_eq!(case.once().code, Some(0));
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        let _ = std::fs::remove_file(case.join("data/.handover").join(name));
    }
    refused(&case, &["another ledger wrote the data directory", "there is none here", "from a backup"]);
    let ran = case.run(&["check"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert_says(
        &ran.log,
        &["another ledger wrote the data directory", "there is none here", "from a backup"],
    );
    assert!(!case.join("data/.handover/ledger.db").exists());
}
