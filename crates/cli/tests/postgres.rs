//! The real binary on a ledger that is a PostgreSQL: flows, two processes at once, what is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]
#![cfg(target_os = "linux")]

use handover_testkit::postgres::with_role;
use handover_testkit::{Project, TemporaryPostgres, files_below};
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

const BOUND: Duration = Duration::from_secs(120);

struct World {
    server: TemporaryPostgres,
    project: Project,
}

impl World {
    fn new(copy: &str) -> Self {
        let server = TemporaryPostgres::new();
        let project = Project::new(env!("CARGO_BIN_EXE_handover"), &configuration(&server, copy));
        for folder in ["incoming", "outgoing"] {
            std::fs::create_dir_all(project.join(folder)).unwrap();
        }
        Self { server, project }
    }

    fn arrive(&self, numbers: std::ops::Range<usize>) {
        for number in numbers {
            self.project.arrive(format!("incoming/{number}.csv"), format!("id\n{number}\n"));
        }
    }

    /// Runs a command to its end.
    #[track_caller]
    fn run(&self, words: &[&str], code: i32) -> String {
        let mut running = self.project.start(words);
        let ended = running.end_within(BOUND);
        let said = format!("{}{}", running.stdout(), running.stderr());
        assert_eq!(ended.code(), Some(code), "{words:?}: {said}");
        said
    }

    fn exports(&self) -> Vec<PathBuf> {
        let all = files_below(&self.project.join("outgoing"));
        all.into_iter().filter(|path| path.extension().is_some_and(|ext| ext == "csv")).collect()
    }

    /// Everything that must hold when so many files have gone through.
    #[track_caller]
    fn settle_accounts(&self, files: usize) {
        let contents: BTreeSet<String> =
            self.exports().iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
        assert_eq!((self.exports().len(), contents.len()), (files, files));
        let none = |query: &str| assert_eq!(self.server.sql(query), "", "{query}");
        none("SELECT id, status, last_error FROM integration.v_deliveries WHERE status <> 'completed'");
        none(
            "SELECT id FROM integration.v_deliveries WHERE lease_token IS NOT NULL OR lease_until IS NOT NULL",
        );
        none(
            "SELECT delivery_id FROM integration.v_audit WHERE to_status = 'completed' GROUP BY 1 HAVING count(*) > 1",
        );
        none(
            "SELECT data ->> 'path', target_app FROM integration.deliveries WHERE kind = 'file' AND data ->> 'path' IS NOT NULL \
             GROUP BY 1, 2 HAVING count(*) > 1",
        );
        let locks = files_below(&self.project.join("data/.handover/locks"));
        let drafts = files_below(&self.project.join("data/.handover/tmp"));
        assert!(locks.is_empty() && drafts.is_empty(), "{locks:?} {drafts:?}");
    }
}

