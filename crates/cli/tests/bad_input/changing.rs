//! Files that change, grow or vanish while they are looked at: nothing is taken half, and what comes to rest is taken.

use crate::kit::{Case, LONG, assert_says};
use handover_testkit::process::wait_for;
use std::io::Write as _;

#[test]
fn a_file_that_is_being_written_waits_until_it_is_closed() {
    let case = Case::importing("");
    std::fs::create_dir(case.join("incoming")).unwrap();
    let path = case.join("incoming/growing.csv");
    let mut growing = std::fs::File::create(&path).unwrap();
    growing.write_all(b"id,name\n1,first\n").unwrap();
    let _running = case.serve();
    case.put_good();
    wait_for(LONG, "the good file goes through", || (case.exported().len() == 1).then_some(()));
    growing.write_all(b"2,second\n").unwrap();
    // One more file goes all the way through while the writer has its file open.
    case.put("another.csv", "id,name\n9,another\n");
    wait_for(LONG, "another goes through", || (case.exported().len() == 2).then_some(()));
    assert!(case.rows().iter().all(|row| !row.original().contains("growing")));
    growing.write_all(b"3,third\n").unwrap();
    drop(growing);
    let whole = "id,name\n1,first\n2,second\n3,third\n";
    wait_for(LONG, "it goes through, whole", || (case.times_exported(whole) == 1).then_some(()));
    assert_eq!((case.exported().len(), case.failed().len()), (3, 0));
    case.assert_went_on();
}

#[test]
fn a_file_that_changes_after_it_arrived_is_taken_as_it_is_then() {
    let case = Case::importing("");
    case.put_good();
    case.once();
    case.pause("file-importer");
    let path = case.put("changes.csv", "id,name\n1,old\n");
    let _running = case.serve();
    wait_for(LONG, "its arrival is committed", || {
        case.rows().into_iter().find(|row| row.original().ends_with("changes.csv"))
    });
    std::fs::write(&path, "id,name\n1,new\n2,longer\n").unwrap();
    case.resume();
    wait_for(LONG, "what it holds now is exported", || {
        (case.times_exported("id,name\n1,new\n2,longer\n") == 1).then_some(())
    });
    assert_eq!(case.times_exported("id,name\n1,old\n"), 0);
    // The state that arrived first is no more, which is said, and nothing tries for ever to read it.
    let arrivals = || case.rows().into_iter().filter(|row| row.original().ends_with("/changes.csv"));
    let first = wait_for(LONG, "the first arrival ends", || {
        arrivals().next().filter(|row| row.status == "completed")
    });
    assert_says(
        first.result["notes"][0].as_str().unwrap(),
        &[
            "skipped: the file grew from 14 to 23 bytes since it was seen",
            "/incoming/changes.csv",
            "arrives by itself",
        ],
    );
    assert_eq!((arrivals().count(), case.failed().len()), (2, 0));
    case.assert_went_on();
}

#[test]
fn a_file_that_vanishes_after_it_arrived_is_said_to_have_gone() {
    let case = Case::importing("");
    case.once();
    case.pause("file-importer");
    let path = case.put("vanishes.csv", "id,name\n1,gone\n");
    let running = case.serve();
    wait_for(LONG, "its arrival is committed", || {
        case.rows().into_iter().find(|row| row.original().ends_with("vanishes.csv"))
    });
    drop(running);
    std::fs::remove_file(path).unwrap();
    case.put_good();
    case.resume();
    let ran = case.once();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_says(&case.the_failed().error, &["the file has gone since it was seen", "/incoming/vanishes.csv"]);
    let reason = case.the_reason();
    assert_says(&reason.message, &["the file has gone"]);
    assert!(reason.not_kept.is_some());
    case.assert_went_on();
}

#[test]
fn a_file_that_is_replaced_in_one_go_is_a_new_arrival() {
    let case = Case::importing("");
    case.put_good();
    case.put("daily.csv", "id,name\n1,monday\n");
    assert_eq!(case.once().code, Some(0));
    case.put("daily.csv", "id,name\n2,tuesday\n");
    assert_eq!(case.once().code, Some(0));
    assert_eq!(case.times_exported("id,name\n1,monday\n"), 1);
    assert_eq!(case.times_exported("id,name\n2,tuesday\n"), 1);
    case.assert_went_on();
}

