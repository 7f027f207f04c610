//! Console programs that misbehave: each end has its reason, nothing half is published, nothing they started goes on.

use crate::kit::{Case, GOOD, LONG, assert_says};
use handover_testkit::process::{is_running, variable_of, wait_for};

/// A shell command that does `bad` to the file with the word "bad" in it, and copies every other.
fn only_the_bad(bad: &str) -> String {
    format!("grep -q bad \"$HANDOVER_INPUT\" && {{ {bad}; }} || cat")
}

/// A bad file and a good one go to a program that does this to the bad one. `HANDOVER_INPUT` is set either way.
fn against(bad: &str, more: &str) -> Case {
    let case = Case::program(&only_the_bad(bad), more);
    case.put("bad.csv", "id,name\n1,bad\n");
    case.put_good();
    case
}

#[test]
fn each_exit_code_has_its_reason_and_its_end() {
    // One run for all: each file's row says how the program is to end over it.
    let codes: Vec<i32> = [1, 2, 126, 127, 255].into_iter().chain(64..=78).collect();
    let case = Case::program(
        "read -r _; read -r code; test \"$code\" = 1,good && cat \"$HANDOVER_INPUT\" || { echo half; exit $code; }",
        "",
    );
    for code in &codes {
        case.put(format!("{code}.csv"), format!("id\n{code}\n"));
    }
    case.put_good();
    let ran = case.once();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let rows: Vec<_> = case.rows().into_iter().filter(|row| row.app == "middle").collect();
    for code in &codes {
        let name = format!("/incoming/{code}.csv");
        let row = rows
            .iter()
            .find(|row| row.data["original"]["path"].as_str().unwrap_or_default().ends_with(&name))
            .unwrap();
        assert_says(&row.error, &[&format!("exit code {code}: ")]);
        let status = if *code == 75 { "pending" } else { "failed" };
        assert_eq!((row.status.as_str(), row.attempts), (status, i64::from(*code != 75)), "{row:?}");
    }
    // 65 alone says that it is the data that is bad.
    let reason = case.the_reason();
    assert_says(&reason.message, &["exit code 65: the data is bad (EX_DATAERR)"]);
    assert_eq!(std::fs::read_to_string(reason.kept).unwrap(), "id\n65\n");
    assert_says(&ran.out, &["waits: delivery", "exit code 75: not now, try again later"]);
    case.assert_went_on();
    assert_eq!(case.exported().len(), 1);
}

#[test]
fn what_a_program_said_last_is_kept() {
    let case = against("echo 'row 7 has no id' >&2; exit 65", "");
    assert_eq!(case.once().code, Some(1));
    let row = case.the_failed();
    assert_says(&row.error, &["exit code 65: the data is bad (EX_DATAERR); it said: row 7 has no id"]);
    assert_says(row.result["stderr"].as_str().unwrap(), &["row 7 has no id"]);
    case.assert_went_on();
}

#[test]
fn a_failure_names_the_file() {
    let case = against("exit 1", "");
    let ran = case.once();
    let line = ran.out.lines().find(|line| line.starts_with("failed: ")).unwrap();
    assert_says(line, &["middle", "file-importer_t_", "exit code 1"]);
}

#[test]
fn a_program_that_dies_of_a_signal_is_said_so() {
    for (signal, words) in [
        ("SEGV", "killed by SIGSEGV: a wrong access to memory"),
        ("KILL", "killed by SIGKILL: perhaps out of memory"),
    ] {
        let case = against(&format!("echo half; kill -{signal} $$"), "");
        assert_eq!(case.once().code, Some(1));
        assert_says(&case.the_failed().error, &[words]);
        case.assert_went_on();
    }
}

#[test]
fn a_program_that_hangs_is_stopped_after_its_timeout() {
    // Its tree too: a child that ignores the request to end, and one in a session of its own.
    let hang = "trap '' TERM; (trap '' TERM; sleep 1000) & setsid sleep 1000 & sleep 1000; sleep 1000";
    let case = against(&format!("echo half; {hang}"), ", timeout: 500ms");
    let ran = case.once();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_says(&case.the_failed().error, &["timeout of 500ms", "stopped with all it had started"]);
    case.assert_went_on();
    assert_no_program_of(&case);
}

