use super::*;
use crate::config::{Output, Runs};
use proptest::prelude::*;

fn read(text: &str) -> Proposal {
    read_as(text, None)
}

fn read_as(text: &str, system: Option<bool>) -> Proposal {
    let knows = |name: &str| ["root", "www-data", "backup"].contains(&name);
    propose(text.as_bytes(), &Reading { system, timezone: "Europe/Berlin", knows_user: &knows }).unwrap()
}

fn config(proposal: &Proposal) -> Config {
    let yaml = proposal.yaml.as_deref().unwrap();
    Config::from_text(yaml, Path::new(FILE_NAME), &|_| None)
        .unwrap_or_else(|e| panic!("{}\n{yaml}", e.render()))
}

/// What a program of one line becomes: its words, or the script behind `sh -c`, and what its output is.
fn one(line: &str) -> (String, Vec<String>, Option<(String, String)>) {
    let proposal = read(line);
    let config = config(&proposal);
    let app = config.apps.iter().next().unwrap_or_else(|| panic!("{line}: {:?}", proposal.left));
    let Runs::Program(program) = &app.runs else { panic!("no program") };
    let words = program.command(&crate::config::Placeholders::default());
    let words = words.into_iter().map(|word| word.into_string().unwrap()).collect();
    let output = (program.output == Output::Stdout)
        .then(|| (app.type_name.clone().unwrap().to_string(), app.ext.clone().unwrap()));
    (app.name.to_string(), words, output)
}

