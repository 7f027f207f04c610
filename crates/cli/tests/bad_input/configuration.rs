//! A configuration that is wrong: exit code 2, the line shown, and nothing made on disk.

use crate::kit::{Case, Ran, assert_says};

#[track_caller]
fn refused(configuration: &str) -> Ran {
    let case = Case::new(configuration);
    let ran = case.once();
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert_eq!(ran.out, "");
    for made in ["data", "outgoing", "incoming"] {
        assert!(!case.join(made).exists(), "{made} was made: {ran:?}");
    }
    ran
}

const APPS: &str = "apps:
  file-importer: { uses: file-importer, with: { from: incoming, type: t } }
  one: { run: cat }
  two: { run: cat }
flows:
";

#[test]
fn a_cycle() {
    let ran = refused(&format!("{APPS}  f: file-importer -> one -> two -> one\n"));
    assert_says(
        &ran.log,
        &["handover.yaml:6:", "goes in a circle: one -> two -> one", "  f: file-importer -> one", "^"],
    );
    let ran = refused(&format!("{APPS}  f: file-importer -> one -> one\n"));
    assert_says(&ran.log, &["handover.yaml:6:", "`one` is linked to itself"]);
}

#[test]
fn an_unknown_app() {
    let ran = refused(&format!("{APPS}  f: file-importer -> tow\n"));
    assert_says(&ran.log, &["handover.yaml:6:23", "there is no app `tow`", "did you mean `two`?", "^^^"]);
}

#[test]
fn a_wrong_type() {
    let ran = refused(&APPS.replace("run: cat }", "run: cat, retries: many }"));
    assert_says(
        &ran.log,
        &["handover.yaml:3:", "`apps.one.retries` must be a whole number", "\"many\"", "^^^^"],
    );
    let ran = refused(&APPS.replace("run: cat }", "run: [cat] }"));
    assert_says(&ran.log, &["handover.yaml:3:", "`apps.one.run` must be"]);
    let ran = refused(&APPS.replace("type: t", "type: t, settle: soon"));
    assert_says(&ran.log, &["handover.yaml:2:", "settle", "soon", "1h 30m"]);
}

#[test]
fn a_tab() {
    let ran = refused("apps:\n\tone: { run: cat }\n");
    assert_says(&ran.log, &["handover.yaml:2:1", "a tab stands in the indentation", "spaces only"]);
}

#[test]
fn a_duplicate_key() {
    let ran = refused(&APPS.replace("  two:", "  one:"));
    assert_says(&ran.log, &["handover.yaml:4:3", "`one` stands here a second time", "first here"]);
}

#[test]
fn unknown_keys() {
    for (wrong, line, words) in [
        ("run: cat, retry: 3 }", "3", ["unknown key `retry`", "did you mean `retries`?"]),
        ("run: cat, time-out: 3s }", "3", ["unknown key `time-out`", "did you mean `timeout`?"]),
        ("run: cat, colour: red }", "3", ["unknown key `colour`", "known here: "]),
    ] {
        let ran = refused(&APPS.replacen("run: cat }", wrong, 1));
        assert_says(&ran.log, &words);
        assert_says(&ran.log, &[&format!("handover.yaml:{line}:")]);
    }
    let ran = refused(&APPS.replace("from: incoming", "form: incoming"));
    assert_says(&ran.log, &["unknown key `form`", "did you mean `from`?"]);
    let ran = refused(&format!("dta: ./data\n{APPS}"));
    assert_says(&ran.log, &["handover.yaml:1:1", "unknown key `dta`", "did you mean `data`?"]);
}

#[test]
fn no_yaml_at_all() {
    assert_says(&refused("").log, &["handover.yaml: the file is empty", "handover init"]);
    assert_says(&refused("apps: [").log, &["handover.yaml:", "not YAML"]);
    let case = Case::new("");
    case.project.write("handover.yaml", b"apps: \xff\xfe\n");
    let ran = case.once();
    assert_eq!(ran.code, Some(2));
    assert_says(&ran.log, &["UTF-8"]);
    std::fs::remove_file(case.join("handover.yaml")).unwrap();
    let ran = case.once();
    assert_eq!(ran.code, Some(2));
    assert_says(&ran.log, &["there is no handover.yaml here", "handover init"]);
    assert!(!case.join("data").exists());
}

#[test]
fn a_reload_of_a_wrong_configuration_leaves_the_old_one_in_force() {
    let case = Case::importing("");
    let mut running = case.serve();
    running.says_within(crate::kit::LONG, "watches");
    case.project.write("handover.yaml", "apps:\n\tx\n");
    running.signal(rustix::process::Signal::HUP);
    running.says_within(crate::kit::LONG, "not loaded anew");
    case.put_good();
    handover_testkit::process::wait_for(crate::kit::LONG, "the old one works on", || {
        (case.exported().len() == 1).then_some(())
    });
    case.assert_went_on();
}