#[test]
fn children_that_linger_are_ended_with_their_program() {
    let linger =
        "sleep 1000 & setsid sleep 1000 >/dev/null 2>&1 & (setsid sh -c 'trap \"\" TERM HUP; sleep 1000' &)";
    let case = against(&format!("{linger}; cat"), "");
    let ran = case.once();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(case.times_exported("id,name\n1,bad\n"), 1, "what it wrote counts: it ended well");
    case.assert_went_on();
    assert_no_program_of(&case);
}

/// No process runs that has one of this project's inputs in its environment.
#[track_caller]
fn assert_no_program_of(case: &Case) {
    let of_this_project = |pid: &u32| {
        variable_of(*pid, "HANDOVER_INPUT")
            .is_some_and(|input| input.contains(&*case.project.path().to_string_lossy()))
    };
    wait_for(LONG, "no program goes on", || {
        let left: Vec<u32> =
            handover_testkit::process::processes().into_iter().filter(of_this_project).collect();
        left.iter().all(|pid| !is_running(*pid)).then_some(())
    });
}

#[test]
fn a_flood_on_stderr_is_read_and_its_end_is_kept() {
    let case = against("head -c 100000000 /dev/zero | tr '\\0' 'x' >&2; echo the end >&2; exit 1", "");
    assert_eq!(case.once().code, Some(1));
    let row = case.the_failed();
    assert_says(&row.error, &["exit code 1", "it said: "]);
    let stderr = row.result["stderr"].as_str().unwrap();
    assert!(stderr.len() <= 10_000 && stderr.trim_end().ends_with("the end"), "{} bytes", stderr.len());
    assert!(row.error.len() < 20_000);
    case.assert_went_on();
}

#[test]
fn a_flood_on_stdout_is_a_large_file() {
    let case = against("head -c 20000000 /dev/zero | tr '\\0' '\\n'", "");
    assert_eq!(case.once().code, Some(0));
    assert!(case.exported().values().any(|content| content.len() == 20_000_000));
    case.assert_went_on();
}

#[test]
fn a_program_that_writes_nothing_makes_an_empty_file() {
    let case = against("true", "");
    assert_eq!(case.once().code, Some(0));
    assert_eq!(case.times_exported(""), 1);
    case.assert_went_on();
}

#[test]
fn a_program_that_writes_half_and_dies_leaves_nothing() {
    let case = against("head -1; exit 3", "");
    assert_eq!(case.once().code, Some(1));
    assert_says(&case.the_failed().error, &["exit code 3: the program failed"]);
    assert_eq!(case.exported().len(), 1);
    case.assert_went_on();
}

#[test]
fn a_program_that_does_not_read_its_input_is_none_the_worse() {
    let case = Case::program("exec <&-; echo done", "");
    case.put("large.csv", "id,name\n".repeat(200_000));
    assert_eq!(case.once().code, Some(0));
    assert_eq!(case.times_exported("done\n"), 1);
    case.assert_nothing_half();
}

#[test]
fn a_program_that_cannot_be_started_is_named_with_what_to_do() {
    for (run, words) in [
        ("no-such-program-here", ["there is no such program: no-such-program-here", "not found in PATH"]),
        ("./no/such/program", ["there is no such program", "a relative path is relative to"]),
        ("./handover.yaml", ["may not be executed", "chmod +x"]),
        ("./incoming", ["this is a folder, not a program", "give the path of a program"]),
        ("./bad-interpreter", ["cannot start the program", "/no/such/interpreter"]),
    ] {
        let case = Case::declared(&format!("run: {run}, retries: 0"));
        let script = case.project.write("bad-interpreter", "#!/no/such/interpreter -u\n");
        std::fs::set_permissions(script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        case.put_good();
        let ran = case.once();
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert_says(&case.the_failed().error, &words);
        case.assert_nothing_half();
        // The input waits where it was published: with the program there, it is run again.
        let imported = case.rows().into_iter().find(|row| row.app == "middle").unwrap();
        assert_eq!(
            std::fs::read_to_string(case.join("data").join(imported.data["path"].as_str().unwrap())).unwrap(),
            GOOD
        );
    }
}

#[test]
fn a_failure_is_tried_again_before_it_counts() {
    let case = Case::declared(
        "run: 'test -e {input}.tried || { touch {input}.tried; exit 1; }; cat {input}', shell: true, retries: 1",
    );
    case.put_good();
    let _running = case.serve();
    wait_for(LONG, "the second attempt goes through", || (case.times_exported(GOOD) == 1).then_some(()));
    let row = case.rows().into_iter().find(|row| row.app == "middle").unwrap();
    assert_eq!((row.status.as_str(), row.attempts), ("completed", 2));
}