/// Real crontabs: the line, the app's name, its words, what its output is called.
#[test]
fn lines_of_real_life() {
    let sh = |script: &str| vec!["sh".to_owned(), "-c".to_owned(), script.to_owned()];
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let none = None::<(&str, &str)>;
    let table = [
        ("0 6 * * * /opt/app/nightly-export.sh", "nightly-export", words("/opt/app/nightly-export.sh"), none),
        (
            "*/5 * * * * /usr/bin/python3 /opt/x/load_orders.py --since 1d",
            "load-orders",
            words("/usr/bin/python3 /opt/x/load_orders.py --since 1d"),
            none,
        ),
        ("@daily certbot renew -q", "certbot-renew", words("certbot renew -q"), none),
        (
            "0 3 * * 7 /usr/sbin/logrotate /etc/lr.conf > /dev/null 2>&1",
            "logrotate",
            words("/usr/sbin/logrotate /etc/lr.conf"),
            none,
        ),
        ("0 3 * * * /x/quiet 2>/dev/null >/dev/null </dev/null", "quiet", words("/x/quiet"), none),
        ("0 3 * * * /x/job >> /var/log/job.log 2>&1", "x-job", sh("/x/job >> /var/log/job.log 2>&1"), none),
        (
            r"30 2 * * * mysqldump --all-databases | gzip > /backup/db_$(date +\%F).sql.gz",
            "mysqldump",
            sh("mysqldump --all-databases | gzip"),
            Some(("db", "sql.gz")),
        ),
        (
            r"0 1 * * * cd /srv/shop && ./report.sh --day `date +\%d` > /srv/out/sales-`date +\%Y\%m\%d`.csv 2>&1",
            "report",
            sh("cd /srv/shop && ./report.sh --day `date +%d`"),
            Some(("sales", "csv")),
        ),
        ("0 1 * * * /x/report > /srv/www/report.csv", "report", sh("/x/report > /srv/www/report.csv"), none),
        (
            "* * * * * cd /var/www/shop && php artisan schedule:run >> /dev/null 2>&1",
            "artisan-schedule-run",
            sh("cd /var/www/shop && php artisan schedule:run >> /dev/null 2>&1"),
            none,
        ),
        (
            "*/15 * * * * /usr/bin/flock -n /tmp/sync.lock /usr/local/bin/sync-stock",
            "sync-stock",
            words("/usr/bin/flock -n /tmp/sync.lock /usr/local/bin/sync-stock"),
            none,
        ),
        (
            "0 0 * * * nice -n 19 ionice -c 3 /opt/backup.sh /data",
            "backup",
            words("nice -n 19 ionice -c 3 /opt/backup.sh /data"),
            none,
        ),
        (
            "17 * * * * root cd / && run-parts --report /etc/cron.hourly",
            "run-parts-cron-hourly",
            sh("cd / && run-parts --report /etc/cron.hourly"),
            none,
        ),
        ("0 4 * * * /srv/shop/bin/cron.php", "shop-cron", words("/srv/shop/bin/cron.php"), none),
        ("0 4 * * * python3 -m etl.orders", "etl-orders", words("python3 -m etl.orders"), none),
        (
            "5 4 * * sun bash -lc 'cd ~/app && bundle exec rake reports:send'",
            "bundle",
            vec!["bash".into(), "-lc".into(), "cd ~/app && bundle exec rake reports:send".into()],
            none,
        ),
        (
            "0 22 * * 1-5 mail -s 'It is 10pm' joe%Joe,%%Where are your kids?%",
            "mail",
            sh("printf '%s\\n' 'Joe,' '' 'Where are your kids?' '' | {\nmail -s 'It is 10pm' joe\n}"),
            none,
        ),
        (
            "0 9 * * * ./sync.sh incoming/orders.csv",
            "sync",
            sh("cd || exit\n./sync.sh incoming/orders.csv"),
            none,
        ),
        (
            "0 9 * * * curl -fsS 'https://hc.example/ping?a=1&b=2'",
            "curl",
            vec!["curl".into(), "-fsS".into(), "https://hc.example/ping?a=1&b=2".into()],
            none,
        ),
        (
            "0 9 * * * PGPORT=5433 psql -c \"select 'a b'\"",
            "psql",
            sh("PGPORT=5433 psql -c \"select 'a b'\""),
            none,
        ),
        (
            "0 9 * * * [[ -f /a ]] && echo yes > /out/seen-$(date +\\%s).txt",
            "echo",
            sh("[[ -f /a ]] && echo yes"),
            Some(("seen", "txt")),
        ),
        (
            "0 9 * * * [ -x /usr/bin/x ] && /usr/bin/x # keeps x fresh",
            "x",
            sh("[ -x /usr/bin/x ] && /usr/bin/x"),
            none,
        ),
        (
            "0 9 * * * awk '{print $1}' /data/in.txt",
            "awk",
            vec!["awk".into(), "{print $1}".into(), "/data/in.txt".into()],
            none,
        ),
        ("0 9 * * * handover-tool", "run-handover-tool", words("handover-tool"), none),
        ("0 9 * * * /opt/errors", "run-errors", words("/opt/errors"), none),
        ("0 9 * * * /opt/ÄÖ", "job", words("/opt/ÄÖ"), none),
    ];
    for (line, name, words, output) in table {
        let output = output.map(|(kind, ext)| (kind.to_owned(), ext.to_owned()));
        assert_eq!(one(line), (name.to_owned(), words, output), "{line}");
    }
}

#[test]
fn schedules_are_read_as_cron_reads_them() {
    let table = [
        ("0 6 * * *", "0 6 * * *"),
        ("@Daily", "@daily"),
        ("@midnight", "@midnight"),
        ("@quarterly", "0 0 1 1,4,7,10 *"),
        ("0,30\t8-18/2  1 JAN-mar,dec mon-fri", "0,30 8-18/2 1 JAN-mar,dec mon-fri"),
        ("-*/10 * * * *", "*/10 * * * *"),
        ("0 0 */2 * 1", "0 0 */2 * +1"),
        ("0 0 13 * 5", "0 0 13 * 5"),
    ];
    for (from, to) in table {
        let proposal = read(&format!("{from} /bin/x"));
        assert_eq!(
            proposal.apps.first().map(|app| app.schedule.as_str()),
            Some(to),
            "{from}: {:?}",
            proposal.left
        );
        config(&proposal);
    }
}