fn configuration(server: &TemporaryPostgres, copy: &str) -> String {
    format!(
        "ledger: '{}'
apps:
  file-importer: {{ uses: file-importer, with: {{ from: incoming, pattern: '*.csv', type: sales }} }}
  copy: {{ run: \"{copy}\", workers: 2 }}
  file-exporter: {{ uses: file-exporter, with: {{ to: outgoing }} }}
flows:
  sales: file-importer -> copy -> file-exporter
",
        server.url()
    )
}

#[test]
fn a_flow_runs_on_it_from_the_first_file_to_the_last() {
    let world = World::new("cat");
    let said = world.run(&["check"], 0);
    assert!(said.contains("schema is not there yet"), "{said}");
    assert!(world.run(&["status"], 0).contains("never run"));
    assert_eq!(world.server.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'integration'"), "0");
    world.arrive(0..20);
    world.run(&["run", "--once"], 0);
    world.settle_accounts(20);
    world.run(&["run", "--once"], 0);
    world.settle_accounts(20);
    assert!(!world.run(&["check"], 0).contains("schema"));
    let status = world.run(&["status", "--json"], 0);
    assert!(status.contains(&format!("/{}", world.server.name())), "{status}");
    assert!(world.run(&["why", "incoming/7.csv"], 0).contains("It went its whole way"));
    let replayed = world.server.sql("SELECT min(id) FROM integration.deliveries WHERE target_app = 'copy'");
    world.run(&["replay", &replayed], 0);
    world.run(&["run", "--once"], 0);
    assert_eq!(world.exports().len(), 21);
}

#[test]
fn two_at_once_pick_nothing_up_twice() {
    const FILES: usize = 60;
    let world = World::new("sh -c 'sleep 0.05; cat'");
    world.arrive(0..FILES / 2);
    let mut both = [world.project.start(&["run"]), world.project.start(&["run"])];
    world.arrive(FILES / 2..FILES);
    handover_testkit::process::wait_for(BOUND, "all files are exported", || {
        (world.exports().len() == FILES).then_some(())
    });
    let done = "SELECT count(*) FROM integration.v_deliveries WHERE status <> 'completed'";
    handover_testkit::process::wait_for(BOUND, "all is completed", || {
        (world.server.sql(done) == "0").then_some(())
    });
    for running in &mut both {
        running.signal(Signal::TERM);
    }
    for running in &mut both {
        assert_eq!(running.end_within(BOUND).code(), Some(0), "{}", running.stderr());
    }
    world.settle_accounts(FILES);
    let workers = "SELECT count(DISTINCT leased_by) FROM integration.deliveries WHERE target_app = 'copy'";
    assert_eq!(world.server.sql(workers), "2", "the work was shared");
}

/// Its lock tells of its death at once, or this would wait for the end of its lease, an hour.
#[test]
fn what_a_killed_process_held_is_taken_back_at_once() {
    for fault in ["claim.committed:kill@2", "publish.linked:kill@2", "complete.committed:kill@3"] {
        let world = World::new("cat");
        let text = std::fs::read_to_string(world.project.join("handover.yaml")).unwrap();
        world.project.write("handover.yaml", format!("lease: 1h\n{text}"));
        world.arrive(0..5);
        let mut killed = world.project.start_with_fault(&["run", "--once"], fault);
        assert!(handover_testkit::process::was_killed(killed.end_within(BOUND)), "{}", killed.stderr());
        world.run(&["run", "--once"], 0);
        world.settle_accounts(5);
    }
}

#[test]
fn a_data_directory_of_another_ledger_is_refused() {
    let world = World::new("cat");
    world.arrive(0..1);
    world.run(&["run", "--once"], 0);
    let other = TemporaryPostgres::new();
    world.project.write("handover.yaml", configuration(&other, "cat"));
    for command in [&["check"][..], &["run", "--once"]] {
        let said = world.run(command, 2);
        assert!(said.contains("another ledger wrote the data directory"), "{said}");
        assert!(said.contains("there is none here"), "{said}");
    }
    // Nor may one that has a history of its own.
    let third = TemporaryPostgres::new();
    let text = configuration(&third, "cat");
    world.project.write("handover.yaml", format!("data: elsewhere\n{text}"));
    world.run(&["run", "--once"], 0);
    world.project.write("handover.yaml", text);
    for command in [&["check"][..], &["run", "--once"]] {
        assert!(world.run(command, 2).contains("and this one is"));
    }
    assert_eq!(other.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'integration'"), "0");
}

#[test]
fn a_role_that_may_too_little_is_told_by_check_as_by_run() {
    let world = World::new("cat");
    let role = format!("{}_guest", world.server.name());
    let text = std::fs::read_to_string(world.project.join("handover.yaml")).unwrap();
    let as_guest = text.replace(&world.server.url(), &with_role(&world.server.url(), &role, None));
    world.server.sql(&format!("CREATE ROLE {role} LOGIN"));
    world.project.write("handover.yaml", &as_guest);
    let said = world.run(&["check"], 2);
    assert!(said.contains(&format!("the role {role} may not make the ledger's schema")), "{said}");
    assert!(said.contains(&format!("TO \"{role}\"")), "{said}");
    assert_eq!(world.server.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'integration'"), "0");
    world.project.write("handover.yaml", &text);
    world.run(&["run", "--once"], 0);
    world.server.sql(&format!(
        "GRANT USAGE ON SCHEMA integration TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA integration TO {role}"
    ));
    world.project.write("handover.yaml", &as_guest);
    let said = world.run(&["check"], 2);
    assert!(said.contains("may not work on the ledger"), "{said}");
    world.server.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

#[test]
fn what_is_wrong_with_the_server_is_said() {
    let world = World::new("cat");
    let text = std::fs::read_to_string(world.project.join("handover.yaml")).unwrap();
    world.project.write("handover.yaml", format!("migrate: false\n{text}"));
    for command in [&["check"][..], &["run", "--once"]] {
        assert!(world.run(command, 2).contains("not there yet"));
    }
    let away = text.replace(&world.server.url(), "postgres://ann:a-secret@127.0.0.1:1/db");
    world.project.write("handover.yaml", away);
    for command in [&["check"][..], &["run", "--once"], &["status"]] {
        let mut running = world.project.start(command);
        let code = running.end_within(BOUND).code();
        let said = format!("{}{}", running.stdout(), running.stderr());
        assert!(code.is_some_and(|code| code != 0), "{command:?}: {said}");
        assert!(said.contains("no PostgreSQL answers") && !said.contains("a-secret"), "{command:?}: {said}");
    }
}

#[test]
fn programs_that_know_only_sql_take_part() {
    let world = World::new("cat");
    // The schema is there when somebody has run.
    world.run(&["run", "--once"], 0);
    let bin = world.project.join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    let psql = format!("#!/bin/sh\nPATH=${{PATH#*:}} exec psql \"$@\" -d '{}'\n", world.server.url());
    std::fs::write(bin.join("psql"), psql).unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(bin.join("psql"), executable).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let script = |name: &str| {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/sql/").to_owned() + name;
        let ran = std::process::Command::new("sh").arg(file).env("PATH", &path).output().unwrap();
        let said =
            format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        assert!(ran.status.success(), "{name}: {said}");
        said
    };
    let plain = script("plain.sh");
    assert!(plain.contains("billing order 1\nbilling order 2\n"), "{plain}");
    assert!(plain.contains("new | pending") && plain.contains("processing | completed"), "{plain}");
    let functions = script("functions.sh");
    assert!(functions.contains("pushed once") && functions.contains("replayed"), "{functions}");
    assert!(functions.contains("pending\nfailed\nERROR"), "{functions}");
    let stand = world
        .server
        .sql("SELECT target_app, status, count(*) FROM integration.data_staging GROUP BY 1, 2 ORDER BY 1, 2");
    let expected = "billing|completed|2\nmailer|completed|2\nmailer|failed|1\nmailer|pending|1";
    assert_eq!(stand.trim(), expected);
    assert_eq!(world.server.sql("SELECT sum(abs(missing)) FROM integration.v_conservation").trim(), "0");
    // Handover sees what they did.
    assert!(world.run(&["status"], 0).contains("shop: 6 pushed = 6 live + 0 archived + 0 deleted"));
}

/// A project whose records are claimed by lanes: what arrives is split into records for a stream program, and `hand` is pulled for.
fn by_lanes() -> World {
    let world = World::new("cat");
    let program = "import json, sys\nfor line in sys.stdin:\n    r = json.loads(line)\n    \
                   print(json.dumps({'id': r['id'], 'status': 'completed', 'data': {'n': r['data']['n']}}), flush=True)\n";
    world.project.write("work.py", program);
    world.project.write(
        "handover.yaml",
        format!(
            "ledger: '{}'
lease: 1h
apps:
  in: {{ uses: file-importer, with: {{ from: incoming, pattern: '*', type: sales, settle: 0s }} }}
  work: {{ run: python3 work.py, mode: stream, workers: 2, claim: lanes }}
  out: {{ uses: file-exporter, with: {{ to: outgoing }} }}
  hand: {{ run: cat, claim: lanes }}
flows:
  f: [ {{ from: in, to: work, by: database }}, {{ from: work, to: out, by: file }} ]
",
            world.server.url()
        ),
    );
    let lines: String = (1..=300).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    world.project.arrive("incoming/numbers.ndjson", lines);
    world
}

/// Whatever point it is killed at, each record goes through once, and is in the archive then.
#[test]
fn records_by_lanes_go_through_once_whatever_is_killed() {
    for fault in [
        None,
        Some("claim.committed:kill@6"),
        Some("stream.answered:kill@4"),
        Some("complete.committed:kill@4"),
    ] {
        let world = by_lanes();
        if let Some(fault) = fault {
            let mut killed = world.project.start_with_fault(&["run", "--once"], fault);
            assert!(
                handover_testkit::process::was_killed(killed.end_within(BOUND)),
                "{fault}: {}",
                killed.stderr()
            );
        }
        world.run(&["run", "--once"], 0);
        let of_work = |what: &str, table: &str| {
            world.server.sql(&format!(
                "SELECT {what} FROM integration.{table} WHERE target_app = 'work' AND kind = 'record'"
            ))
        };
        assert_eq!(
            of_work("count(*), count(DISTINCT id), min(status), max(status)", "data_archive"),
            "300|300|archived|archived"
        );
        assert_eq!(of_work("count(*)", "data_staging"), "0");
        let exported: Vec<String> = files_below(&world.project.join("outgoing"))
            .iter()
            .filter(|path| !path.to_string_lossy().ends_with(".meta.json"))
            .flat_map(|path| {
                std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
            })
            .collect();
        assert_eq!((exported.len(), exported.iter().collect::<BTreeSet<_>>().len()), (300, 300), "{fault:?}");
        assert_eq!(world.server.sql("SELECT count(*) FROM integration.lanes"), "0");
        assert_eq!(world.server.sql("SELECT sum(abs(missing)) FROM integration.v_conservation"), "0");
    }
}

#[test]
fn records_by_lanes_are_pulled_and_answered_by_their_token() {
    let world = by_lanes();
    world.project.write("some.ndjson", "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n{\"n\":4}\n");
    world.run(&["push", "some.ndjson", "--from", "shop", "--to", "hand"], 0);
    let mut pulling = world.project.start(&["pull", "--app", "hand", "--max", "3"]);
    assert_eq!(pulling.end_within(BOUND).code(), Some(0), "{}", pulling.stderr());
    let pulled: Vec<serde_json::Value> =
        pulling.stdout().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let token = pulled[0]["token"].as_str().unwrap();
    let id = |n: usize| pulled[n]["id"].to_string();
    assert!(pulled.len() == 3 && pulled.iter().all(|one| one["attempt"] == 1), "{pulled:?}");
    assert_eq!(
        world.server.sql("SELECT status, count(*) FROM integration.data_staging GROUP BY 1"),
        "pending|4"
    );
    for (words, said) in [
        (&["show", &id(0)][..], "processing"),
        (&["why", &id(0)], "has claimed it for hand"),
        (&["list", "--status", "processing"], "hand"),
        (&["extend", token, "--lease", "10m"], "3 records kept"),
        (&["ack", token, &id(0)], "1 record completed"),
        (&["fail", token, &id(1), "--error", "no"], "1 record to be tried again"),
        (&["cancel", &id(2)], ""),
        (&["show", &id(0)], "archived"),
    ] {
        let heard = world.run(words, 0);
        assert!(heard.contains(said), "{words:?}: {heard}");
    }
    assert!(world.run(&["ack", token], 1).contains("nothing was changed"));
    let stand = "SELECT status, n FROM integration.v_tally WHERE app = 'hand' AND n > 0 ORDER BY status";
    let stand = world.server.sql(stand);
    assert_eq!(stand, "archived|1\nfailed|1\npending|2");
}
