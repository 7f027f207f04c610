//! Spans, as a collector gets them.

use crate::http::{Ask, read_answer};
use crate::kit::{LONG, OPEN, Site};
use handover_testkit::process::wait_for;
use handover_testkit::{Asked, HttpServer, Reply, files_below};
use serde_json::{Value, json};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// All spans that a collector was given, in their order.
fn spans(collector: &HttpServer) -> Vec<Value> {
    let of = |asked: &Asked| {
        assert_eq!((asked.method.as_str(), asked.target.as_str()), ("POST", "/v1/traces"));
        assert_eq!(asked.header("content-type"), Some("application/json"));
        let body: Value = serde_json::from_slice(&asked.body).unwrap();
        body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone()
    };
    collector.asked().iter().flat_map(of).collect()
}

/// The one span of this name.
#[track_caller]
fn span<'s>(spans: &'s [Value], name: &str) -> &'s Value {
    let mut of = spans.iter().filter(|span| span["name"] == name);
    let found = of.next().unwrap_or_else(|| panic!("no span {name} in {spans:#?}"));
    assert!(of.next().is_none(), "two spans {name} in {spans:#?}");
    found
}

fn attribute<'s>(span: &'s Value, name: &str) -> &'s Value {
    let all = span["attributes"].as_array().unwrap();
    all.iter().find(|one| one["key"] == name).map_or(&Value::Null, |one| &one["value"])
}

fn traces(collector: &HttpServer, more: &str) -> String {
    format!("traces: {{ endpoint: 'http://{}'{more} }}\n", collector.address())
}

fn takes_all() -> HttpServer {
    HttpServer::start(|_| Reply::of("application/json", "{}"))
}

