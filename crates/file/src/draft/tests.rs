use super::*;
use std::os::unix::fs::{FileExt, symlink};

fn place() -> (tempfile::TempDir, DataDir, HolderId) {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::open(&dir.path().join("data")).unwrap();
    (dir, data, HolderId::new(7))
}

fn lines() -> Option<Box<dyn CountRows>> {
    Some(Box::new(crate::measure::tests::Lines::default()))
}

fn in_tmp(data: &DataDir) -> usize {
    fs::read_dir(data.tmp_dir()).unwrap().count()
}

#[test]
fn what_is_written_is_counted_in_one_pass_and_removed_unless_published() {
    let (_dir, data, holder) = place();
    let mut draft = data.draft(&holder, "csv").unwrap().counting(lines());
    draft.write_all(b"a,b\n").unwrap();
    draft.write_all(&b"1,2\n".repeat(100_000)).unwrap();
    draft.write_all(b"3,4").unwrap();
    assert_eq!(draft.bytes_written(), 400_007);
    let path = draft.path().to_owned();
    let written = draft.finish().unwrap();
    assert_eq!((written.file_size, written.row_count), (400_007, Some(100_001)));
    assert_eq!(crate::read::check_hash(&path).unwrap(), (400_007, written.checksum));
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, *NEW_FILE_MODE.get().unwrap());
    drop(written);
    drop(data.draft(&holder, "csv").unwrap());
    assert_eq!(in_tmp(&data), 0);
}

#[test]
fn a_program_writes_to_its_standard_output() {
    let (_dir, data, holder) = place();
    let mut draft = data.draft(&holder, "ndjson").unwrap().counting(lines());
    let status = std::process::Command::new("printf").arg("{}\n{}\n").stdout(draft.stdio().unwrap()).status();
    assert!(status.unwrap().success());
    let written = draft.measure().unwrap();
    assert_eq!((written.file_size, written.row_count), (6, Some(2)));
}

#[test]
fn a_program_may_replace_its_output_and_the_file_gets_the_usual_permissions() {
    let (_dir, data, holder) = place();
    let draft = data.draft(&holder, "csv").unwrap().counting(lines());
    let other = data.tmp_dir().join("other");
    fs::write(&other, "h\n1\n").unwrap();
    fs::set_permissions(&other, Permissions::from_mode(0o600)).unwrap();
    fs::rename(&other, draft.path()).unwrap();
    let written = draft.measure().unwrap();
    assert_eq!(written.row_count, Some(2));
    assert_eq!(fs::metadata(written.path()).unwrap().mode() & 0o777, *NEW_FILE_MODE.get().unwrap());
}

#[test]
fn a_file_with_other_names_is_copied() {
    let (_dir, data, holder) = place();
    let draft = data.draft_path(&holder, "csv").unwrap();
    let other = data.root().join("other");
    fs::write(&other, "h\n1\n").unwrap();
    fs::hard_link(&other, draft.path()).unwrap();
    let written = draft.measure().unwrap();
    fs::write(&other, "changed").unwrap();
    assert_eq!(fs::read(written.path()).unwrap(), b"h\n1\n");
    drop(written);
    assert_eq!(in_tmp(&data), 0);
}

#[test]
fn a_program_that_makes_no_file_at_its_path_has_written_an_empty_one() {
    let (_dir, data, holder) = place();
    let draft = data.draft_path(&holder, "csv").unwrap().counting(lines());
    assert!(!draft.path().exists());
    let written = draft.measure().unwrap();
    assert_eq!((written.file_size, written.row_count), (0, Some(0)));
    assert!(written.path().exists());
}

#[test]
fn what_is_no_file_is_the_programs_fault_and_leaves_nothing() {
    let (_dir, data, holder) = place();
    let target = data.root().join("secret");
    fs::write(&target, "x").unwrap();
    let leave: [&dyn Fn(&Path); 4] =
        [&|_| {}, &|path| symlink(&target, path).unwrap(), &|path| fs::create_dir(path).unwrap(), &|path| {
            assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
        }];
    for leave in leave {
        let draft = data.draft(&holder, "csv").unwrap();
        fs::remove_file(draft.path()).unwrap();
        leave(draft.path());
        let error = draft.measure().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Program, "{error}");
        assert_eq!(in_tmp(&data), 0);
    }
    assert_eq!(fs::read(&target).unwrap(), b"x");
}

#[test]
fn a_draft_that_somebody_else_wrote_into_is_not_finished_as_ours() {
    let (_dir, data, holder) = place();
    let draft = data.draft(&holder, "csv").unwrap();
    fs::write(draft.path(), "x").unwrap();
    assert_eq!(draft.finish().unwrap_err().kind(), ErrorKind::Internal);
}

