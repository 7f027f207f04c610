//! How these tests visit pages.

use crate::http::{Answer, Ask, read_answer};
use crate::kit::Server;

/// An ask as a browser makes it.
pub(crate) fn browse(method: &str, path: &str) -> Ask {
    Ask::new(method, path).header("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
}

/// A form that one of our own pages sends.
pub(crate) fn form(path: &str, fields: &str) -> Ask {
    browse("POST", path)
        .header("Sec-Fetch-Site", "same-origin")
        .body("application/x-www-form-urlencoded", fields)
}

#[track_caller]
pub(crate) fn visit(server: &Server, ask: &Ask) -> Answer {
    read_answer(ask.send(server.address), &ask.method).unwrap()
}

/// Logs in; gives the cookie's value.
#[track_caller]
pub(crate) fn log_in(server: &Server, key: &str) -> String {
    let answer = visit(server, &form("/login", &format!("key={key}")));
    assert_eq!((answer.status, answer.header("location")), (303, Some("/")), "{answer:?}");
    let cookie = answer.header("set-cookie").unwrap();
    let (value, rest) = cookie.strip_prefix("handover_session=").unwrap().split_once(';').unwrap();
    assert_eq!(rest, " Path=/; Max-Age=43200; HttpOnly; SameSite=Strict");
    value.to_owned()
}

/// An ask with a session's cookie.
pub(crate) fn with_session(ask: Ask, value: &str) -> Ask {
    ask.header("Cookie", format!("other=1; handover_session={value}"))
}
