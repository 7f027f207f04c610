//! What keeps others out: the headers of every page, and forms of another site.

use crate::http::{Answer, Ask};
use crate::kit::{OPEN, Site};
use crate::visits::{browse, form, log_in, visit, with_session};

const APPS: &str = "apps: { up: { run: 'tr a-z A-Z' } }";

#[track_caller]
fn walled(answer: &Answer) {
    let policy = answer.header("content-security-policy").unwrap();
    for part in [
        "default-src 'none'",
        "script-src 'self';",
        "style-src 'self';",
        "frame-ancestors 'none'",
        "form-action 'self'",
        "base-uri 'none'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    let fixed = [
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
    ];
    for (name, value) in fixed {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    assert!(answer.header("x-request-id").is_some());
}

#[test]
fn every_page_keeps_others_out_and_has_nothing_inline() {
    let site = Site::new(APPS, OPEN);
    let server = site.serve();
    for (path, status) in
        [("/", 200), ("/checks", 200), ("/keys", 200), ("/nothing", 404), ("/checks/x", 404), ("/login", 303)]
    {
        let answer = visit(&server, &browse("GET", path));
        assert_eq!(answer.status, status, "{path}");
        walled(&answer);
        let text = answer.text();
        assert!(
            !text.contains("<style") && !text.contains(" style=") && !text.contains(" onclick"),
            "{path}"
        );
        assert!(
            text.matches("<script").count() == text.matches("<script src=\"/pages/assets/").count(),
            "{path}"
        );
        assert!(!text.contains("http://") || path == "/login", "nothing of another site: {path}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
    }
    let answer = visit(&server, &browse("POST", "/checks"));
    assert_eq!((answer.status, answer.media_type()), (405, "text/html"));
    walled(&answer);
}

#[test]
fn files_of_the_pages_are_kept_for_ever_under_names_of_their_content() {
    let site = Site::new(APPS, "");
    let server = site.serve();
    let login = visit(&server, &browse("GET", "/login")).text();
    let mut found = 0;
    for path in login.split('"').filter(|part| part.starts_with("/pages/assets/")) {
        let answer = visit(&server, &Ask::get(path));
        assert_eq!(answer.status, 200, "{path}: without a key");
        assert_eq!(answer.header("cache-control"), Some("public, max-age=31536000, immutable"));
        let again = visit(&server, &Ask::get(path).header("If-None-Match", answer.header("etag").unwrap()));
        assert_eq!((again.status, again.body.len()), (304, 0));
        found += 1;
    }
    assert_eq!(found, 3);
    assert_eq!(visit(&server, &Ask::get("/pages/assets/dashboard-0.css")).status, 404);
}

#[test]
fn forms_of_other_sites_do_nothing() {
    let site = Site::new(APPS, "");
    let key = site.key(&["--scope", "admin"]);
    let server = site.serve();
    let cookie = log_in(&server, &key);
    let post = |headers: &[(&str, &str)]| {
        let fields = "name=stolen&scope=admin";
        let ask = browse("POST", "/keys").body("application/x-www-form-urlencoded", fields);
        let ask = headers.iter().fold(ask, |ask, (name, value)| ask.header(name, *value));
        visit(&server, &with_session(ask, &cookie)).status
    };
    for headers in [
        &[][..],
        &[("Sec-Fetch-Site", "cross-site")],
        &[("Sec-Fetch-Site", "same-site")],
        &[("Sec-Fetch-Site", "none")],
        &[("Origin", "https://evil.example")],
        &[("Origin", "null")],
        &[("Origin", "http://localhost"), ("Sec-Fetch-Site", "cross-site")],
    ] {
        assert_eq!(post(headers), 403, "{headers:?}");
    }
    assert!(!site.command(&["keys", "list", "--json"]).contains("stolen"));
    assert_eq!(post(&[("Origin", "http://localhost")]), 200, "Host is localhost");
    assert!(site.command(&["keys", "list", "--json"]).contains("stolen"));
    // Nobody is logged in, or out, by another site.
    let login = browse("POST", "/login").header("Sec-Fetch-Site", "cross-site");
    let login = login.body("application/x-www-form-urlencoded", format!("key={key}"));
    let answer = visit(&server, &login);
    assert_eq!((answer.status, answer.header("set-cookie")), (403, None));
    let answer = visit(&server, &browse("POST", "/logout").header("Sec-Fetch-Site", "cross-site"));
    assert_eq!((answer.status, answer.header("set-cookie")), (403, None));
}

#[test]
fn what_is_no_form_is_refused() {
    let site = Site::new(APPS, OPEN);
    let server = site.serve();
    let json = browse("POST", "/keys").header("Sec-Fetch-Site", "same-origin").body("application/json", "{}");
    let answer = visit(&server, &json);
    assert_eq!((answer.status, answer.media_type()), (400, "text/html"));
    let large = form("/keys", &"a=b&".repeat(100_000));
    assert!([400, 413].contains(&visit(&server, &large).status));
    let nasty = form("/keys", "name=%3Cscript%3Ealert(1)%3C/script%3E%1b%5B31m&scope=nonsense");
    let text = visit(&server, &nasty).text();
    assert!(!text.contains("<script>alert") && !text.contains('\u{1b}'), "{text}");
}
