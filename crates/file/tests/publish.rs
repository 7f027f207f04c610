//! The publish protocol: what appears, what is never replaced, what is undone.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod common;

use common::{Place, place, request, stem, written};
use handover_core::{Error, ErrorKind};
use handover_file::publish::{Outcome, publish_now};
use handover_file::{Draft, Publisher};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::time::Duration;

fn kind(outcome: Outcome) -> ErrorKind {
    outcome.unwrap_err().error.kind()
}

/// Answers in order, then no more.
fn answers(of: &[bool]) -> impl FnMut() -> handover_core::Result<bool> + Send + 'static {
    let mut left: Vec<bool> = of.iter().rev().copied().collect();
    move || left.pop().ok_or_else(|| Error::internal("asked too often"))
}

#[test]
fn a_file_and_its_manifest_come_to_their_place_and_nothing_else_does() {
    let p = place();
    let publisher = Publisher::start().unwrap();
    let published = publisher.publish(p.request(1, "h\n1\n")).unwrap();
    assert_eq!(published.path, p.path(1));
    assert!(!published.replaced);
    p.assert_published(1, "h\n1\n");
    assert_eq!(fs::metadata(p.path(1)).unwrap().nlink(), 1);
    assert_eq!(p.in_sight().len(), 2);
    assert_eq!(p.temporaries(), 0);
}

#[test]
fn a_group_of_fifty_goes_on_without_its_bad_one() {
    let p = place();
    let (sender, outcomes) = mpsc::channel();
    let publisher = Publisher::start().unwrap();
    for n in 1..=50u32 {
        let mut request = p.request(n, &format!("h\n{n}\n"));
        match n {
            17 => request.manifest.file_size += 1,
            18 => request.folder = p.data.tmp_dir().join("../locks/x").join("\0"),
            19 => request.name = "../escape.csv".into(),
            _ => {}
        }
        let sender = sender.clone();
        publisher.submit(request, move |outcome| sender.send((n, outcome.is_ok())).unwrap());
    }
    drop((publisher, sender));
    let outcomes: Vec<(u32, bool)> = outcomes.iter().collect();
    assert_eq!(outcomes.len(), 50);
    for (n, fine) in outcomes {
        assert_eq!(fine, !(17..=19).contains(&n), "{n}");
        if fine {
            p.assert_published(n, &format!("h\n{n}\n"));
        }
    }
    assert_eq!(p.in_sight().len(), 94);
    assert_eq!(p.temporaries(), 0);
}

#[test]
fn a_fresh_name_that_is_taken_is_never_replaced_and_the_draft_is_kept_for_the_next() {
    let p = place();
    fs::create_dir_all(p.folder()).unwrap();
    for (taken, sequence) in [(p.path(1), 1), (p.manifest_path(3), 3)] {
        fs::write(&taken, "foreign").unwrap();
        let refused = publish_now(p.request(sequence, "h\n")).unwrap_err();
        assert_eq!(refused.error.kind(), ErrorKind::Exists);
        let again = request(*refused.written.unwrap(), &p.folder(), sequence + 1);
        publish_now(again).unwrap();
        p.assert_published(sequence + 1, "h\n");
        assert_eq!(fs::read(&taken).unwrap(), b"foreign");
    }
    assert_eq!(p.temporaries(), 0);
}

#[test]
fn the_leases_holder_replaces_what_an_earlier_attempt_left() {
    let p = place();
    for (leave_data, leave_manifest) in [(true, false), (true, true), (false, true)] {
        publish_now(p.request(1, "h\nold\n").replacing(answers(&[true; 3]))).unwrap();
        if !leave_manifest {
            fs::remove_file(p.manifest_path(1)).unwrap();
        }
        if !leave_data {
            fs::remove_file(p.path(1)).unwrap();
        }
        let published = publish_now(p.request(1, "h\nnew\n").replacing(answers(&[true; 3]))).unwrap();
        assert!(published.replaced);
        p.assert_published(1, "h\nnew\n");
        assert_eq!((p.in_sight().len(), p.temporaries()), (2, 0));
    }
}

#[test]
fn a_retry_with_another_extension_leaves_no_second_file_of_the_name() {
    let p = place();
    publish_now(p.request(1, "h\n")).unwrap();
    let draft = written(p.data.draft(&p.holder, "json").unwrap(), "[]");
    publish_now(request(draft, &p.folder(), 1).replacing(answers(&[true; 3]))).unwrap();
    let names: Vec<String> = p.in_sight().into_keys().collect();
    let folder = "imports/2025-11-24/";
    assert_eq!(names, [format!("{folder}{}.json", stem(1)), format!("{folder}{}.meta.json", stem(1))]);
}

