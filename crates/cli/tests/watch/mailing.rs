//! Told by mail: over STARTTLS and over TLS from the first byte on, and never to whom nobody vouches for, nor in the clear where that
//! must not be.

use crate::{BOUND, Row, project, row, run};
use handover_testkit::process::wait_for;
use handover_testkit::{Authority, Mail, MailServer, MailServing, Project};

/// ops and p@ss, as AUTH PLAIN has them.
const LOGIN: &str = "AUTH PLAIN AG9wcwBwQHNz";

/// A project that tells of what failed by mail to this address, with `tls` as it is written; its authority's certificate is `ca.pem`.
fn mailing(address: &str, tls: &str, authority: &Authority) -> Project {
    let project = project(&format!("notify: [ {} ]", target(address, tls)));
    project.write("ca.pem", &authority.pem);
    project.arrive("in/a.csv", "a\nbad\n");
    project
}

fn target(address: &str, tls: &str) -> String {
    format!(
        "{{ smtp: \"{address}\", from: h@example.com, to: ops@example.com, on: [failed], group: 0s{tls} }}"
    )
}

/// One run of it; what `health` then says of notices.
fn tells(project: &Project) -> Row {
    assert_eq!(run(project, &["run", "--once"]).0, 1);
    row(project, "notices")
}

fn header<'a>(mail: &'a Mail, name: &str) -> &'a str {
    let value = mail.lines.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    value.unwrap_or_else(|| panic!("no {name}: {mail:?}"))
}

/// What was said in the clear.
fn in_the_clear(server: &MailServer) -> Vec<String> {
    server.heard().into_iter().filter(|(encrypted, _)| !encrypted).map(|(_, line)| line).collect()
}

#[test]
fn a_notice_goes_by_starttls_and_by_smtps_to_a_server_of_an_own_authority() {
    let authority = Authority::new();
    for (scheme, before, serving) in [
        (
            "smtp",
            vec!["EHLO handover.localdomain", "STARTTLS"],
            MailServing::default().starttls(&authority, "localhost"),
        ),
        ("smtps", vec![], MailServing::default().smtps(&authority, "localhost")),
    ] {
        let server = serving.start();
        let address = format!("{scheme}://ops:p%40ss@localhost:{}", server.address().port());
        let project = mailing(&address, ", tls: { ca: ca.pem }", &authority);
        let seen = tells(&project);
        assert_eq!((seen.verdict.as_str(), seen.text.as_str()), ("pass", "every notice was delivered"));
        let mails = server.mails();
        let [mail] = &mails[..] else { panic!("{mails:?}") };
        assert_eq!((mail.encrypted, mail.login.as_str()), (true, LOGIN), "{scheme}");
        assert_eq!(
            (mail.from.as_str(), &mail.to[..]),
            ("h@example.com", &["ops@example.com".to_owned()][..])
        );
        assert!(header(mail, "Message-ID").ends_with("@example.com>"), "{mail:?}");
        assert_eq!(in_the_clear(&server), before, "{scheme}");
    }
}

#[test]
fn a_server_whose_certificate_is_not_trusted_is_told_nothing_and_health_says_why() {
    let (authority, other) = (Authority::new(), Authority::new());
    let own = ", tls: { ca: ca.pem }";
    for (name, tls, why) in [
        // Nobody vouches for it; another does; it is another's certificate.
        ("localhost", "", "UnknownIssuer"),
        ("localhost", ", tls: { ca: other.pem }", "BadSignature"),
        ("mail.example.com", own, "not valid for name \"localhost\""),
    ] {
        for (scheme, serving) in [
            ("smtp", MailServing::default().starttls(&authority, name)),
            ("smtps", MailServing::default().smtps(&authority, name)),
        ] {
            let server = serving.start();
            let address = format!("{scheme}://ops:p%40ss@localhost:{}", server.address().port());
            let project = mailing(&address, tls, &authority);
            project.write("other.pem", &other.pem);
            let seen = tells(&project);
            assert_eq!((seen.code, seen.verdict.as_str()), (1, "warn"));
            for part in ["its certificate is not trusted", why, "tls: { ca: FILE }", "localhost"] {
                assert!(seen.text.contains(part), "{part}: {}", seen.text);
            }
            assert!(server.mails().is_empty());
            let heard = server.heard();
            assert!(
                heard.iter().all(|(_, line)| line.starts_with("EHLO") || line == "STARTTLS"),
                "{heard:?}"
            );
        }
    }
    // The name that its certificate has can be named.
    let server = MailServing::default().smtps(&authority, "mail.example.com").start();
    let named = ", tls: { ca: ca.pem, server_name: mail.example.com }";
    let project = mailing(&format!("smtps://localhost:{}", server.address().port()), named, &authority);
    assert_eq!(tells(&project).verdict, "pass");
    assert_eq!(server.mails().len(), 1);
}