#[test]
fn a_star_with_a_step_asks_for_both_days() {
    let config = config(&read("0 0 */2 * 1 /bin/x"));
    let schedule = config.apps.iter().next().unwrap().schedule.clone().unwrap();
    let start: Timestamp = "2025-06-01T00:00:00Z".parse().unwrap();
    for run in schedule.missed_between(start, start + SignedDuration::from_hours(24 * 60), 20) {
        let day = run.to_zoned(TimeZone::get("Europe/Berlin").unwrap());
        assert!(day.day() % 2 == 1 && day.weekday() == jiff::civil::Weekday::Monday, "{day}");
    }
}

#[test]
fn what_cannot_be_taken_over_is_said_with_its_reason() {
    let table = [
        ("@reboot /x/start", "when the machine starts"),
        ("0~59 * * * * /x/y", "at random"),
        ("0 25 * * * /x/y", "`25` is no hour"),
        ("@sometimes /x/y", "is no schedule"),
        ("0 0 31 2 * /x/y", "no day ever"),
        ("hello world", "neither a comment nor NAME=value"),
        ("0 6 * * *", "no command"),
        ("0 6 * * * # nothing", "a comment alone"),
        ("0 6 * * * echo 'open", "a quote in it is not closed"),
        ("0 6 * * * x $(date", "is not closed"),
        ("0 6 * * * x >", "names no file"),
        ("0 6 * * * x\\", "ends in a backslash"),
        ("0 6 * * * cat {input}", "would fill that in"),
        ("# 0 6 * * * /x/y", "commented out"),
        ("CRON_TZ=Mars/Olympus", "no time zone"),
        ("DB_PASSWORD=geheim", "a secret by its name"),
        ("RANDOM_DELAY=45", "cron's own"),
    ];
    for (line, reason) in table {
        let proposal = read(&format!("0 1 * * * /x/good\n{line}\n"));
        assert_eq!(proposal.apps.len(), 1, "{line}");
        let [left] = &proposal.left[..] else { panic!("{line}: {:?}", proposal.left) };
        assert!(left.line == 2 && left.reason.contains(reason), "{line}: {left:?}");
        let yaml = proposal.yaml.as_deref().unwrap();
        assert!(yaml.contains("# Not taken over:\n#   line 2: "), "{yaml}");
        assert!(!yaml.contains("geheim"));
        config(&proposal);
    }
}

#[test]
fn variables_hold_for_the_lines_below_them() {
    let proposal = read(
        "0 1 * * * /x/before\nPATH=/opt/bin:/usr/bin\n GREETING = \"good day\"\nCRON_TZ=UTC\n0 2 * * * after --all\n\
         SHELL=/bin/bash\n0 3 * * * [[ -f /a ]] && after\nGREETING=\nHOME=/srv/home\n0 4 * * * ./rel\n",
    );
    let config = config(&proposal);
    let run = |name: &str| {
        let app = config
            .apps
            .iter()
            .find(|app| app.name.as_str() == name)
            .unwrap_or_else(|| panic!("{name}: {:?}", proposal));
        let words = app.program().unwrap().command(&crate::config::Placeholders::default());
        let zone = app.schedule.as_ref().unwrap().timezone().iana_name().unwrap().to_owned();
        (words.into_iter().map(|word| word.into_string().unwrap()).collect::<Vec<_>>(), zone)
    };
    assert_eq!(run("before"), (vec!["/x/before".into()], "Europe/Berlin".into()));
    let (words, zone) = run("after");
    assert_eq!(words, ["env", "PATH=/opt/bin:/usr/bin", "GREETING=good day", "after", "--all"]);
    assert_eq!(zone, "UTC");
    let (words, _) = run("after-2");
    assert_eq!(words[..3], ["env", "PATH=/opt/bin:/usr/bin", "GREETING=good day"]);
    assert_eq!(words[3..], ["/bin/bash", "-c", "[[ -f /a ]] && after"]);
    let (words, _) = run("rel");
    assert_eq!(
        words[1..],
        ["PATH=/opt/bin:/usr/bin", "GREETING=", "HOME=/srv/home", "/bin/bash", "-c", "cd || exit\n./rel"]
    );
}

