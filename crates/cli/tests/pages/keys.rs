//! The page of keys: made and revoked by who may.

use crate::kit::{LONG, Site};
use crate::visits::{browse, form, log_in, visit, with_session};
use handover_testkit::process::wait_for;

const APPS: &str = "apps: { up: { run: 'tr a-z A-Z' } }";

#[test]
fn a_key_is_made_shown_once_used_and_revoked() {
    let site = Site::new(APPS, "");
    let admin = site.key(&["--scope", "admin"]);
    let server = site.serve();
    let cookie = log_in(&server, &admin);
    let make = form("/keys", "name=n%C3%BC+%3Cb%3E&scope=read&scope=submit&app=up&expires=30d");
    let answer = visit(&server, &with_session(make, &cookie));
    assert_eq!(answer.status, 200, "{answer:?}");
    let text = answer.text();
    assert!(text.contains("nü &lt;b&gt;"), "{text}");
    let at = text.find("ho_").unwrap();
    let key: String = text[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    assert_eq!(server.client(&key).get("/api/v1/apps").status, 200);
    let page = visit(&server, &with_session(browse("GET", "/keys"), &cookie)).text();
    assert!(!page.contains(&key), "it is shown once");
    let id = key.split('_').nth(1).unwrap();
    let revoke = form(&format!("/keys/{id}/revoke"), "");
    assert_eq!(visit(&server, &with_session(revoke, &cookie)).status, 200);
    let client = server.client(&key);
    wait_for(LONG, "the end of the key", || (client.get("/api/v1/apps").status == 401).then_some(()));
    let unknown = visit(&server, &with_session(form("/keys/nobody/revoke", ""), &cookie));
    assert_eq!(unknown.status, 404);
    let log = server.stop();
    assert!(!log.contains(&key));
}

#[test]
fn who_may_not_do_everything_makes_no_keys() {
    let site = Site::new(APPS, "");
    let keys = [
        site.key(&["--scope", "read"]),
        site.key(&["--scope", "operate"]),
        site.key(&["--scope", "admin", "--app", "up"]),
    ];
    let server = site.serve();
    for key in &keys {
        let cookie = log_in(&server, key);
        for ask in [
            browse("GET", "/keys"),
            form("/keys", "name=x&scope=admin"),
            form(&format!("/keys/{}/revoke", keys[0].split('_').nth(1).unwrap()), ""),
        ] {
            let answer = visit(&server, &with_session(ask.clone(), &cookie));
            assert_eq!(answer.status, 403, "{} {}", ask.method, ask.target);
        }
    }
    assert_eq!(site.command(&["keys", "list", "--json"]).matches("\"id\"").count(), 3);
}

#[test]
fn a_form_that_will_not_do_is_told_what_is_wrong() {
    let site = Site::new(APPS, "");
    let admin = site.key(&["--scope", "admin"]);
    let server = site.serve();
    let cookie = log_in(&server, &admin);
    for (fields, said) in [
        ("scope=read", "no name"),
        ("name=x", "may do nothing"),
        ("name=x&scope=all", "not a scope"),
        ("name=x&scope=read&app=upp", "did you mean"),
        ("name=x&scope=read&expires=soon", "soon"),
    ] {
        let answer = visit(&server, &with_session(form("/keys", fields), &cookie));
        assert!(answer.text().contains(said), "{fields}: {}", answer.text());
        assert!(!answer.text().contains("The new key"));
    }
}
