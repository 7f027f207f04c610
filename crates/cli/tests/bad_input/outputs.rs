//! What programs leave as their output, and do to their input.

use crate::kit::{Case, GOOD, assert_says};

/// A program that does this with its output; `$in` and `$out` are its input and output.
fn writing(bad: &str) -> Case {
    let case = Case::program(
        &format!("in={{input}}; out={{output}}; grep -q bad $in && {{ {bad}; }} || cat $in > $out"),
        "",
    );
    case.put("bad.csv", "id,name\n1,bad\n");
    case.put_good();
    case
}

#[test]
fn an_output_that_is_no_plain_file_is_refused() {
    for (bad, words) in [
        ("ln -sf /etc/passwd $out", "it is a symbolic link"),
        ("rm -f $out; mkdir $out", "it is a folder"),
        ("rm -f $out; mkfifo $out", "it is a pipe"),
    ] {
        let case = writing(bad);
        let ran = case.once();
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert_says(
            &case.the_failed().error,
            &["the program left no regular file as its output", words, "{output}"],
        );
        assert_eq!(case.exported().len(), 1);
        case.assert_went_on();
    }
}

#[test]
fn an_output_that_is_removed_or_never_written_is_an_empty_file() {
    for bad in ["rm -f $out", "true"] {
        let case = writing(bad);
        assert_eq!(case.once().code, Some(0));
        assert_eq!(case.times_exported(""), 1);
        case.assert_went_on();
    }
}

#[test]
fn an_output_is_the_flows_own_whatever_the_program_did_with_it() {
    for bad in ["ln -f $in $out", "cat $in > $out.t && mv $out.t $out", "cat $in > $out; chmod 0 $out"] {
        let case = writing(bad);
        let ran = case.once();
        assert_eq!(ran.code, Some(0), "{bad}: {ran:?}");
        assert_eq!(case.times_exported("id,name\n1,bad\n"), 1, "{bad}");
        for (path, _) in crate::kit::manifests_in(&case.join("data")) {
            let data = path
                .with_file_name(path.file_name().unwrap().to_string_lossy().replace(".meta.json", ".csv"));
            let meta = data.metadata().unwrap();
            assert_eq!(std::os::unix::fs::MetadataExt::nlink(&meta), 1, "two names for one file: {bad}");
            assert_eq!(std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o444, 0o444, "{bad}");
        }
        case.assert_went_on();
    }
}

#[test]
fn what_a_program_leaves_beside_its_output_is_swept_away() {
    let case = writing("cat $in > $out; echo x > $out.tmp; mkdir -p $out.d/e; echo x > $out.d/e/f");
    assert_eq!(case.once().code, Some(0));
    assert_eq!(case.times_exported("id,name\n1,bad\n"), 1);
    assert_eq!(case.once().code, Some(0));
    case.assert_went_on();
    assert_eq!(std::fs::read_dir(case.join("data/.handover/tmp")).unwrap().count(), 0);
}

#[test]
fn a_program_that_removes_the_folder_for_temporary_files_does_not_stop_the_flow() {
    let case = writing("rm -rf $(dirname $out)");
    case.once();
    case.put("after.csv", "id,name\n2,after\n");
    assert_eq!(case.once().code, Some(0));
    assert_eq!(case.times_exported("id,name\n2,after\n"), 1);
}

#[test]
fn a_program_that_writes_into_its_input_is_found_out() {
    for bad in ["echo 2,more >> $in; cat $in > $out", "sed -i s/bad/worse/ $in; cat $in > $out"] {
        let case = writing(bad);
        let ran = case.once();
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert_says(&case.the_failed().error, &["the program changed its input", "imports/", "{output}"]);
        assert_says(&case.the_reason().message, &["the program changed its input"]);
        assert_eq!(case.exported().len(), 1, "what it made of it is not believed");
        assert_eq!(case.times_exported(GOOD), 1);
    }
}

#[test]
fn a_program_that_removes_its_input_is_said_so_and_its_output_counts() {
    let case = writing("cat $in > $out; rm $in");
    let ran = case.once();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(case.times_exported("id,name\n1,bad\n"), 1);
    let rows = case.rows();
    let notes: Vec<_> = rows
        .iter()
        .filter(|row| row.app == "middle")
        .filter_map(|row| row.result["notes"][0].as_str())
        .collect();
    assert_eq!(notes.len(), 1);
    assert_says(notes[0], &["the program removed its input", "imports/"]);
    assert_eq!(case.times_exported(GOOD), 1);
}
