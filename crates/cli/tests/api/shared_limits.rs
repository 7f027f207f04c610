//! One limit for several processes: two of them on one ledger let in as many as the limit says, however callers spread over
//! them. What is counted is held against the time that really passed.

use crate::http::{Ask, connect, read_answer_of};
use crate::kit::{LONG, Server, Site};
use handover_testkit::process::wait_for;
use std::io::{BufReader, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const APPS: &str = "apps: { up: { run: 'tr a-z A-Z' } }";
const TIME: Duration = Duration::from_secs(8);

/// How often a caller asked, and how often it was let in.
#[derive(Debug, Default, Clone, Copy)]
struct Counted {
    asked: f64,
    taken: f64,
}

/// Asks at this rate over one connection for a time.
fn offer(to: SocketAddr, key: &str, per_second: f64) -> Counted {
    let ask = Ask::get("/api/v1/apps").header("Authorization", format!("Bearer {key}"));
    let text = String::from_utf8(ask.bytes()).unwrap().replace("Connection: close", "Connection: keep-alive");
    let mut stream = connect(to);
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let begun = Instant::now();
    let mut counted = Counted::default();
    while begun.elapsed() < TIME {
        let due = Duration::from_secs_f64(counted.asked / per_second);
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
        stream.write_all(text.as_bytes()).unwrap();
        let status = read_answer_of(&mut reader, "GET").unwrap().status;
        assert!(matches!(status, 200 | 429), "{status}");
        counted.asked += 1.0;
        counted.taken += f64::from(u8::from(status == 200));
    }
    counted
}

/// Asks twice as much as is allowed, in these parts of all by each process, and holds what was let in against the limit.
fn hold(limit: f64, parts: [f64; 2]) {
    let site = Site::on_a_server(APPS, &format!("limits: {{ default: {limit}/s, address: 1000000/s }}"));
    let key = site.key(&[]);
    let servers = [site.serve(), site.serve()];
    let addresses = servers.each_ref().map(|server| server.address);
    assert_ne!(addresses[0], addresses[1]);
    let begun = Instant::now();
    let asking = addresses.into_iter().zip(parts).filter(|(_, part)| *part > 0.0).map(|(address, part)| {
        let key = key.clone();
        std::thread::spawn(move || offer(address, &key, 2.0 * limit * part))
    });
    let asking: Vec<_> = asking.collect();
    let mut all = Counted::default();
    for one in asking {
        let one = one.join().unwrap();
        all = Counted { asked: all.asked + one.asked, taken: all.taken + one.taken };
    }
    let allowed = limit * begun.elapsed().as_secs_f64();
    let told = format!("{all:?} of {allowed} and {limit} at once");
    assert!(all.taken <= 1.1 * allowed + limit, "{told}");
    // Where the machine was too busy for so many to be asked, no more can have been let in.
    assert!(all.taken >= 0.9 * allowed.min(all.asked), "{told}");
}

#[test]
fn two_processes_hold_one_limit() {
    hold(200.0, [0.5, 0.5]);
}

#[test]
fn and_a_low_one() {
    hold(20.0, [0.5, 0.5]);
}

#[test]
fn and_whoever_asks_one_of_them_alone_gets_all_of_it() {
    hold(200.0, [1.0, 0.0]);
}

#[test]
fn and_whoever_asks_one_more_than_the_other() {
    hold(50.0, [0.2, 0.8]);
}

/// The status of a request with a key.
fn status(server: &Server, key: &str) -> u16 {
    server.client(key).get("/api/v1/apps").status
}

#[test]
fn what_one_process_let_in_another_does_not() {
    let site = Site::on_a_server(APPS, "limits: { default: 10/h, address: 1000000/s }");
    let key = site.key(&[]);
    let servers = [site.serve(), site.serve()];
    // Each lets in what it may before it has heard of the other, and then nobody does.
    let ends = |server: &Server| {
        let mut taken = 0;
        wait_for(LONG, "the end of the limit", || match status(server, &key) {
            200 => {
                taken += 1;
                None
            }
            status => Some(status),
        });
        taken
    };
    let first = ends(&servers[0]);
    std::thread::sleep(Duration::from_millis(500));
    let second = ends(&servers[1]);
    assert!(first >= 5, "{first}");
    assert!(first + second <= 10 + 5, "{first} and {second}");
    let refused = servers[1].client(&key).get("/api/v1/apps");
    assert_eq!(refused.header("ratelimit-policy"), Some("\"default\";q=10;w=3600"));
    let again: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!(again > 60, "there is none for minutes, and {again} seconds are told");
}
