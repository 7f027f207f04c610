use super::*;
use std::fs;
use std::path::PathBuf;

const SETTLE: Duration = Duration::from_secs(1);

fn file() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sales.csv");
    fs::write(&path, "a,b\n1,2\n").unwrap();
    (dir, path)
}

fn later(seconds: i64) -> Timestamp {
    Timestamp::now() + SignedDuration::from_secs(seconds)
}

fn judge(inspector: &mut Inspector, path: &Path, now: Timestamp) -> Result<Proof, String> {
    match inspector.readiness(&Candidate::look(path).unwrap(), SETTLE, None, now) {
        Readiness::Ready { proof, .. } => Ok(proof),
        Readiness::Waiting { reason, .. } => Err(reason),
        Readiness::Refused(error) => panic!("{error}"),
    }
}

#[test]
fn without_leases_the_processes_tell() {
    let (_dir, path) = file();
    let mut inspector = Inspector { without_leases: true, ..Inspector::default() };
    let writer = fs::OpenOptions::new().append(true).open(&path).unwrap();
    let reason = judge(&mut inspector, &path, later(10)).unwrap_err();
    assert!(reason.contains(&format!("process {}", std::process::id())), "{reason}");
    drop(writer);
    inspector.writers = None;
    let proof = judge(&mut inspector, &path, later(10));
    if inspector.writers().complete {
        assert_eq!(proof, Ok(Proof::Unopened));
    } else {
        assert!(proof.is_err(), "a weak proof needs a second look");
    }
}

#[test]
fn where_nothing_tells_two_looks_apart_must_agree() {
    let (_dir, path) = file();
    let mut inspector = Inspector { without_leases: true, without_proc: true, ..Inspector::default() };
    let start = later(100);
    let at = |tenths: i64| start + SignedDuration::from_millis(tenths * 100);
    assert!(judge(&mut inspector, &path, at(0)).is_err());
    assert!(judge(&mut inspector, &path, at(9)).is_err());
    fs::write(&path, "a,b\n1,2\n3,4\n").unwrap();
    assert!(judge(&mut inspector, &path, at(11)).is_err(), "it changed between the looks");
    assert!(judge(&mut inspector, &path, at(20)).is_err());
    assert_eq!(judge(&mut inspector, &path, at(21)), Ok(Proof::Settled));
    assert!(inspector.looks.is_empty());
}

#[test]
fn a_time_in_the_future_never_makes_a_file_wait_for_ever() {
    let (_dir, path) = file();
    let future = std::time::SystemTime::now() + Duration::from_secs(86_400 * 365);
    let file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.set_times(fs::FileTimes::new().set_modified(future)).unwrap();
    drop(file);
    let mut inspector = Inspector::new();
    assert_eq!(judge(&mut inspector, &path, later(10)), Ok(Proof::Unopened), "by its change time");
    // With the clock set back, the change time is in the future too: then the looks count.
    let past = later(-1000);
    assert!(judge(&mut inspector, &path, past).is_err());
    assert!(judge(&mut inspector, &path, past + SignedDuration::from_secs(1)).is_ok());
    // And a clock that is set back between the looks starts the wait anew.
    assert!(judge(&mut inspector, &path, past).is_err());
    assert!(judge(&mut inspector, &path, later(-2000)).is_err());
    assert!(judge(&mut inspector, &path, later(-1998)).is_ok());
}

#[test]
fn a_proof_is_read_as_it_is_written() {
    use std::os::unix::ffi::OsStringExt;
    for proof in [
        Proof::RenamedIn,
        Proof::DoneMarker(OsString::from_vec(b"a\n\xff:b.done".to_vec())),
        Proof::Manifest("a.meta.json".into()),
        Proof::Unopened,
        Proof::Settled,
    ] {
        let text = serde_json::to_string(&proof).unwrap();
        assert_eq!(serde_json::from_str::<Proof>(&text).unwrap(), proof);
        assert!(proof.sentence().starts_with(char::is_alphabetic));
    }
    assert_eq!(Proof::Manifest("a.meta.json".into()).to_string(), "manifest:a.meta.json");
    assert!("guess".parse::<Proof>().is_err());
}