#[test]
fn a_full_device_is_said_as_such() {
    let (_dir, data, holder) = place();
    let mut draft = data.draft_path(&holder, "csv").unwrap();
    draft.file = Some(OpenOptions::new().write(true).open("/dev/full").unwrap());
    draft.write_all(b"x").unwrap();
    assert_eq!(draft.finish().unwrap_err().kind(), ErrorKind::NotYet);
}

#[test]
fn beside_its_target_a_draft_is_dot_named() {
    let (_dir, data, holder) = place();
    let dir = data.root().join("exports/new");
    let draft = Draft::beside(&dir, &holder, "csv").unwrap();
    assert!(draft.path().file_name().unwrap().to_str().unwrap().starts_with(".handover-7-"));
    drop(draft);
    assert!(Draft::beside(&dir, &HolderId("../x".into()), "csv").is_err());
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
}

#[test]
fn what_was_written_is_read_again_where_that_is_asked_for() {
    let (_dir, data, holder) = place();
    for size in [5, 100_000, 80 * BUFFER_BYTES] {
        let mut draft = data.draft(&holder, "csv").unwrap().verified();
        let bytes: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
        bytes.chunks(300_000).for_each(|chunk| draft.write_all(chunk).unwrap());
        assert_eq!(draft.read_back.is_some(), size > BUFFER_BYTES);
        assert_eq!(draft.finish().unwrap().checksum, crate::read::hash_of(&bytes));
    }
    let mut draft = data.draft(&holder, "csv").unwrap().verified();
    draft.write_all(b"1,2\n").unwrap();
    draft.flush().unwrap();
    fs::write(draft.path(), b"1,3\n").unwrap();
    assert_eq!(draft.finish().unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(in_tmp(&data), 0);
}

#[test]
fn what_is_known_before_has_its_checksum_and_its_size() {
    let (_dir, data, holder) = place();
    for size in [9, 20 * BUFFER_BYTES] {
        let bytes: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
        let known = crate::read::hash_of(&bytes);
        let begin = |length: usize| data.draft(&holder, "csv").unwrap().verified_as(length as u64, known);
        let written = |bytes: &[u8], mut draft: Draft| {
            bytes.chunks(300_000).for_each(|chunk| draft.write_all(chunk).unwrap());
            draft.finish()
        };
        let whole = written(&bytes, begin(size)).unwrap();
        assert_eq!((whole.file_size, whole.checksum), (size as u64, known));
        for wrong in [&bytes[..size - 1], &[&bytes[..], b"x"].concat()] {
            assert_eq!(written(wrong, begin(size)).unwrap_err().kind(), ErrorKind::Internal);
        }
        // A large one that is none is found out where the build has debug assertions, and whenever it is read.
        let mut other = bytes.clone();
        other[size / 2] ^= 1;
        if size < BUFFER_BYTES || cfg!(debug_assertions) {
            assert!(written(&other, begin(size)).is_err());
        }
    }
    assert_eq!(in_tmp(&data), 0);
}

#[test]
fn a_large_draft_that_does_not_come_back_is_no_draft() {
    let (_dir, data, holder) = place();
    let bytes: Vec<u8> = (0..20 * BUFFER_BYTES).map(|i| (i % 251) as u8).collect();
    let known = crate::read::hash_of(&bytes);
    for as_known in [false, true] {
        let draft = data.draft(&holder, "csv").unwrap();
        let mut draft =
            if as_known { draft.verified_as(bytes.len() as u64, known) } else { draft.verified() };
        let (most, last) = bytes.split_at(bytes.len() - 7);
        draft.write_all(most).unwrap();
        draft.write_all(last).unwrap();
        // What is in the buffer will stand from here on, and the read-back waits for a whole chunk.
        let file = OpenOptions::new().write(true).open(draft.path()).unwrap();
        file.write_at(b"?", draft.standing - 1).unwrap();
        let error = draft.finish().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    }
    assert_eq!(in_tmp(&data), 0);
}

#[test]
fn a_read_back_sees_what_stands_in_the_file_and_not_what_was_meant() {
    let (_dir, data, _) = place();
    let path = data.tmp_dir().join("file");
    for (then, same) in
        [(&b"12345678"[..], true), (b"12345679", false), (b"1234", false), (b"123456789", false)]
    {
        fs::write(&path, b"").unwrap();
        // It reads nothing before it is told what stands there.
        let mut read_back = ReadBack::begin(&path).unwrap();
        fs::write(&path, then).unwrap();
        read_back.written(b"12345678");
        assert_eq!(read_back.finish().unwrap(), same, "{then:?}");
    }
}
