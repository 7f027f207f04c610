use super::head::{self, Other};
use bytes::BytesMut;
use http::request::Parts;
use http::{HeaderMap, Response, StatusCode};

const PATH: &str = "/api/v1/services/billing/a?b=c";

fn read(text: &str) -> (Result<Option<Parts>, Other>, String) {
    let mut bytes = BytesMut::from(text);
    let read = head::read(&mut bytes, &mut Vec::new());
    (read, String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether it is one that is served here; what is not is left as it was.
fn is_plain(text: &str) -> bool {
    match read(text) {
        (Ok(Some(_)), _) => true,
        (Ok(None) | Err(Other), left) => {
            assert_eq!(left, text);
            false
        }
    }
}

#[test]
fn a_plain_request_is_taken_and_what_is_behind_it_stays() {
    let text = format!("GET {PATH} HTTP/1.1\r\nHost: localhost\r\nX-Two: 1\r\nx-two:\t2 \r\n\r\nGET /");
    let (read, left) = read(&text);
    let Ok(Some(parts)) = read else { panic!("it is plain") };
    assert_eq!((parts.method.as_str(), parts.uri.to_string().as_str()), ("GET", PATH));
    assert_eq!(parts.headers["host"], "localhost");
    assert_eq!(parts.headers.get_all("x-two").iter().collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(left, "GET /");
}

#[test]
fn whatever_says_more_than_that_is_left_to_the_library() {
    let get = |lines: &str| format!("GET {PATH} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n");
    assert!(is_plain(&get("")) && is_plain(&get("X: y\r\nConnection: Keep-Alive\r\n")));
    assert!(is_plain(&get("connection: close\r\n")));
    assert!(is_plain(&format!("HEAD {PATH} HTTP/1.1\r\n\r\n")));
    for lines in [
        "Content-Length: 0\r\n",
        "content-length: 5\r\n",
        "TRANSFER-ENCODING: chunked\r\n",
        "Connection: close, x\r\n",
        "Connection: keep-alive, x\r\n",
        "Connection: upgrade\r\nUpgrade: websocket\r\n",
        "Upgrade: h2c\r\n",
        "Expect: 100-continue\r\n",
        "TE: trailers\r\n",
        "Trailer: x\r\n",
        "Keep-Alive: timeout=5\r\n",
        "HTTP2-Settings: x\r\n",
        "Proxy-Connection: keep-alive\r\n",
        "Proxy-Authorization: x\r\n",
        // And what is no HTTP.
        "X : y\r\n",
        "X: y\r\n z\r\n",
        "X: y\rZ: w\r\n",
        "X: \0\r\n",
        "X\r\n",
    ] {
        assert!(!is_plain(&get(lines)), "{lines:?}");
    }
    for line in [
        format!("POST {PATH} HTTP/1.1"),
        format!("OPTIONS {PATH} HTTP/1.1"),
        format!("get {PATH} HTTP/1.1"),
        format!("GET {PATH} HTTP/1.0"),
        format!("GET http://localhost{PATH} HTTP/1.1"),
        format!("GET {PATH}<\x7f HTTP/1.1"),
        "GET /api/v1/jobs HTTP/1.1".to_owned(),
        "GET /api/v1/services/ HTTP/1.1".to_owned() + "x",
        "GET * HTTP/1.1".to_owned(),
        "PRI * HTTP/2.0".to_owned(),
    ] {
        assert!(!is_plain(&format!("{line}\r\nHost: localhost\r\n\r\n")), "{line:?}");
    }
    let many = (0..60).map(|n| format!("X-{n}: y\r\n")).collect::<String>();
    assert!(!is_plain(&get(&many)) && !is_plain(&get(&format!("X: {}\r\n", "y".repeat(head::MAX_BYTES)))));
}

#[test]
fn a_head_that_is_not_whole_is_waited_for_up_to_a_bound() {
    let text = format!("GET {PATH} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    for length in 0..text.len() {
        assert!(matches!(read(&text[..length]), (Ok(None), left) if left == text[..length]), "{length}");
    }
    let long = format!("GET {PATH} HTTP/1.1\r\nX: {}", "y".repeat(head::MAX_BYTES));
    assert!(matches!(read(&long), (Err(Other), left) if left == long));
}

fn written(
    status: u16,
    headers: &[(&'static str, &'static str)],
    length: Option<u64>,
    is_head: bool,
    ends: bool,
) -> (String, HeaderMap) {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in headers {
        response.headers_mut().append(*name, value.parse().unwrap());
    }
    let mut out = Vec::new();
    head::write(&mut out, &response.into_parts().0, length, is_head, ends);
    let text = String::from_utf8(out).unwrap();
    let (first, rest) = text.strip_suffix("\r\n\r\n").unwrap().split_once("\r\n").unwrap();
    let mut all = HeaderMap::new();
    for line in rest.split("\r\n") {
        let (name, value) = line.split_once(": ").unwrap();
        all.append(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    (first.to_owned(), all)
}

#[test]
fn an_answer_says_one_length_and_the_date_and_whether_it_is_the_last() {
    let lying = [("content-length", "7"), ("set-cookie", "a"), ("set-cookie", "b"), ("connection", "x")];
    let (first, all) = written(200, &lying, Some(1024), false, false);
    assert_eq!(first, "HTTP/1.1 200 OK");
    assert_eq!(all.get_all("content-length").iter().collect::<Vec<_>>(), ["1024"]);
    assert_eq!(all.get_all("set-cookie").iter().count(), 2);
    assert!(all["date"].to_str().unwrap().ends_with(" GMT") && !all.contains_key("connection"));

    let (_, all) = written(200, &[("content-length", "7"), ("date", "then")], None, false, true);
    assert_eq!(
        (&all["transfer-encoding"], &all["date"]),
        (&"chunked".parse().unwrap(), &"then".parse().unwrap())
    );
    assert!(!all.contains_key("content-length") && all["connection"] == "close");

    // Where there is no body, a length is what it would have been, or none.
    for (status, is_head, says) in [(200, true, Some("7")), (304, false, Some("7")), (204, false, None)] {
        let (_, all) = written(status, &[("content-length", "7")], Some(0), is_head, false);
        assert_eq!(all.get("content-length").map(|value| value.to_str().unwrap()), says, "{status}");
        assert!(!all.contains_key("transfer-encoding"));
    }
    let (first, all) = written(299, &[], Some(0), false, false);
    assert_eq!((first.as_str(), &all["content-length"]), ("HTTP/1.1 299 ", &"0".parse().unwrap()));
    // Two lengths are none, and what HEAD does not get has a length all the same.
    for lies in [&[("content-length", "7"), ("content-length", "8")][..], &[("content-length", "+7")]] {
        for (status, length, says) in [(200, Some(0), None), (200, Some(9), Some("9")), (304, Some(0), None)]
        {
            let (_, all) = written(status, lies, length, status == 200, false);
            assert_eq!(all.get("content-length").map(|value| value.to_str().unwrap()), says, "{status}");
        }
    }
    let upgrade = [("connection", "upgrade"), ("upgrade", "x")];
    for (ends, says) in [(false, "upgrade"), (true, "upgrade, close")] {
        let (_, all) = written(426, &upgrade, Some(0), false, ends);
        assert_eq!((&all["connection"], &all["upgrade"]), (&says.parse().unwrap(), &"x".parse().unwrap()));
    }
}