#[test]
fn a_lost_lease_changes_nothing_whether_it_is_noticed_before_or_after_the_exchange() {
    let p = place();
    publish_now(p.request(1, "h\nwinner\n")).unwrap();
    let before = p.in_sight();
    for lease in [&[false][..], &[true, false]] {
        let refused = publish_now(p.request(1, "h\nlate\n").replacing(answers(lease))).unwrap_err();
        assert_eq!(refused.error.kind(), ErrorKind::Stale);
        assert_eq!(fs::read(refused.written.unwrap().path()).unwrap(), b"h\nlate\n");
        assert_eq!(p.in_sight(), before);
    }
    // A ledger that does not answer, or panics, is no permission.
    let failing = p.request(1, "h\nlate\n").replacing(|| Err(Error::new(ErrorKind::Io, "no ledger")));
    assert_eq!(kind(publish_now(failing)), ErrorKind::Io);
    let panicking = p.request(1, "h\nlate\n").replacing(|| panic!("on purpose"));
    assert_eq!(kind(publish_now(panicking)), ErrorKind::Internal);
    assert_eq!(p.in_sight(), before);
    assert_eq!(p.temporaries(), 0);
}

/// Whether files here can bear a mark.
fn marks(p: &Place) -> bool {
    let file = p.dir.path().join("mark");
    fs::write(&file, "").unwrap();
    rustix::fs::setxattr(&file, "user.handover.test", b"x", rustix::fs::XattrFlags::empty()).is_ok()
}

#[test]
fn a_file_that_is_not_ours_is_never_replaced_by_a_retry() {
    let p = place();
    fs::create_dir_all(p.folder()).unwrap();
    // Put there by hand, after the name was reserved; with a half written manifest; with the mark of another.
    fs::write(p.path(1), "theirs").unwrap();
    fs::write(p.manifest_path(2), "{ half").unwrap();
    publish_now(p.request(3, "h\nother\n")).unwrap();
    fs::remove_file(p.manifest_path(3)).unwrap();
    fs::rename(p.path(3), p.path(4)).unwrap();
    let before = p.in_sight();
    for n in [1, 2, 4].into_iter().filter(|n| *n != 4 || marks(&p)) {
        let refused = publish_now(p.request(n, "h\nours\n").replacing(answers(&[true; 3]))).unwrap_err();
        assert_eq!(refused.error.kind(), ErrorKind::Exists, "{n}");
        assert_eq!(fs::read(refused.written.unwrap().path()).unwrap(), b"h\nours\n");
        assert_eq!(p.in_sight(), before, "{n}");
    }
    // What holds the very same is no loss to anybody.
    fs::write(p.path(1), "h\nsame\n").unwrap();
    publish_now(p.request(1, "h\nsame\n").replacing(answers(&[true; 3]))).unwrap();
    p.assert_published(1, "h\nsame\n");
    assert_eq!(p.temporaries(), 0);
}

#[test]
fn no_manifest_comes_to_its_place_for_work_that_is_not_wanted_any_more() {
    let p = place();
    for (n, answer) in [(1, Ok(false)), (2, Err(Error::new(ErrorKind::Io, "no ledger")))] {
        let mut request = p.request(n, "h\n");
        let (expected, mut answer) = (if n == 1 { ErrorKind::Stale } else { ErrorKind::Io }, Some(answer));
        request.may_publish = Box::new(move || answer.take().unwrap());
        assert_eq!(kind(publish_now(request)), expected);
    }
    // Whoever has the lease now has published meanwhile.
    publish_now(p.request(3, "h\nold\n")).unwrap();
    let mut request = p.request(3, "h\nlate\n").replacing(answers(&[true; 3]));
    request.may_publish = Box::new(|| Ok(false));
    assert_eq!(kind(publish_now(request)), ErrorKind::Stale);
    p.assert_published(3, "h\nold\n");
    assert_eq!((p.in_sight().len(), p.temporaries()), (2, 0));
}

