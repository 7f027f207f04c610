//! `run --once`, `run --dry-run`, `work`.

use crate::{PROGRAMS, Place};

const IMPORT: &str = r#"
apps:
  in:  { uses: file-importer, with: { from: ./incoming, pattern: "*.csv", type: rows, settle: 0s } }
  out: { uses: file-exporter, with: { to: ./out } }
flows:
  rows: in -> out
"#;

#[test]
fn a_dry_run_tells_what_would_be_and_makes_nothing() {
    let place = Place::with(IMPORT);
    place.write("incoming/a.csv", "x\n1\n");
    std::os::unix::fs::symlink("a.csv", place.path().join("incoming/b.csv")).unwrap();
    let said = place.ok(&["run", "--dry-run"]);
    assert!(said.contains("incoming/a.csv") && said.contains("taken"), "{said}");
    assert!(said.contains("refused") && said.contains("symbolic link"), "{said}");
    assert_eq!(place.names("."), ["handover.yaml", "incoming"]);
    let plan = place.json(&["run", "--dry-run"]);
    assert_eq!(plan["arrivals"].as_array().unwrap().len(), 2);

    let run = place.run(&["run", "--once"]);
    assert_eq!(run.code, 1, "{}{}", run.out, run.err);
    assert!(run.out.contains("refused: "), "{}", run.out);
    let done = place.run(&["run", "--dry-run"]);
    assert!(done.out.contains("a run would do nothing now"), "{}", done.out);
    assert!(done.err.contains("left alone: 2 files"), "{}", done.err);
    assert_eq!(place.json(&["run", "--once"])["arrived"], 0);
}

#[test]
fn the_table_stands_in_the_order_of_the_configuration() {
    let place = Place::with(IMPORT);
    place.write("incoming/a.csv", "x\n1\n2\n");
    let table = place.ok(&["run", "--once"]);
    let firsts: Vec<&str> = table.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(firsts, ["APP", "in", "out"], "{table}");
}

#[test]
fn later_and_schedules_are_planned() {
    let config = PROGRAMS.replace("exit 65", "exit 75") + "  clock: date -> out\n";
    let config = config.replace(
        "  bad:   {",
        "  date: { run: date, schedule: \"0 6 * * *\", type: day, ext: txt }\n  bad:   {",
    );
    let place = Place::with(&config);
    place.write("in.txt", "abc\n");
    let id =
        place.json(&["put", "in.txt", "--app", "outsider", "--type", "note", "--next", "bad"])["delivery_id"]
            .clone();
    let run = place.run(&["run", "--once"]);
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(run.out.contains(&format!("waits: delivery {id} of bad is tried again")), "{}", run.out);
    let plan = place.json(&["run", "--dry-run"]);
    assert_eq!((&plan["later"][0]["id"], &plan["queues"]), (&id, &serde_json::json!([])));
    assert_eq!(plan["schedules"][0]["app"], "date");
    assert!(place.ok(&["run", "--dry-run"]).contains("schedule: date (0 6 * * *), next "));
}

#[test]
fn one_app_is_worked_for_with_another_command() {
    let place = Place::with(PROGRAMS);
    place.write("in.txt", "abc\n");
    place.ok(&[
        "put",
        "in.txt",
        "--app",
        "outsider",
        "--type",
        "note",
        "--date",
        "2025-11-24",
        "--next",
        "upper",
    ]);
    let said = place.ok(&["work", "upper", "--once", "--", "sed", "s/b/ {date} /"]);
    assert!(said.contains("upper") && !said.contains("out "), "{said}");
    assert_eq!(place.read("data/upper/2025-11-24/upper_note_2025-11-24_001.txt"), "a 2025-11-24 c\n");
    assert!(place.names("out").is_empty(), "the exporter was not worked for");
    assert_eq!(place.run(&["work", "out", "--once", "--", "cat"]).code, 2);
    let wrong = place.run(&["work", "uper"]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.err.contains("did you mean `upper`?"), "{}", wrong.err);
}

#[test]
fn a_program_without_input_runs_once_when_it_is_asked_to() {
    let config = "apps:\n  make: { run: \"printf 'a\\n1\\n'\", type: numbers, ext: csv }\n  \
                  out: { uses: file-exporter, with: { to: ./out } }\nflows: { f: make -> out }\n";
    let place = Place::with(config);
    let run = place.run(&["work", "make"]);
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(run.err.contains("it runs once, as delivery 1"), "{}", run.err);
    place.ok(&["run", "--once"]);
    assert_eq!(place.names("out").len(), 2);
}

#[test]
fn the_help_of_every_command_says_what_it_does_and_shows_an_example() {
    let place = Place::empty();
    for command in [
        "demo", "init", "run", "put", "work", "replay", "retry", "cancel", "restore", "pause", "resume",
        "archive", "verify",
    ] {
        let help = place.ok(&[command, "--help"]);
        assert!(help.contains("Example") && help.contains(&format!("handover {command}")), "{help}");
    }
}

/// Quick programs are begun by the guard one behind another: still only as many at once as there are workers, and one that takes
/// longer than all others holds up nobody, not even the one that was put behind it.
#[test]
fn quick_programs_run_so_many_at_once_and_a_slow_one_holds_up_nobody() {
    const FILES: usize = 80;
    let script = r#"
        echo + >>log
        read line
        if [ "$line" = slow ]; then
            tries=0
            while [ "$(grep -c - log)" -lt OTHERS ]; do
                tries=$((tries + 1))
                [ $tries -lt 1200 ] || exit 70
                sleep 0.05
            done
        fi
        echo - >>log
        echo "$line"
    "#;
    let place = Place::with("");
    let config = format!(
        "apps:\n  in: {{ uses: file-importer, with: {{ from: ./incoming, pattern: \"*.csv\", type: rows, settle: 0s }} }}\n  \
         each: {{ run: sh {}, workers: 2 }}\nflows:\n  rows: in -> each\n",
        place.write("each.sh", &script.replace("OTHERS", &(FILES - 1).to_string())).display()
    );
    place.write("handover.yaml", &config);
    for index in 0..FILES {
        let line = if index == FILES / 2 { "slow".to_owned() } else { format!("line {index}") };
        place.write(&format!("incoming/{index:03}.csv"), &format!("{line}\n"));
    }
    let run = place.run(&["run", "--once"]);
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    let log = place.read("log");
    let (mut now, mut most) = (0, 0);
    for line in log.lines() {
        now += if line == "+" { 1 } else { -1 };
        most = most.max(now);
    }
    assert_eq!((now, log.lines().count()), (0, 2 * FILES));
    assert_eq!(most, 2, "as many at once as it has workers: {log}");
}