#[test]
fn comments_above_a_job_describe_it_and_others_are_kept() {
    let template =
        "# Edit this file to introduce tasks to be run by cron.\n#\n# m h  dom mon dow   command\n";
    let proposal = read(&format!(
        "{template}\n# the whole company\n\n# Orders for {{input}} and ${{HOME}}:\n# every morning\n0 6 * * * /x/orders\n0 7 * * * /x/b # quick"
    ));
    let config = config(&proposal);
    let said: Vec<_> = config.apps.iter().map(|app| app.description.clone().unwrap()).collect();
    assert_eq!(said, ["Orders for {input} and ${HOME}: every morning", "quick"]);
    let yaml = proposal.yaml.unwrap();
    assert!(yaml.contains("#   the whole company\n"), "{yaml}");
    assert!(!yaml.contains("Edit this file"), "{yaml}");
    for head in [
        "# m h dom mon dow command\n",
        "# DO NOT EDIT THIS FILE - edit the master\n# (/tmp/x installed on Monday)\n",
        template,
    ] {
        let proposal = read(&format!("{head}# my own\n0 6 * * * /x/orders"));
        assert!(proposal.yaml.unwrap().contains("description: my own\n"), "{head}");
    }
}

#[test]
fn a_system_crontab_is_known_by_its_users() {
    let text =
        "SHELL=/bin/sh\n17 * * * * root cd / && run-parts /etc/cron.hourly\n0 1 * * * www-data ./x.php\n";
    let proposal = read(text);
    assert!(proposal.system);
    assert!(
        proposal.apps.iter().all(|app| app.notes[0].starts_with("cron ran it as ")),
        "{:?}",
        proposal.apps
    );
    assert!(proposal.yaml.unwrap().contains("cd ~www-data || exit"));
    assert!(!read("0 1 * * * rooter x\n").system && !read("0 1 * * * root\n").system);
    assert!(!read("0 1 * * * root a\n0 2 * * * /x/b c\n").system);
    assert!(!read_as(text, Some(false)).system && read_as("0 1 * * * joe x\n", Some(true)).system);
}

#[test]
fn names_are_unique_and_tell_jobs_apart() {
    let proposal = read(
        "0 1 * * * python manage.py clearsessions\n0 2 * * * python manage.py send_mail\n0 3 * * * /x/sync orders\n\
         0 4 * * * /x/sync stock\n0 5 * * * /x/sync stock\n0 6 * * * /x/sync\n",
    );
    let names: Vec<_> = proposal.apps.iter().map(|app| app.name.as_str()).collect();
    assert_eq!(names, ["manage-clearsessions", "manage-send-mail", "sync", "sync-stock", "sync-2", "sync-3"]);
}

#[test]
fn a_folder_that_two_jobs_share_is_said_and_not_linked() {
    let proposal = read(
        "0 1 * * * /x/export > /srv/out/orders_$(date +\\%F).csv\n0 2 * * * /x/upload /srv/out/*.csv\n0 3 * * * /x/other /srv/elsewhere\n",
    );
    assert!(config(&proposal).flows.is_empty());
    let yaml = proposal.yaml.unwrap();
    assert!(yaml.contains("export (line 1) writes into /srv/out, and upload (line 2) reads there"), "{yaml}");
    assert!(yaml.contains("flows: { export: export -> upload }") && !yaml.contains("other ("), "{yaml}");
}

#[test]
fn what_was_guessed_is_said_at_the_app() {
    let table = [
        (
            "pg_dump x | gzip > /b/x-$(date +\\%F).sql.gz",
            &["only the last program's exit code", "it wrote `/b/x-"][..],
        ),
        ("/x/a >> /srv/all.csv", &["grows with each run"]),
        ("/x/a > /srv/www/a.html", &["is written anew each time"]),
        ("/x/a 2> /dev/null > /dev/null", &["is now kept with each delivery"]),
        ("/x/a", &["cron mailed what it prints;"]),
        ("/x/a | mail -s hello ops", &[]),
        ("/x/a >> /var/log/a.log", &[]),
        ("/x/a > /dev/null", &[]),
    ];
    for (command, says) in table {
        let proposal = read(&format!("0 1 * * * {command}"));
        let notes = &proposal.apps[0].notes;
        assert_eq!(notes.len(), says.len(), "{command}: {notes:?}");
        assert!(says.iter().zip(notes).all(|(says, note)| note.contains(says)), "{command}: {notes:?}");
    }
    let quiet = read("MAILTO=\"\"\n0 1 * * * /x/a");
    assert!(quiet.apps[0].notes[0].contains("was thrown away, and still is") && quiet.notes.is_empty());
}

