//! `init --from-crontab`: from a crontab to a configuration that `check` takes.

use super::Place;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

const CRONTAB: &str = "\
# m h  dom mon dow   command
MAILTO=ops@example.org

# Orders of the day before
0 6 * * 1-5 sh -c 'echo id' > /srv/out/orders_$(date +\\%F).csv
*/10 * * * * cat /srv/out/*.csv > /dev/null 2>&1
@reboot sleep 1
";

#[test]
fn a_crontab_becomes_a_configuration_that_check_takes() {
    let place = Place::empty();
    place.write("crontab", CRONTAB);
    let mut command = place.command(&["init", "jobs", "--from-crontab", "crontab"]);
    let answer: super::Answer = command.env("TZ", "Europe/Berlin").output().unwrap().into();
    assert_eq!(answer.code, 0, "{}", answer.err);
    for says in [
        "proposed in jobs, with 2 jobs of the crontab:",
        "line 7: @reboot sleep 1\n    because it runs when the machine starts",
        "comment out lines 5 to 6 of it",
        "cd jobs",
        "note: line 2: cron mails to ops@example.org",
    ] {
        assert!(answer.out.contains(says), "{says}: {}", answer.out);
    }
    let yaml = place.read("jobs/handover.yaml");
    for says in
        ["timezone: Europe/Berlin", "description: Orders of the day before", "type: orders\n    ext: csv"]
    {
        assert!(yaml.contains(says), "{says}: {yaml}");
    }
    let mode = std::fs::metadata(place.path().join("jobs/handover.yaml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "a crontab may hold what only its owner could read");
    let check = place.run(&["--config", "jobs/handover.yaml", "check"]);
    assert_eq!(check.code, 0, "{}{}\n{yaml}", check.out, check.err);
    assert_eq!(place.read("crontab"), CRONTAB);
}

#[test]
fn a_configuration_that_is_there_is_never_replaced() {
    let place = Place::with("apps: { a: { run: cat } }\n");
    place.write("crontab", CRONTAB);
    let answer = place.run(&["init", "--from-crontab", "crontab"]);
    assert_eq!(answer.code, 2, "{}", answer.out);
    assert!(answer.err.contains("has a project already"), "{}", answer.err);
    assert_eq!(place.read("handover.yaml"), "apps: { a: { run: cat } }\n");
}

#[test]
fn a_crontab_comes_on_stdin_too_and_is_told_as_json() {
    let place = Place::empty();
    let mut command = place.command(&["init", "--from-crontab", "-", "--user", "--json"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"0 1 * * * backup /srv\nnonsense\x1b[2J here\n").unwrap();
    let answer: super::Answer = child.wait_with_output().unwrap().into();
    let said: serde_json::Value = serde_json::from_str(&answer.out).unwrap();
    assert_eq!(
        (said["apps"][0]["name"].as_str(), said["apps"][0]["line"].as_i64()),
        (Some("backup"), Some(1))
    );
    assert_eq!(said["left"][0]["text"], "nonsense\\u001b[2J here");
    assert!(said["apps"][0].get("app").is_none(), "{said}");
}

#[test]
fn the_crontab_of_this_user_is_what_crontab_prints() {
    let place = Place::empty();
    let ask = |script: &str| -> super::Answer {
        let program = place.write("bin/crontab", &format!("#!/bin/sh\n{script}\n"));
        std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = place.command(&["init", "jobs", "--from-crontab"]);
        command
            .env("PATH", format!("{}:/usr/bin:/bin", place.path().join("bin").display()))
            .output()
            .unwrap()
            .into()
    };
    let none = ask("echo 'no crontab for tester' >&2; exit 1");
    assert_eq!(none.code, 1);
    assert!(none.err.contains("this user has no crontab"), "{}", none.err);
    let denied = ask("echo 'you may not' >&2; exit 1");
    assert!(denied.code == 1 && denied.err.contains("`crontab -l` failed: you may not"), "{}", denied.err);
    let empty = ask("exit 0");
    assert!(empty.code == 1 && empty.err.contains("there is no job in the crontab"), "{}", empty.err);
    assert!(!place.path().join("jobs").exists());
    let filled = ask("[ \"$1\" = -l ] && echo '0 1 * * * root /srv'");
    assert_eq!(filled.code, 0, "{}", filled.err);
    assert!(
        place.read("jobs/handover.yaml").contains("run: root /srv"),
        "it is a user's own: `root` is a program"
    );
}

#[test]
fn without_cron_it_says_what_else_there_is() {
    let place = Place::empty();
    place.write("bin/other", "");
    let mut command = place.command(&["init", "--from-crontab"]);
    let answer: super::Answer = command.env("PATH", place.path().join("bin")).output().unwrap().into();
    assert_eq!(answer.code, 1);
    assert!(answer.err.contains("--from-crontab FILE"), "{}", answer.err);
    let missing = place.run(&["init", "--from-crontab", "nowhere"]);
    assert!(missing.code == 1 && missing.err.contains("nowhere"), "{}", missing.err);
    let other = place.run(&["init", "--system"]);
    assert_eq!(other.code, 2);
}
