//! Rights that are missing. Root has them all, so these run the binary as a user who has few.

use crate::kit::{Case, GOOD, Ran, assert_says, skip};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;

const NOBODY: u32 = 65_534;

/// A project that belongs to a user without rights.
struct Mine {
    case: Case,
}

impl Mine {
    fn new(case: Case) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return Some(Self { case });
        }
        if Command::new("setpriv").arg("--version").output().is_err() {
            skip("this runs as root, which may do everything, and there is no setpriv to be another");
            return None;
        }
        // The binary may lie where the other user cannot reach it.
        let own = case.join("handover");
        if std::fs::hard_link(env!("CARGO_BIN_EXE_handover"), &own).is_err() {
            std::fs::copy(env!("CARGO_BIN_EXE_handover"), &own).unwrap();
        }
        Some(Self { case })
    }

    /// `run --once` as that user.
    fn once(&self) -> Ran {
        if !rustix::process::geteuid().is_root() {
            return self.case.once();
        }
        give(self.case.project.path());
        let mut command = Command::new("setpriv");
        command.args([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), "--clear-groups".to_owned()]);
        command
            .arg(self.case.join("handover"))
            .args(["run", "--once", "-v"])
            .current_dir(self.case.project.path());
        self.case.end(command)
    }
}

fn give(path: &Path) {
    if path.is_symlink() || path.ends_with("handover") {
        return;
    }
    let _ = chown(path, Some(NOBODY), Some(NOBODY));
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        give(&entry.path());
    }
}

fn mode(path: impl AsRef<Path>, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_file_that_may_not_be_read_is_refused_and_taken_when_it_may() {
    let Some(mine) = Mine::new(Case::importing("")) else { return };
    let secret = mine.case.put("secret.csv", "id\nsecret\n");
    mode(&secret, 0);
    mine.case.put_good();
    let ran = mine.once();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let reason = mine.case.reason_for("/incoming/secret.csv");
    assert_says(&reason.message, &["Permission denied"]);
    assert_says(&reason.hint, &["the right to read it"]);
    mine.case.assert_went_on();
    assert_eq!(mine.case.exported().len(), 1);
    mine.once();
    assert_eq!(mine.case.reasons().len(), 1, "refused once");
    let failed = mine.case.the_failed();
    let why = mine.case.run(&["why", "incoming/secret.csv"]);
    assert_says(&why.out, &["refused", "Permission denied", &format!("handover retry {}", failed.id)]);
    mode(&secret, 0o644);
    let ran = mine.once();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(mine.case.times_exported("id\nsecret\n"), 1, "the right came later: {:#?}", mine.case.rows());
}

#[test]
fn a_folder_that_may_not_be_read_is_said_and_stops_nothing_else() {
    let Some(mine) = Mine::new(Case::new(
        "apps:
  file-importer:
    uses: file-importer
    with: { settle: 0s, type: t, sources: [ { from: closed }, { from: incoming } ] }
  file-exporter: { uses: file-exporter, with: { to: outgoing } }
flows:
  f: file-importer -> file-exporter
",
    )) else {
        return;
    };
    mine.case.project.write("closed/x.csv", "id\n1\n");
    mode(mine.case.join("closed"), 0);
    mine.case.put_good();
    let ran = mine.once();
    assert_says(&ran.log, &["/closed", "Permission denied"]);
    mine.case.assert_went_on();
    mode(mine.case.join("closed"), 0o755);
}

#[test]
fn a_folder_for_exports_that_may_not_be_written_is_said() {
    let case = Case::importing("");
    let Some(mine) = Mine::new(case) else { return };
    std::fs::create_dir(mine.case.join("outgoing")).unwrap();
    mode(mine.case.join("outgoing"), 0o555);
    mine.case.put_good();
    let ran = mine.once();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_says(&mine.case.the_failed().error, &["/outgoing", "Permission denied", "the right"]);
    assert_eq!(mine.case.exported().len(), 0);
    mode(mine.case.join("outgoing"), 0o755);
    mine.case.sql("UPDATE deliveries SET status = 'pending', attempts = 0 WHERE status = 'failed'");
    assert_eq!(mine.once().code, Some(0));
    assert_eq!(mine.case.times_exported(GOOD), 1);
}

#[test]
fn a_data_directory_that_may_not_be_written_is_said_with_exit_code_2() {
    let Some(mine) = Mine::new(Case::importing("")) else { return };
    std::fs::create_dir(mine.case.join("data")).unwrap();
    mode(mine.case.join("data"), 0o555);
    mine.case.put_good();
    let ran = mine.once();
    assert!(matches!(ran.code, Some(1 | 2)), "{ran:?}");
    assert_says(&ran.log, &["/data", "Permission denied", "help: "]);
}

#[test]
fn an_original_that_may_not_be_removed_is_imported_once() {
    let Some(mine) = Mine::new(Case::importing(", original: delete")) else { return };
    mine.case.put_good();
    mode(mine.case.join("incoming"), 0o555);
    let ran = mine.once();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_says(&ran.log, &["/incoming/good.csv", "Permission denied"]);
    assert_eq!(mine.once().code, Some(0));
    mine.case.assert_went_on();
    mode(mine.case.join("incoming"), 0o755);
    assert_eq!(mine.once().code, Some(0));
    assert!(!mine.case.join("incoming/good.csv").exists(), "once it may be, it is removed");
    mine.case.assert_went_on();
}