#[test]
fn what_turns_out_late_is_taken_back_and_nothing_else_is() {
    let p = place();
    let late = publish_now(p.request(1, "h\nlate\n")).unwrap();
    assert!(late.take_back().unwrap());
    assert!(!late.take_back().unwrap(), "once");
    assert_eq!((p.in_sight().len(), p.temporaries()), (0, 0));
    // The holder of the lease has replaced it.
    let late = publish_now(p.request(1, "h\nlate\n")).unwrap();
    publish_now(p.request(1, "h\nwinner\n").replacing(answers(&[true; 3]))).unwrap();
    assert!(!late.take_back().unwrap());
    p.assert_published(1, "h\nwinner\n");
    // Somebody else's file stands there.
    let late = publish_now(p.request(2, "h\nlate\n")).unwrap();
    fs::write(p.dir.path().join("theirs"), "theirs").unwrap();
    fs::rename(p.dir.path().join("theirs"), p.path(2)).unwrap();
    assert!(!late.take_back().unwrap());
    assert_eq!(fs::read(p.path(2)).unwrap(), b"theirs");
    assert!(!p.manifest_path(2).exists(), "it does not speak of that file");
    assert_eq!(p.temporaries(), 0);
}

#[test]
fn another_deliverys_manifest_is_respected_even_by_a_lease() {
    let p = place();
    publish_now(p.request(1, "h\n")).unwrap();
    let before = p.in_sight();
    let changes: [fn(&mut handover_core::Manifest); 2] = [
        |m: &mut handover_core::Manifest| m.delivery_id = Some("99".into()),
        |m: &mut handover_core::Manifest| m.ledger = Some("l2".into()),
    ];
    for change in changes {
        let mut other = p.request(1, "h\nother\n").replacing(answers(&[true; 3]));
        change(&mut other.manifest);
        assert_eq!(kind(publish_now(other)), ErrorKind::Exists);
        assert_eq!(p.in_sight(), before);
    }
    fs::create_dir(p.path(2)).unwrap();
    assert_eq!(kind(publish_now(p.request(2, "h\n").replacing(answers(&[true; 3])))), ErrorKind::Exists);
    assert!(p.path(2).is_dir());
}