#[test]
fn a_checkpoint_that_is_tampered_with_is_quarantined_and_never_read_on() {
    for (tampered, words) in [
        ("id,name\n1,gooD\n2,x\n", ["the size is 19 bytes", "the manifest says 15"]),
        ("id,name\n9,evil\n", ["the checksum is sha256:", "the manifest says sha256:"]),
    ] {
        let case = Case::importing("");
        case.once();
        case.pause("file-exporter");
        case.put("bad.csv", "id,name\n1,evil\n");
        assert_eq!(case.once().code, Some(0));
        let checkpoint = case.rows().into_iter().find(|row| row.app == "file-exporter").unwrap();
        let path = case.join("data").join(checkpoint.data["path"].as_str().unwrap());
        std::fs::write(&path, tampered).unwrap();
        case.put_good();
        case.resume();
        let ran = case.once();
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert_says(&case.the_failed().error, &words);
        let reason = case.the_reason();
        assert_says(&reason.message, &words);
        assert_says(&reason.hint, &["changed after it was published"]);
        assert_eq!(std::fs::read_to_string(reason.kept).unwrap(), tampered, "what was found is kept");
        assert_eq!(case.exported().len(), 1);
        assert_eq!(case.times_exported(crate::kit::GOOD), 1);
    }
}

#[test]
fn a_checkpoint_that_is_gone_is_said_to_be_gone() {
    let case = Case::importing("");
    case.once();
    case.pause("file-exporter");
    case.put("bad.csv", "id,name\n1,lost\n");
    assert_eq!(case.once().code, Some(0));
    let checkpoint = case.rows().into_iter().find(|row| row.app == "file-exporter").unwrap();
    std::fs::remove_file(case.join("data").join(checkpoint.data["path"].as_str().unwrap())).unwrap();
    case.put_good();
    case.resume();
    let ran = case.once();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_says(
        &case.the_failed().error,
        &["neither where it was published nor in the archive", "file-importer_t_"],
    );
    assert_eq!(case.times_exported(crate::kit::GOOD), 1);
}

/// A file arrives, is set aside before it is taken, and comes back as it was.
fn set_aside_and_back(original: &str, replaced: bool) {
    let case = Case::importing(original);
    case.once();
    case.pause("file-importer");
    let first = "id,name\n1,first\n";
    let path = case.put("daily.csv", first);
    assert_eq!(case.once().code, Some(0), "it has arrived");
    std::fs::rename(&path, case.join("aside")).unwrap();
    if replaced {
        case.put("daily.csv", "id,name\n2,second\n");
    }
    case.resume();
    assert_eq!(case.once().code, Some(i32::from(!replaced)));
    assert_eq!(case.times_exported("id,name\n2,second\n"), usize::from(replaced));
    std::fs::rename(case.join("aside"), &path).unwrap();
    let ran = case.once();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(case.times_exported(first), 1, "{:#?}", case.rows());
    assert_eq!(path.exists(), original.is_empty(), "it goes when it was imported, and not before");
    assert_eq!(case.once().code, Some(0));
    assert_eq!(case.times_exported(first), 1, "once");
}

#[test]
fn one_that_was_set_aside_for_another_is_imported_when_it_comes_back_and_only_then_deleted() {
    set_aside_and_back(", original: delete", true);
    set_aside_and_back("", true);
}

#[test]
fn one_that_had_gone_is_imported_when_it_comes_back() {
    set_aside_and_back(", original: delete", false);
    set_aside_and_back("", false);
}

#[test]
fn one_that_comes_back_is_noticed_by_who_saw_it_go() {
    let case = Case::importing("");
    case.once();
    case.pause("file-importer");
    let _running = case.serve();
    let first = "id,name\n1,first\n";
    let path = case.put("daily.csv", first);
    let arrivals = || case.rows().into_iter().filter(|row| row.original().ends_with("daily.csv"));
    wait_for(LONG, "its arrival is committed", || arrivals().next());
    std::fs::rename(&path, case.join("aside")).unwrap();
    case.resume();
    wait_for(LONG, "it is said to have gone", || arrivals().find(|row| row.status == "failed"));
    std::fs::rename(case.join("aside"), &path).unwrap();
    wait_for(LONG, "it is imported", || (case.times_exported(first) == 1).then_some(()));
}
