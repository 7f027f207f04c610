//! Sessions: what a cookie is worth, and how long.

use crate::http::Ask;
use crate::kit::{LONG, OPEN, Server, Site};
use crate::visits::{browse, form, log_in, visit, with_session};
use handover_testkit::process::wait_for;

const APPS: &str = "apps: { up: { run: 'tr a-z A-Z' } }";

#[track_caller]
fn status(server: &Server, cookie: &str) -> u16 {
    visit(server, &with_session(browse("GET", "/"), cookie)).status
}

#[test]
fn who_is_not_known_is_led_to_the_login_page_and_a_program_gets_an_error() {
    let site = Site::new(APPS, "");
    let server = site.serve();
    let answer = visit(&server, &browse("GET", "/checks"));
    assert_eq!((answer.status, answer.header("location")), (303, Some("/login?to=/checks")));
    let answer = visit(&server, &Ask::get("/checks"));
    assert_eq!((answer.status, answer.code()), (401, "UNAUTHORIZED".into()));
    assert_eq!(visit(&server, &browse("GET", "/login")).status, 200);
    // What is asked of the API is answered as ever, whoever asks.
    let answer = visit(&server, &browse("GET", "/api/v1/apps"));
    assert_eq!((answer.status, answer.media_type()), (401, "application/json"));
}

#[test]
fn a_session_goes_on_over_restarts_and_holds_no_key() {
    let site = Site::new(APPS, "");
    let key = site.key(&["--scope", "read"]);
    let server = site.serve();
    let cookie = log_in(&server, &key);
    let secret = key.rsplit('_').next().unwrap();
    assert!(!cookie.contains(secret) && !cookie.contains("ho_"), "{cookie}");
    assert_eq!(status(&server, &cookie), 200);
    let log = server.stop();
    assert!(!log.contains(secret) && !log.contains(&cookie), "neither the key nor the session is logged");
    let server = site.serve();
    assert_eq!(status(&server, &cookie), 200);
    // It is for pages, not for the API.
    let answer = visit(&server, &with_session(Ask::get("/api/v1/apps"), &cookie));
    assert_eq!(answer.status, 401);
    let answer = visit(&server, &with_session(Ask::get("/health"), &cookie));
    assert_eq!(answer.status, 401);
}

#[test]
fn a_forged_cookie_is_nobodys() {
    let site = Site::new(APPS, "");
    let (key, other) = (site.key(&["--scope", "read"]), site.key(&["--scope", "admin"]));
    let server = site.serve();
    let cookie = log_in(&server, &key);
    let id = |key: &str| key.split('_').nth(1).unwrap().to_owned();
    let parts: Vec<&str> = cookie.split('.').collect();
    let [of, ends, signature] = parts[..] else { panic!("{cookie}") };
    assert_eq!(of, id(&key));
    let later = ends.parse::<i64>().unwrap() + 1;
    for forged in [
        format!("{}.{ends}.{signature}", id(&other)),
        format!("{of}.{later}.{signature}"),
        format!("{of}.{ends}."),
        format!("{of}.{ends}.{}", "A".repeat(43)),
        String::new(),
        "x".repeat(4_000),
        key.clone(),
    ] {
        let answer = visit(&server, &with_session(browse("GET", "/"), &forged));
        assert_eq!(answer.status, 303, "{forged}");
        assert!(answer.header("location").unwrap().starts_with("/login"));
    }
    // One that another site of the domain put in front does not keep the right one from being found.
    let both = format!("handover_session=bad; handover_session={cookie}");
    assert_eq!(visit(&server, &browse("GET", "/").header("Cookie", both)).status, 200);
    // Of another project, under the same id.
    let elsewhere = Site::new(APPS, "");
    assert_eq!(status(&elsewhere.serve(), &cookie), 303);
}