#[test]
fn of_two_that_publish_the_same_names_at_once_each_name_has_one_winner() {
    let p = Arc::new(place());
    let wins = Arc::new(AtomicUsize::new(0));
    let start = Arc::new(Barrier::new(2));
    let threads: Vec<_> = ["a", "b"]
        .into_iter()
        .map(|who| {
            let (p, wins, start) = (p.clone(), wins.clone(), start.clone());
            std::thread::spawn(move || {
                let publisher = Publisher::start().unwrap();
                start.wait();
                for n in 1..=100 {
                    let wins = wins.clone();
                    publisher.submit(p.request(n, &format!("h\n{who}\n")), move |outcome| match outcome {
                        Ok(_) => drop(wins.fetch_add(1, Ordering::SeqCst)),
                        Err(refused) => assert_eq!(refused.error.kind(), ErrorKind::Exists),
                    });
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    for n in 1..=100 {
        let text = fs::read_to_string(p.path(n)).unwrap();
        p.assert_published(n, &text);
    }
    assert_eq!((p.in_sight().len(), p.temporaries()), (200, 0));
    assert_eq!(wins.load(Ordering::SeqCst), 100);
}

#[test]
fn what_comes_behind_a_large_file_is_published_meanwhile() {
    let p = place();
    let publisher = Publisher::start().unwrap();
    let (entered, large_is_under_way) = mpsc::channel();
    let (small_is_done, go_on) = mpsc::channel();
    let mut large = p.request(1, &"h\n".repeat(1024 * 1024));
    large.may_publish = Box::new(move || {
        entered.send(()).unwrap();
        Ok(go_on.recv_timeout(Duration::from_secs(60)).is_ok())
    });
    let (sender, outcome) = mpsc::channel();
    publisher.submit(large, move |outcome| sender.send(outcome).unwrap());
    large_is_under_way.recv().unwrap();
    publisher.publish(p.request(2, "h\n")).unwrap();
    small_is_done.send(()).unwrap();
    outcome.recv().unwrap().unwrap();
    p.assert_published(2, "h\n");
    assert_eq!(p.in_sight().len(), 4);
}

#[test]
fn one_callers_panic_does_not_stop_the_others() {
    let p = place();
    let publisher = Publisher::start().unwrap();
    publisher.submit(p.request(1, "h\n"), |_| panic!("on purpose"));
    publisher.publish(p.request(2, "h\n")).unwrap();
}

#[test]
fn the_last_of_it_dropped_by_a_callback_ends_without_waiting_for_itself() {
    let p = place();
    let publisher = Publisher::start().unwrap();
    let (sender, ended) = mpsc::channel();
    let clone = publisher.clone();
    let (go, gone) = mpsc::channel();
    publisher.submit(p.request(1, "h\n"), move |_| {
        gone.recv().unwrap();
        drop(clone);
        sender.send(()).unwrap();
    });
    drop(publisher);
    go.send(()).unwrap();
    ended.recv().unwrap();
}

#[test]
fn a_folder_that_cannot_be_is_said_and_leaves_nothing() {
    let p = place();
    fs::write(p.data.root().join("imports"), "a file").unwrap();
    let refused = publish_now(p.request(1, "h\n")).unwrap_err();
    assert_eq!(refused.error.kind(), ErrorKind::Denied, "{:?}", refused.error);
    assert!(refused.error.to_string().contains("imports"));
    drop(refused);
    assert_eq!((p.in_sight().len(), p.temporaries()), (1, 0));
}

#[test]
fn a_target_on_another_file_system_gets_a_copy_by_the_same_protocol() {
    let p = place();
    let Ok(other) = tempfile::tempdir_in("/dev/shm") else { return eprintln!("skipped: no /dev/shm here") };
    if fs::metadata(other.path()).unwrap().dev() == fs::metadata(p.data.root()).unwrap().dev() {
        return eprintln!("skipped: /dev/shm is not another file system here");
    }
    let out = other.path().join("out");
    publish_now(request(p.written("h\n1\n"), &out, 1)).unwrap();
    assert_eq!(kind(publish_now(request(p.written("h\n2\n"), &out, 1))), ErrorKind::Exists);
    let replacing = request(p.written("h\n3\n"), &out, 1).replacing(answers(&[true; 3]));
    assert!(publish_now(replacing).unwrap().replaced);
    let beside = written(Draft::beside(&out, &p.holder, "csv").unwrap(), "h\n4\n");
    publish_now(request(beside, &out, 2)).unwrap();
    let mut names: Vec<_> = fs::read_dir(&out).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names.len(), 4, "{names:?}");
    assert_eq!(fs::read(out.join(&names[0])).unwrap(), b"h\n3\n");
    assert_eq!(p.temporaries(), 0);
}

/// A file system of this size, for as long as the guard lives; none where mounting is not permitted.
struct Tiny<'a>(&'a Path);

impl<'a> Tiny<'a> {
    fn mount(at: &'a Path, options: &str) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "handover-test"])
            .arg(at)
            .stderr(std::process::Stdio::null())
            .status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(at))
    }
}

impl Drop for Tiny<'_> {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_fails_the_write_whole_and_work_resumes_when_there_is_room() {
    let base = tempfile::tempdir().unwrap();
    let root = base.path().join("data");
    let Some(_tiny) = Tiny::mount(&root, "size=64k,nr_inodes=64") else {
        return eprintln!("skipped: mounting a small file system is not permitted here");
    };
    let data = handover_file::DataDir::open(&root).unwrap();
    let p = Place { dir: tempfile::tempdir().unwrap(), data, holder: handover_core::HolderId::new(7) };
    // No room for the bytes: the draft fails and goes.
    let mut draft = p.data.draft(&p.holder, "csv").unwrap();
    let wrote = std::io::Write::write_all(&mut draft, &vec![b'x'; 100 * 1024]);
    assert!(wrote.is_err() || draft.finish().is_err());
    assert_eq!(p.temporaries(), 0);
    // No file left to make for the manifest: the data file is taken back.
    fs::create_dir_all(p.folder()).unwrap();
    let ready = p.request(1, "h\n");
    let mut ballast = 0;
    while fs::write(root.join(format!("ballast{ballast}")), "").is_ok() {
        ballast += 1;
    }
    let refused = publish_now(ready).unwrap_err();
    assert_eq!(refused.error.kind(), ErrorKind::NotYet, "{:?}", refused.error);
    assert!(!p.path(1).exists() && !p.manifest_path(1).exists());
    // Room again: the same draft goes through.
    (0..ballast).for_each(|n| fs::remove_file(root.join(format!("ballast{n}"))).unwrap());
    publish_now(request(*refused.written.unwrap(), &p.folder(), 1)).unwrap();
    p.assert_published(1, "h\n");
    assert_eq!(p.temporaries(), 0);
}
