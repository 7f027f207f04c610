//! What a death of the process that serves leaves: nothing that runs, and every job that was accepted.

use crate::http::{Ask, connect, read_answer};
use crate::kit::{LISTENS, LONG, OPEN, Server, Site, is_there};
use handover_testkit::process::wait_for;
use rustix::process::Signal;
use serde_json::json;
use std::net::TcpListener;

/// Has a child of a child; ends when it may.
const TREE: &str = r#"apps:
  tree:
    run: "sh -c 'echo run >> runs; test -e go && exec cat; sh -c \"sleep 300 & echo \\$! >> pids; wait\" & echo $! >> pids; echo $$ >> pids; wait'"
    retries: 0
    workers: 1
"#;

#[test]
fn a_killed_process_leaves_no_program_and_the_next_runs_each_job_to_its_end() {
    let site = Site::new(TREE, OPEN);
    let server = site.serve();
    let client = server.anyone();
    let ids: Vec<i64> = (0..5).map(|n| client.submit("tree", &format!("input {n}"))).collect();
    let pids = wait_for(LONG, "its three processes", || {
        Some(site.file("pids")).filter(|pids| pids.lines().count() == 3 && pids.ends_with('\n'))
    });
    assert_eq!(client.job(ids[0])["status"], "processing");
    server.kill();
    for pid in pids.lines() {
        wait_for(LONG, "the end of what it started", || (!is_there(pid)).then_some(()));
    }
    site.project.write("go", "");
    let server = site.serve();
    let client = server.anyone();
    for (n, id) in ids.iter().enumerate() {
        assert_eq!(client.output(*id), format!("input {n}"));
        assert_eq!(client.job(*id)["attempts"], 1, "a lost process costs no attempt");
    }
    assert_eq!(site.file("runs").lines().count(), ids.len() + 1, "one was begun twice, the others once");
}

#[test]
fn whatever_moment_it_is_killed_at_what_was_accepted_is_there() {
    let site = Site::new("apps: { up: { run: 'tr a-z A-Z' } }", OPEN);
    let mut accepted: Vec<(i64, String)> = Vec::new();
    for round in 0..3 {
        let server = site.serve();
        let client = server.anyone();
        let address = server.address;
        let submitting = std::thread::spawn(move || {
            let mut accepted = Vec::new();
            for n in 0.. {
                let input = format!("job {round} {n}");
                let ask = Ask::post("/api/v1/jobs").json(&json!({ "app": "up", "input": input }));
                let Ok(stream) = std::net::TcpStream::connect(address) else { return accepted };
                drop(stream);
                let Some(answer) =
                    std::panic::catch_unwind(|| read_answer(ask.send(address), "POST")).ok().flatten()
                else {
                    return accepted;
                };
                if answer.status != 202 || answer.body.is_empty() {
                    return accepted;
                }
                accepted.push((answer.id(), input));
            }
            accepted
        });
        wait_for(LONG, "some jobs", || {
            let jobs = client.get("/api/v1/jobs?limit=500").json()["jobs"].as_array().unwrap().len();
            (jobs >= (round + 1) * 10).then_some(())
        });
        server.kill();
        accepted.extend(submitting.join().unwrap());
    }
    let server = site.serve();
    let client = server.anyone();
    assert!(!accepted.is_empty());
    for (id, input) in accepted {
        assert_eq!(client.output(id), input.to_uppercase());
    }
}

#[test]
fn sigterm_ends_streams_answers_who_waits_and_lets_the_job_end() {
    let site =
        Site::new("apps: { wait: { run: \"sh -c 'while [ ! -e go ]; do sleep 0.02; done; cat'\" } }", OPEN);
    let mut server = site.serve();
    let client = server.anyone();
    let id = client.submit("wait", "done");
    client.until(id, "processing");
    let waiting = Ask::get(format!("/api/v1/jobs/{id}")).header("Prefer", "wait=60").send(server.address);
    let mut stream = crate::events::Stream::open(&client, id, None);
    assert_eq!(stream.next().unwrap().name, "state");
    // Who has not asked yet, or is about to.
    let (idle, mut half) = (connect(server.address), connect(server.address));
    std::io::Write::write_all(&mut half, b"PRI * HT").unwrap();
    server.run.signal(Signal::TERM);
    server.run.says_within(LONG, "nothing new is accepted any more");
    let rest: Vec<String> = std::iter::from_fn(|| stream.next()).map(|event| event.name).collect();
    assert!(!rest.contains(&"end".to_owned()), "it goes on elsewhere: {rest:?}");
    let answer = read_answer(waiting, "GET").unwrap();
    assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("processing")));
    assert!(std::net::TcpStream::connect(server.address).is_err(), "it listens still");
    assert!(server.run.poll().is_none(), "the job runs");
    site.project.write("go", "");
    let status = server.run.end_within(LONG);
    assert!(status.success(), "{status}");
    drop((idle, half));
    assert!(!server.run.stderr().contains("did not take their answers"), "{}", server.run.stderr());
    let server = site.serve();
    assert_eq!(server.anyone().output(id), "done");
}

#[test]
fn sigterm_stops_a_job_that_does_not_end_within_the_grace_and_it_is_given_back() {
    let site = Site::new(
        "apps: { wait: { run: \"sh -c 'test -e go && exec cat; echo $$ > pid; sleep 300'\" } }",
        OPEN,
    );
    let server = site.serve();
    let id = server.anyone().submit("wait", "done");
    let pid = site.file("pid");
    server.stop();
    assert!(!is_there(&pid));
    site.project.write("go", "");
    assert_eq!(site.serve().anyone().output(id), "done");
}

#[test]
fn a_second_process_waits_for_the_address_and_serves_after_the_first() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let site = Site::at("apps: { up: { run: 'tr a-z A-Z' } }", &address, OPEN, None);
    let first = site.serve();
    let id = first.anyone().submit("up", "one");
    assert_eq!(first.anyone().output(id), "ONE");
    let mut second = site.project.start(&["run", "-v"]);
    second.says_within(LONG, "another process of this project serves the API");
    // Both work, and the first goes on answering.
    let id = first.anyone().submit("up", "two");
    assert_eq!(first.anyone().output(id), "TWO");
    first.stop();
    second.says_within(LONG, LISTENS);
    let second = Server::of(second);
    let client = second.anyone();
    assert_eq!((client.output(id), client.submit("up", "three") > id), ("TWO".into(), true));
    second.stop();
    // Another project does not wait for this one's address: that is an error of its configuration.
    let server = site.serve();
    let other = Site::at("apps: { up: { run: cat } }", &address, OPEN, None);
    let mut refused = other.project.start(&["run"]);
    assert_eq!(refused.end_within(LONG).code(), Some(1), "{}", refused.stderr());
    assert!(refused.stderr().contains("cannot listen"), "{}", refused.stderr());
    drop(server);
}