#[test]
fn a_program_gets_as_long_as_until_its_next_run_within_bounds() {
    for (schedule, hours) in [("*/5 * * * *", 1), ("0 */6 * * *", 6), ("0 6 * * *", 24), ("@yearly", 24)] {
        assert_eq!(timeout(schedule), Duration::from_secs(hours * 3_600), "{schedule}");
    }
}

#[test]
fn an_empty_crontab_proposes_nothing() {
    for text in ["", "\n\n", "# nothing\n", "MAILTO=me\n"] {
        let proposal = read(text);
        assert!(proposal.yaml.is_none() && proposal.apps.is_empty(), "{text}");
    }
}

#[test]
fn hostile_lines_stay_values_or_comments() {
    let lines = [
        "0 1 * * * echo \"a: b\" '#no' \\\"",
        "0 1 * * * printf 'x\\ty: [1, {a: b}]'",
        "0 1 * * * echo \u{1b}[31mred \u{202e}evil",
        "# apps:\u{1b}[2J\n0 1 * * * /x/y",
        "# \"quoted\": ${SECRET} & *anchor !tag |\n0 1 * * * /x/y",
        "0 1 * * * - - -: -",
        "0 1 * * * 'yes'",
        "0 1 * * * null",
        "0 1 * * * ''",
        "A='\n0 1 * * * x",
        "A=b\u{85}c\n0 1 * * * x",
    ];
    for line in lines {
        let proposal = read(line);
        assert!(proposal.apps.len() + proposal.left.len() >= 1, "{line:?}");
        if let Some(yaml) = &proposal.yaml {
            config(&proposal);
            assert!(!yaml.chars().any(|c| c != '\n' && c.is_control() || c == '\u{202e}'), "{yaml}");
        }
    }
    let mut bytes = b"0 1 * * * /x/\xff\n0 2 * * * /x/fine\n0 3 * * * /x/\0\n".to_vec();
    bytes.extend(format!("0 4 * * * echo {}\n", "a".repeat(100_000)).bytes());
    let reading = Reading { system: None, timezone: "UTC", knows_user: &|_| false };
    let proposal = propose(&bytes, &reading).unwrap();
    assert_eq!((proposal.apps.len(), proposal.left.len()), (2, 2), "{:?}", proposal.left);
    assert!(propose("* * * * * x\n".repeat(1_002).as_bytes(), &reading).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever stands in a crontab, each line is taken over or said, and what is proposed is a configuration.
    #[test]
    fn any_text_becomes_a_configuration_or_nothing(
        lines in prop::collection::vec(
            prop_oneof![
                "[ -~]{0,60}",
                "\\PC{0,30}",
                "[0-9*] [0-9*] \\* \\* [0-7*] [-a-z/.$(){}'\"|&;<>%\\\\`# ~=*]{0,40}",
                "# ?[ -~]{0,40}",
                "[A-Z]{1,6} ?= ?[ -~]{0,20}",
            ],
            0..12,
        )
    ) {
        let proposal = read(&lines.join("\n"));
        if proposal.yaml.is_some() {
            config(&proposal);
        }
        for (i, line) in lines.iter().enumerate() {
            if let Line::Job(_) | Line::Wrong(_) = lines::read(line.strip_suffix('\r').unwrap_or(line), proposal.system) {
                let number = i + 1;
                let there = proposal.apps.iter().any(|app| app.line == number)
                    || proposal.left.iter().any(|left| left.line == number);
                prop_assert!(there, "{number}: {line:?}");
            }
        }
    }
}