/// Importer, validator, a program, and a service app by api.
fn site(collector: &HttpServer, service: &HttpServer, more: &str) -> Site {
    let apps = format!(
        "apps:
  in: {{ uses: file-importer, with: {{ from: ./incoming, pattern: '*.csv', type: sales }} }}
  check: {{ uses: validator, with: {{ schema: schema.json }} }}
  shout: {{ run: \"sh -c 'echo $TRACEPARENT > seen; cat'\" }}
  bill: {{ url: 'http://{}' }}
flows:
  sales: [ {{ from: in, to: check }}, {{ from: check, to: shout }}, {{ from: shout, to: bill, by: api }} ]
{}",
        service.address(),
        traces(collector, more)
    );
    let site = Site::new(&apps, OPEN);
    site.project.write("schema.json", r#"{"fields":[{"name":"id","type":"integer"}]}"#);
    site.project.arrive("incoming/a.csv", "id\n1\n2\n");
    site.command(&["run", "--once"]);
    site
}

#[test]
fn one_trace_follows_a_file_from_app_to_app() {
    let (collector, service) = (takes_all(), HttpServer::start(|_| Reply::new(200, "")));
    let site = site(&collector, &service, ", service_name: here, headers: { x-key: secret }");
    let spans = spans(&collector);
    assert_eq!(collector.asked()[0].header("x-key"), Some("secret"));
    let whole = span(&spans, "file for in");
    assert_eq!(whole.get("parentSpanId"), None);
    let mut parent = whole["spanId"].as_str().unwrap().to_owned();
    for name in ["in", "check", "shout", "bill"] {
        let span = span(&spans, name);
        assert_eq!((&span["traceId"], &span["parentSpanId"]), (&whole["traceId"], &json!(parent)), "{name}");
        assert_eq!(attribute(span, "handover.outcome")["stringValue"], "completed");
        parent = span["spanId"].as_str().unwrap().to_owned();
    }
    assert_eq!(spans.len(), 5);
    assert_eq!(attribute(span(&spans, "check"), "handover.rows_in")["intValue"], "2");
    let context = |name: &str| {
        let span = span(&spans, name);
        format!("00-{}-{}-01", span["traceId"].as_str().unwrap(), span["spanId"].as_str().unwrap())
    };
    assert_eq!(site.file("seen").trim(), context("shout"));
    let posted = service.asked();
    assert_eq!(posted[0].header("traceparent"), Some(&context("bill")[..]));
    let manifests = files_below(&site.project.join("data/check"));
    let manifests =
        if manifests.is_empty() { files_below(&site.project.join("data/validated")) } else { manifests };
    let manifest = manifests.iter().find(|path| path.to_string_lossy().ends_with(".meta.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&std::fs::read(manifest).unwrap()).unwrap();
    assert_eq!(manifest["traceparent"], context("check"));
}

#[test]
fn a_trace_goes_on_where_a_manifest_is_carried_to() {
    let (here, there) = (takes_all(), takes_all());
    let site = |collector: &HttpServer| {
        let apps = "apps:
  in: { uses: file-importer, with: { from: ./incoming, pattern: '*.csv', type: sales } }
  first: { run: cat }
  second: { run: cat }
flows: { sales: in -> first -> second }
";
        Site::new(&format!("{apps}{}", traces(collector, "")), OPEN)
    };
    let from = site(&here);
    from.command(&["run", "--once"]);
    from.command(&["pause", "second"]);
    from.project.arrive("incoming/a.csv", "id\n1\n");
    from.command(&["run", "--once"]);
    let to = site(&there);
    to.command(&["run", "--once"]);
    for path in files_below(&from.project.join("data/first")) {
        let name = path.strip_prefix(from.project.path()).unwrap().to_owned();
        to.project.write(name, std::fs::read(&path).unwrap());
    }
    to.command(&["run", "--once"]);
    let (before, after) = (spans(&here), spans(&there));
    let (first, second) = (span(&before, "first"), span(&after, "second"));
    assert_eq!((&second["traceId"], &second["parentSpanId"]), (&first["traceId"], &first["spanId"]));
    assert_eq!(after.len(), 1, "it did not begin here: {after:#?}");
}

#[test]
fn what_is_not_drawn_is_not_sent_and_says_so_to_who_follows() {
    let (collector, service) = (takes_all(), HttpServer::start(|_| Reply::new(200, "")));
    let site = site(&collector, &service, ", sample: 0");
    assert!(collector.asked().is_empty());
    assert!(site.file("seen").trim().ends_with("-00"));
}

#[test]
fn a_job_goes_on_with_its_caller_s_trace_and_its_failure_is_an_error() {
    let collector = takes_all();
    let apps = format!("apps:\n  bad: {{ run: \"sh -c 'exit 65'\" }}\n{}", traces(&collector, ""));
    let server = Site::new(&apps, OPEN).serve();
    let given = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let ask = Ask::post("/api/v1/jobs").json(&json!({ "app": "bad" })).header("traceparent", given);
    assert_eq!(server.anyone().ask(ask).status, 202);
    let spans = wait_for(LONG, "the span", || Some(spans(&collector)).filter(|spans| !spans.is_empty()));
    let span = span(&spans, "bad");
    assert_eq!((&span["traceId"], &span["parentSpanId"]), (&json!(TRACE), &json!("00f067aa0ba902b7")));
    assert_eq!(
        (&span["status"]["code"], attribute(span, "handover.outcome")),
        (&json!(2), &json!({ "stringValue": "failed" }))
    );
}

#[test]
fn a_request_to_a_service_app_is_a_span_between_its_caller_s_and_the_service_s() {
    let (collector, service) = (takes_all(), HttpServer::start(|_| Reply::new(200, "ok")));
    let apps =
        format!("apps:\n  bill: {{ url: 'http://{}' }}\n{}", service.address(), traces(&collector, ""));
    let server = Site::new(&apps, OPEN).serve();
    let given = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let ask = Ask::get("/api/v1/services/bill/x").header("traceparent", given);
    assert_eq!(read_answer(ask.send(server.address), "GET").unwrap().status, 200);
    let spans = wait_for(LONG, "the span", || Some(spans(&collector)).filter(|spans| !spans.is_empty()));
    let span = span(&spans, "GET bill");
    assert_eq!((&span["traceId"], &span["parentSpanId"]), (&json!(TRACE), &json!("00f067aa0ba902b7")));
    let heard = format!("00-{TRACE}-{}-01", span["spanId"].as_str().unwrap());
    let asked = service.asked();
    let x = asked.iter().find(|asked| asked.target.ends_with("/x")).unwrap();
    assert_eq!(x.header("traceparent"), Some(&heard[..]));
}

#[test]
fn records_of_a_stream_program_go_on_in_their_trace_where_they_are_few() {
    let collector = takes_all();
    let echo = "import sys,json\\nfor l in sys.stdin:\\n r=json.loads(l); print(json.dumps(dict(id=r[\\\"id\\\"],status=\\\"completed\\\",data=r[\\\"data\\\"])))";
    let apps = format!(
        "apps:
  in: {{ uses: file-importer, with: {{ from: ./incoming, pattern: '*.ndjson', type: sales }} }}
  line: {{ run: \"python3 -uc '{echo}'\", mode: stream }}
  last: {{ run: cat }}
flows:
  sales: [ {{ from: in, to: line, by: database }}, {{ from: line, to: last, by: database }} ]
{}",
        traces(&collector, "")
    );
    let site = Site::new(&apps, OPEN);
    site.project.arrive("incoming/few.ndjson", "{\"n\":1}\n");
    site.command(&["run", "--once"]);
    let few = spans(&collector);
    let whole = span(&few, "file for in");
    // The file is split at the app that its records go to, and the record's own span follows from that.
    let of = |name: &str| few.iter().filter(|span| span["name"] == name).collect::<Vec<_>>();
    assert_eq!((of("line").len(), of("last").len()), (2, 1), "{few:#?}");
    assert!(few.iter().all(|span| span["traceId"] == whole["traceId"]), "{few:#?}");
    let record =
        of("line").into_iter().find(|span| attribute(span, "handover.kind")["stringValue"] == "record");
    assert_eq!(of("last")[0]["parentSpanId"], record.unwrap()["spanId"]);
}

#[test]
fn a_collector_that_is_down_holds_nothing_up() {
    let collector = HttpServer::start(|_| Reply::new(503, "not now"));
    let apps = format!(
        "apps:\n  up: {{ run: 'tr a-z A-Z', job: {{ output: text/plain }} }}\n{}",
        traces(&collector, "")
    );
    let site = Site::new(&apps, OPEN);
    let server = site.serve();
    let client = server.anyone();
    assert_eq!(client.output(client.submit("up", "a")), "A");
    let failed = "handover_trace_spans_total{outcome=\"failed\"} ";
    wait_for(LONG, "the spans are given up", || {
        let text = client.get("/metrics").text();
        let count = text.lines().find_map(|line| line.strip_prefix(failed)?.parse::<u64>().ok());
        count.filter(|count| *count >= 2)
    });
    let log = server.stop();
    assert!(log.contains("spans cannot be sent to"), "{log}");
}