#[test]
fn where_tls_is_a_must_a_server_that_offers_none_hears_nothing() {
    let authority = Authority::new();
    // It is asked for; a password goes to another machine (0.0.0.0 is this one by another name).
    for (login, host, tls, why) in [
        ("", "127.0.0.1", ", tls: {}", "`tls` asks for it"),
        ("ops:p%40ss@", "127.0.0.1", ", tls: { ca: ca.pem }", "`tls` asks for it"),
        ("ops:p%40ss@", "0.0.0.0", "", "the password is not sent without it"),
    ] {
        let server = MailServer::start();
        let address = format!("smtp://{login}{host}:{}", server.address().port());
        let project = mailing(&address, tls, &authority);
        let seen = tells(&project);
        assert_eq!((seen.code, seen.verdict.as_str()), (1, "warn"));
        for part in ["offers no TLS (STARTTLS)", why, "use smtps://"] {
            assert!(seen.text.contains(part), "{part}: {}", seen.text);
        }
        assert!(server.mails().is_empty());
        assert_eq!(in_the_clear(&server), ["EHLO handover.localdomain"]);
    }
    // A server that speaks no TLS where it is to begin with it.
    let server = MailServer::start();
    let address = format!("smtps://ops:p%40ss@127.0.0.1:{}", server.address().port());
    let seen = tells(&mailing(&address, "", &authority));
    assert!(seen.verdict == "warn" && seen.text.contains("(TLS)"), "{}", seen.text);
    assert!(server.mails().is_empty() && server.heard().is_empty());
    // What is said behind the agreement on TLS, and before it, is whoever's: it is not believed.
    let speaks_ahead = MailServing::default().starttls(&authority, "localhost");
    let server = speaks_ahead.says("STARTTLS", "220 go on\r\n250-x\r\n250 AUTH PLAIN\r\n").start();
    let address = format!("smtp://ops:p%40ss@localhost:{}", server.address().port());
    let seen = tells(&mailing(&address, ", tls: { ca: ca.pem }", &authority));
    assert!(seen.text.contains("said more than it was asked before TLS"), "{}", seen.text);
    assert_eq!(in_the_clear(&server), ["EHLO handover.localdomain", "STARTTLS"]);
}

#[test]
fn it_logs_in_as_the_server_can_and_a_refusal_shows_no_password() {
    let authority = Authority::new();
    // MailServing offers its ways of AUTH after TLS alone.
    let one =
        MailServing::default().smtps(&authority, "localhost").says("EHLO", "250-test\r\n250 AUTH LOGIN\r\n");
    let server = one.start();
    let address = format!("smtps://ops:p%40ss@localhost:{}", server.address().port());
    assert_eq!(tells(&mailing(&address, ", tls: { ca: ca.pem }", &authority)).verdict, "pass");
    assert_eq!(server.mails()[0].login, "AUTH LOGIN b3Bz cEBzcw==");
    let repeats = "535 no user has p@ss (AUTH PLAIN AG9wcwBwQHNz, cEBzcw==)\r\n";
    let server = MailServing::default().says("AUTH", repeats).start();
    let project = mailing(&format!("smtp://ops:p%40ss@{}", server.address()), "", &authority);
    let mut running = project.start(&["run", "--once"]);
    running.end_within(BOUND);
    let seen = row(&project, "notices");
    assert!(seen.text.contains("answered AUTH with 535: no user has"), "{}", seen.text);
    for secret in ["p@ss", "p%40ss", "AG9wcwBwQHNz", "cEBzcw"] {
        let said = format!("{}{}", seen.text, running.stderr());
        assert!(!said.contains(secret), "{said}");
    }
    assert!(server.mails().is_empty());
}

#[test]
fn a_server_that_cuts_the_connection_is_told_again_by_the_same_number() {
    let authority = Authority::new();
    let words = ["CONNECT", "EHLO", "STARTTLS", "TLS", "AUTH", "MAIL", "RCPT", "DATA", "."];
    let servers =
        words.map(|word| MailServing::default().starttls(&authority, "localhost").cuts_at(word, 1).start());
    let targets: Vec<String> = servers
        .iter()
        .map(|server| {
            let address = format!("smtp://ops:p%40ss@localhost:{}", server.address().port());
            target(&address, ", tls: { ca: ca.pem }")
        })
        .collect();
    let project = project(&format!("health: {{ every: 200ms }}\nnotify: [ {} ]", targets.join(", ")));
    project.write("ca.pem", &authority.pem);
    project.arrive("in/a.csv", "a\nbad\n");
    let running = project.start(&["run"]);
    for (word, server) in words.iter().zip(&servers) {
        let mails = wait_for(BOUND, word, || {
            Some(server.mails()).filter(|mails| server.conversations() > 1 && !mails.is_empty())
        });
        let numbers: Vec<&str> = mails.iter().map(|mail| header(mail, "Message-ID")).collect();
        // It was taken, and nobody heard so: it comes again, as the same.
        let expected = if *word == "." { 2 } else { 1 };
        assert!(
            numbers.len() <= expected && numbers.iter().all(|number| *number == numbers[0]),
            "{word}: {numbers:?}"
        );
    }
    let said = running.stderr();
    assert!(!said.contains("docs.rs"), "{said}");
    for part in ["broke off at EHLO", "broke off at the message", "tried again in 10s", "broke off at TLS"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    wait_for(BOUND, "every notice was delivered", || {
        (row(&project, "notices").verdict == "pass").then_some(())
    });
}
