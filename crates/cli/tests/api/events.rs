//! Following a job: every move and line once, whatever becomes of the connection, and from whatever process.

use crate::http::{Ask, read_chunk, read_head};
use crate::kit::{Client, OPEN, Site};
use serde_json::Value;
use std::io::BufReader;
use std::net::TcpStream;

/// An event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) data: Value,
}

/// A stream of events, until it is let go of.
pub(crate) struct Stream {
    reader: BufReader<TcpStream>,
    text: String,
}

impl Stream {
    /// Follows a job, from where a stream before ended.
    #[track_caller]
    pub(crate) fn open(client: &Client, id: i64, last: Option<&str>) -> Self {
        let mut ask = client.with_key(Ask::get(format!("/api/v1/jobs/{id}/events")));
        if let Some(last) = last {
            ask = ask.header("Last-Event-ID", last);
        }
        let mut reader = BufReader::new(ask.send(client.address));
        let head = read_head(&mut reader).unwrap();
        assert_eq!((head.status, head.media_type()), (200, "text/event-stream"), "{head:?}");
        assert_eq!(head.header("cache-control"), Some("no-store"));
        assert!(head.header("x-request-id").is_some());
        Self { reader, text: String::new() }
    }

    /// The next event; none where the stream ends.
    pub(crate) fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((one, rest)) = self.text.split_once("\n\n") {
                let (one, rest) = (one.to_owned(), rest.to_owned());
                self.text = rest;
                let field =
                    |name: &str| one.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                let Some(name) = field("event: ") else { continue };
                let data = serde_json::from_str(&field("data: ").unwrap()).unwrap();
                return Some(Event { id: field("id: ").unwrap(), name, data });
            }
            self.text.push_str(std::str::from_utf8(&read_chunk(&mut self.reader)?).unwrap());
        }
    }

    fn rest(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.next()).collect()
    }
}

/// Says a line for each step that it may go.
const STEPS: &str = r#"apps:
  steps: { run: "sh -c 'for n in 1 2 3 4 5 6; do while [ ! -e go$n ]; do sleep 0.02; done; echo {\\\"step\\\":$n} >&2; echo plain $n >&2; done; cat'" }
  wait: { run: sleep 300 }
"#;

fn lines(events: &[Event]) -> Vec<&str> {
    events.iter().filter(|one| one.name == "progress").map(|one| one.data["line"].as_str().unwrap()).collect()
}

fn moves(events: &[Event]) -> Vec<&str> {
    events.iter().filter(|one| one.name == "state").map(|one| one.data["status"].as_str().unwrap()).collect()
}

fn a_job_is_followed_without_gap_or_repetition(site: &Site) {
    let server = site.serve();
    let client = server.anyone();
    let id = client.submit("steps", "done");
    let mut all: Vec<Event> = Vec::new();
    // Each stream is cut after two lines; the next goes on from the last event that was read.
    for step in 1..=3 {
        let last = all.last().map(|event| event.id.clone());
        let mut stream = Stream::open(&client, id, last.as_deref());
        site.project.write(format!("go{step}"), "");
        while lines(&all).len() < 2 * step {
            all.push(stream.next().unwrap());
        }
    }
    // From a second process of the same project, which has nothing of the first's.
    let second = site.serve();
    assert_ne!(second.address, server.address);
    let last = all.last().unwrap().id.clone();
    let mut stream = Stream::open(&second.anyone(), id, Some(&last));
    let mut beside = Stream::open(&client, id, Some(&last));
    for step in 4..=6 {
        site.project.write(format!("go{step}"), "");
    }
    let rest = stream.rest();
    assert_eq!(beside.rest(), rest, "both tell the same");
    all.extend(rest);
    let said: Vec<String> =
        (1..=6).flat_map(|n| [format!("{{\"step\":{n}}}"), format!("plain {n}")]).collect();
    assert_eq!(lines(&all), said);
    assert_eq!(moves(&all), ["pending", "processing", "completed"]);
    let step = all.iter().find(|one| one.data["line"] == said[0]).unwrap();
    assert_eq!((&step.data["json"]["step"], &step.data["seq"]), (&1.into(), &1.into()));
    let end = all.last().unwrap();
    assert_eq!(
        (end.name.as_str(), &end.data["status"], &end.data["id"]),
        ("end", &"completed".into(), &id.into())
    );
    assert_eq!(all.iter().filter(|one| one.name == "end").count(), 1);
    // Once more from the beginning: the same, in one go.
    assert_eq!(moves(&Stream::open(&client, id, None).rest()), moves(&all));
    assert_eq!(lines(&Stream::open(&client, id, Some("nonsense")).rest()), said);
    // From its end, nothing but that is left.
    let left: Vec<String> =
        Stream::open(&client, id, Some(&end.id)).rest().into_iter().map(|one| one.name).collect();
    assert_eq!(left, ["end"]);
}

#[test]
fn a_job_is_followed_across_cuts_and_processes() {
    a_job_is_followed_without_gap_or_repetition(&Site::new(STEPS, OPEN));
}

#[test]
fn a_job_is_followed_across_cuts_and_processes_on_a_server() {
    a_job_is_followed_without_gap_or_repetition(&Site::on_a_server(STEPS, OPEN));
}

#[test]
fn a_stream_tells_that_a_job_is_cancelling_once_and_how_it_ended() {
    let site = Site::new(
        "apps: { tree: { run: \"sh -c 'trap \\\"\\\" TERM; echo on >&2; while :; do sleep 0.05; done'\" } }",
        OPEN,
    );
    let server = site.serve();
    let client = server.anyone();
    let id = client.submit("tree", "");
    let mut stream = Stream::open(&client, id, None);
    while stream.next().unwrap().name != "progress" {}
    assert_eq!(client.act(format!("/api/v1/jobs/{id}/cancel")).status, 202);
    let told = stream.next().unwrap();
    assert_eq!(told.name, "cancelling");
    // Cut here, it is not told again.
    let rest = Stream::open(&client, id, Some(&told.id)).rest();
    let names: Vec<&str> = rest.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["state", "end"], "{rest:?}");
    assert_eq!(rest[1].data["error"]["code"], "CANCELLED");
    assert_eq!(stream.rest(), rest);
}

#[test]
fn streams_of_what_is_not_there_are_refused() {
    let site = Site::new(STEPS, OPEN);
    let server = site.serve();
    for id in ["7", "0", "-1", "x", "99999999999999999999"] {
        assert_eq!(server.anyone().get(format!("/api/v1/jobs/{id}/events")).status, 404);
    }
}