#[test]
fn a_session_ends_with_its_key_and_by_logging_out() {
    let site = Site::new(APPS, "");
    let (revoked, expires) =
        (site.key(&["--scope", "read"]), site.key(&["--scope", "read", "--expires", "6s"]));
    let server = site.serve();
    let (one, two) = (log_in(&server, &revoked), log_in(&server, &expires));
    assert_eq!((status(&server, &one), status(&server, &two)), (200, 200));
    site.command(&["keys", "revoke", revoked.split('_').nth(1).unwrap()]);
    for cookie in [&one, &two] {
        wait_for(LONG, "the end of a session", || (status(&server, cookie) == 303).then_some(()));
    }
    let answer = visit(&server, &form("/login", &format!("key={revoked}")));
    assert_eq!(answer.status, 401);
    assert!(answer.text().contains("not valid") && !answer.text().contains(&revoked));
    let answer = visit(&server, &form("/logout", ""));
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.starts_with("handover_session=; Path=/; Max-Age=0;"), "{cookie}");
}

#[test]
fn a_key_sees_what_its_scopes_and_apps_say() {
    let site = Site::new("apps: { up: { run: 'tr a-z A-Z' }, down: { run: 'tr A-Z a-z' } }", "");
    let (submit, down) =
        (site.key(&["--scope", "submit"]), site.key(&["--scope", "operate", "--app", "down"]));
    let server = site.serve();
    let page =
        |key: &str, path: &str| visit(&server, &with_session(browse("GET", path), &log_in(&server, key)));
    let answer = page(&submit, "/");
    assert_eq!((answer.status, answer.media_type()), (403, "text/html"));
    let answer = page(&down, "/");
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains(">down<") && !answer.text().contains(">up<"), "{}", answer.text());
    assert_eq!(page(&down, "/checks").status, 403, "health is of all");
    // The same by a key in a header, as a proxy adds it.
    let bearer = |key: &str| browse("GET", "/").header("Authorization", format!("Bearer {key}"));
    assert_eq!(visit(&server, &bearer(&down)).status, 200);
    assert_eq!(visit(&server, &bearer(&submit)).status, 403);
}

#[test]
fn where_no_keys_are_asked_for_there_is_no_login() {
    let site = Site::new(APPS, OPEN);
    let server = site.serve();
    assert_eq!(visit(&server, &browse("GET", "/")).status, 200);
    let answer = visit(&server, &browse("GET", "/login?to=/checks"));
    assert_eq!((answer.status, answer.header("location")), (303, Some("/checks")));
    // A page of another origin, or of a name that was made to lead here, gets nothing and does nothing.
    let foreign = browse("GET", "/").header("Origin", "https://evil.example");
    assert_eq!(visit(&server, &foreign).status, 403);
    let here = browse("POST", "/keys")
        .header("Origin", "http://localhost:1")
        .body("application/x-www-form-urlencoded", "name=x&scope=admin");
    assert_eq!(visit(&server, &here).status, 403, "another port is another site");
    assert_eq!(site.command(&["keys", "list", "--json"]).trim(), "[]");
}

#[test]
fn the_rate_of_an_address_holds_for_the_login_too() {
    let site = Site::new(APPS, "limits: { default: 100/s, address: 5/h }");
    let server = site.serve();
    let wrong =
        || visit(&server, &form("/login", "key=ho_0123456789_0123456789abcdefghjkmnpqrstvwxyz")).status;
    let found: Vec<u16> = (0..8).map(|_| wrong()).collect();
    assert!(found.contains(&401) && found.last() == Some(&429), "{found:?}");
}

#[test]
fn over_tls_the_cookie_goes_over_tls_alone() {
    let site = Site::new(APPS, "");
    let key = site.key(&[]);
    let server = site.serve();
    // A proxy ends the encryption.
    let ask = form("/login", &format!("key={key}")).header("X-Forwarded-Proto", "https");
    let answer = visit(&server, &ask);
    assert!(answer.header("set-cookie").unwrap().ends_with("SameSite=Strict; Secure"), "{answer:?}");
}

#[test]
fn after_the_login_one_stays_on_this_site() {
    let site = Site::new(APPS, "");
    let key = site.key(&[]);
    let server = site.serve();
    for (to, led) in [
        ("/checks%3Fa%3D1", "/checks?a=1"),
        ("//evil.example", "/"),
        ("https://evil.example", "/"),
        ("/%0d%0aX:1", "/"),
    ] {
        let answer = visit(&server, &form("/login", &format!("key={key}&to={to}")));
        assert_eq!((answer.status, answer.header("location")), (303, Some(led)), "{to}");
    }
}
