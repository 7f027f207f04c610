//! Good answers that are not taken: those that do not say where they end, are encoded, or are too large.

use crate::kit::Site;
use handover_testkit::{Reply, files_below};
use serde_json::Value;

/// Bytes of which a service says nothing but what stands here, before it closes the connection.
fn raw(head: &str, body: &str) -> Reply {
    Reply::Raw(format!("{head}\r\n\r\n{body}").into_bytes())
}

/// A file was posted and answered so: the site, and the delivery.
fn answered(more: &str, reply: Reply) -> (Site, Value) {
    let site = Site::new(more, move |_| reply.clone());
    site.project.arrive("incoming/a.csv", "n\n1\n");
    site.once();
    let delivery = site.deliveries("bill")[0].clone();
    (site, delivery)
}

#[track_caller]
fn is_refused(more: &str, reply: Reply, said: &str) {
    let (site, delivery) = answered(more, reply);
    let text = delivery.to_string();
    assert!(text.contains("SERVICE_FAILED") && text.contains(said), "{text}");
    assert_eq!((&delivery["status"], site.server.asked().len()), (&"failed".into(), 1), "for good: {text}");
    assert!(site.exported().is_empty() && site.made().is_empty(), "nothing of it is seen");
    for folder in ["data/errors", "data/.handover/tmp"] {
        assert!(files_below(&site.project.join(folder)).is_empty(), "{folder}");
    }
}

#[track_caller]
fn is_taken(more: &str, reply: Reply, content: &str) {
    let (site, delivery) = answered(more, reply);
    assert_eq!(delivery["status"], "completed", "{delivery}");
    assert_eq!(site.exported()[0].1, content);
}

#[test]
fn an_answer_that_does_not_say_where_it_ends_is_refused() {
    let said = "does not say where it ends";
    is_refused("", raw("HTTP/1.1 200 OK", "n\n1"), said);
    is_refused("", raw("HTTP/1.0 200 OK\r\nContent-Type: text/csv", "n\n1"), said);
    is_refused("", raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip", "n\n1"), said);
    is_refused("", raw("HTTP/1.1 200 OK", ""), said);
    is_taken("", raw("HTTP/1.0 200 OK\r\nContent-Length: 4", "n\n1\n"), "n\n1\n");
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked";
    is_taken("", raw(chunked, "4\r\nn\n1\n\r\n0\r\n\r\n"), "n\n1\n");
    let (_site, none) = answered("", raw("HTTP/1.1 204 No Content", ""));
    assert_eq!(none["status"], "completed", "{none}");
}

#[test]
fn an_answer_to_a_record_says_where_it_ends_too() {
    let apps = "  line: { run: \"python3 -uc 'import sys,json\\nfor l in sys.stdin:\\n r=json.loads(l); print(json.dumps(dict(id=r[\\\"id\\\"],status=\\\"completed\\\",data=r[\\\"data\\\"])))'\", mode: stream }";
    let flow = "[ { from: in, to: line, by: database }, { from: line, to: bill }, { from: bill, to: out } ]";
    let site = Site::with("", apps, flow, |_| raw("HTTP/1.1 200 OK", "{\"n\":2}"));
    site.project.arrive("incoming/n.ndjson", "{\"n\":1}\n");
    site.once();
    let delivery = &site.deliveries("bill")[0];
    assert_eq!(delivery["status"], "failed", "{delivery}");
    assert!(delivery.to_string().contains("does not say where it ends"), "{delivery}");
    assert!(site.exported().is_empty());
}

#[test]
fn an_encoded_answer_is_refused() {
    let encoded = |by: &str| Reply::of("text/csv", "n\n1\n").with("Content-Encoding", by);
    is_refused("", encoded("gzip"), "Content-Encoding: gzip");
    is_refused("", encoded("identity").with("Content-Encoding", "br"), "Content-Encoding: br");
    is_taken("", encoded("Identity"), "n\n1\n");
}

#[test]
fn an_answer_larger_than_the_app_takes_is_refused() {
    let most = ", max_answer: 1000";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked";
    let chunk = |length: usize| format!("{length:x}\r\n{}\r\n", "x".repeat(length));
    is_refused(most, Reply::new(200, "x".repeat(1001)), "more than 1.0 kB");
    is_refused(most, raw(chunked, &format!("{}{}0\r\n\r\n", chunk(600), chunk(401))), "more than 1.0 kB");
    // It is refused as soon as it is too large, whether it has an end or not.
    is_refused(most, raw(chunked, &chunk(600).repeat(2_000)), "more than 1.0 kB");
    is_taken(most, Reply::new(200, "x".repeat(1000)), &"x".repeat(1000));
}
