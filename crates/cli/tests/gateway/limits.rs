//! Who may, and how much.

use crate::http::Ask;
use crate::kit::Site;
use crate::proxying::{AT, ask};
use crate::upstream::Upstream;

#[test]
fn keys_may_what_their_scopes_and_apps_say() {
    let upstream = Upstream::fine();
    let site = Site::new(&upstream.declared(), "");
    let submit = site.key(&["--scope", "submit"]);
    let read = site.key(&["--scope", "read"]);
    let operate = site.key(&["--scope", "operate"]);
    let other = site.key(&["--scope", "admin", "--app", "up"]);
    let server = site.serve();
    for (key, method, status) in [
        (Some(&submit), "GET", 200),
        (Some(&submit), "POST", 200),
        (Some(&submit), "DELETE", 200),
        (Some(&read), "GET", 200),
        (Some(&read), "HEAD", 200),
        (Some(&read), "POST", 403),
        (Some(&read), "OPTIONS", 403),
        (Some(&operate), "GET", 200),
        (Some(&operate), "PUT", 403),
        (Some(&other), "GET", 403),
        (None, "GET", 401),
    ] {
        let before = upstream.got().len();
        let request = Ask::new(method, format!("{AT}/x"));
        let request = match key {
            Some(key) => request.header("X-API-Key", key),
            None => request,
        };
        let answer = ask(&server, &request);
        assert_eq!(answer.status, status, "{key:?} {method}: {answer:?}");
        assert_eq!(upstream.got().len() - before, usize::from(status == 200), "{key:?} {method}");
        if status == 401 {
            assert!(answer.header("www-authenticate").is_some());
        }
    }
}

#[test]
fn what_is_no_service_is_not_found_and_the_nearest_is_named() {
    let upstream = Upstream::fine();
    let site = Site::new(&upstream.declared(), "auth: none");
    let server = site.serve();
    for (path, says) in [
        ("/api/v1/services/biling/x", "billing"),
        ("/api/v1/services/up/x", "no service app"),
        ("/api/v1/services/%62illing", "there is no app"),
        ("/api/v1/services/", "there is no app"),
        ("/api/v1/services", "nothing under this path"),
        ("/api/v3/services/billing/", "there is no version v3"),
    ] {
        let answer = ask(&server, &Ask::get(path));
        assert_eq!((answer.status, answer.code()), (404, "NOT_FOUND".into()), "{path}");
        assert!(answer.text().contains(says), "{path}: {}", answer.text());
    }
    let problem = ask(&server, &Ask::get("/api/v2/services/biling"));
    assert_eq!((problem.status, problem.media_type()), (404, "application/problem+json"));
    assert_eq!(problem.json()["instance"], "/api/v2/services/biling");
    assert!(upstream.got().is_empty());
}

#[test]
fn callers_have_rates_for_all_for_services_and_for_one() {
    let upstream = Upstream::fine();
    let declared =
        upstream.declared().replace("apps: {", "apps: { other: { url: 'http://127.0.0.1:1', retries: 0 },");
    for (limits, free, name) in [
        ("address: 1000/s, default: 3/h", 3, "default"),
        ("address: 1000/s, default: 1000/s, apps: { billing: 3/h }", 3, "app"),
        ("address: 1000/s, default: 1000/s, routes: { 'ANY /services/{app}': 3/h }", 3, "route"),
        ("address: 5/h, default: 1000/s", 4, "address"),
    ] {
        let site = Site::new(&declared, &format!("auth: none, limits: {{ {limits} }}"));
        let server = site.serve();
        for n in 0..free {
            let answer = ask(&server, &Ask::get(AT));
            assert_eq!(answer.status, 200, "{name} {n}: {answer:?}");
            if name != "address" {
                assert!(answer.header("ratelimit").is_some(), "{name}");
            }
        }
        let answer = ask(&server, &Ask::get(AT));
        assert_eq!((answer.status, answer.code()), (429, "RATE_LIMITED".into()), "{name}");
        assert!(answer.header("retry-after").is_some() && answer.text().contains(name), "{name}: {answer:?}");
    }
}

#[test]
fn a_version_that_goes_says_so() {
    let upstream = Upstream::fine();
    let said =
        "auth: none, versions: { v1: { deprecated: 2027-01-01T00:00:00Z, sunset: 2028-01-01T00:00:00Z } }";
    let site = Site::new(&upstream.declared(), said);
    let server = site.serve();
    let answer = ask(&server, &Ask::get(AT));
    assert_eq!(answer.header("deprecation"), Some("@1798761600"));
    assert_eq!(answer.header("sunset"), Some("Sat, 01 Jan 2028 00:00:00 GMT"));
    assert_eq!(ask(&server, &Ask::get("/api/v2/services/billing/")).header("deprecation"), None);
}
