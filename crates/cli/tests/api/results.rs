//! What came of a job: small results at once, large ones as files, in whole and in parts, for as long as they are kept.

use crate::http::{Answer, Ask};
use crate::kit::{Client, LONG, OPEN, Site};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use handover_testkit::process::wait_for;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

fn digest(bytes: &[u8]) -> String {
    format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(bytes)))
}

#[track_caller]
fn done(client: &Client, body: &Value) -> Value {
    let id = client.post("/api/v1/jobs", body).id();
    assert_eq!(client.ended(id)["status"], "completed");
    let answer = client.get(format!("/api/v1/jobs/{id}/results"));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

#[test]
fn small_results_are_in_the_answer() {
    let site = Site::new(
        "apps:
  json: { run: \"sh -c 'cat >/dev/null; echo {\\\\\\\"a\\\\\\\":[1,2]}'\", job: { output: application/json } }
  text: { run: 'tr a-z A-Z', job: { output: text/plain } }
  bytes: { run: \"sh -c 'printf \\\"\\\\377\\\\376\\\"'\", ext: png }
  none: { run: 'true' }
",
        OPEN,
    );
    let server = site.serve();
    let client = server.anyone();
    let results = done(&client, &json!({ "app": "json" }));
    assert_eq!(results["outputs"][0]["json"], json!({ "a": [1, 2] }), "{results:#}");
    let results = done(&client, &json!({ "app": "text", "input": "hello" }));
    let output = &results["outputs"][0];
    assert_eq!(
        (&output["text"], &output["size"], &output["media_type"]),
        (&json!("HELLO"), &json!(5), &json!("text/plain"))
    );
    let whole = client.get(output["url"].as_str().unwrap());
    assert_eq!((whole.status, whole.text().as_str(), whole.media_type()), (200, "HELLO", "text/plain"));
    assert_eq!(whole.header("repr-digest"), Some(digest(b"HELLO").as_str()));
    let part = client.ask(Ask::get(output["url"].as_str().unwrap()).header("Range", "bytes=1-2"));
    assert_eq!((part.status, part.text().as_str()), (206, "EL"));
    let results = done(&client, &json!({ "app": "bytes" }));
    let output = &results["outputs"][0];
    assert_eq!(
        (output.get("text"), output.get("json"), &output["media_type"]),
        (None, None, &json!("image/png"))
    );
    assert_eq!(client.get(output["url"].as_str().unwrap()).body, [255, 254]);
    let results = done(&client, &json!({ "app": "none" }));
    assert_eq!(results["outputs"][0]["size"], 0, "{results:#}");
    let id = results["id"].as_i64().unwrap();
    for name in ["nothing", "output.txt", "x%20y"] {
        assert_eq!(client.get(format!("/api/v1/jobs/{id}/results/{name}")).status, 404, "{name}");
    }
}

/// Everything that may be asked of bytes with a digest.
#[track_caller]
pub(crate) fn gives_parts(client: &Client, url: &str, all: &[u8]) {
    let ask = |name: &str, value: &str| client.ask(Ask::get(url).header(name, value));
    let whole = client.get(url);
    assert_eq!((whole.status, whole.body == all), (200, true));
    assert_eq!(whole.header("accept-ranges"), Some("bytes"));
    assert_eq!(whole.header("repr-digest"), Some(digest(all).as_str()));
    assert!(whole.header("content-security-policy").is_some_and(|policy| policy.contains("sandbox")));
    assert!(whole.header("content-disposition").is_some_and(|value| value.starts_with("attachment")));
    let etag = whole.header("etag").unwrap().to_owned();
    let size = all.len();
    let is_part = |answer: &Answer, first: usize, last: usize| {
        let said = format!("bytes {first}-{last}/{size}");
        assert_eq!((answer.status, answer.header("content-range")), (206, Some(said.as_str())));
        assert!(answer.body == all[first..=last], "{first}-{last}");
    };
    is_part(&ask("Range", "bytes=0-0"), 0, 0);
    is_part(&ask("Range", "bytes=1000-69999"), 1000, 69_999);
    is_part(&ask("Range", &format!("bytes={}-", size - 10)), size - 10, size - 1);
    is_part(&ask("Range", "bytes=-5"), size - 5, size - 1);
    is_part(&ask("Range", "bytes=5-99999999999"), 5, size - 1);
    is_part(&client.ask(Ask::get(url).header("Range", "bytes=0-4").header("If-Range", &etag)), 0, 4);
    let beyond = ask("Range", &format!("bytes={size}-"));
    assert_eq!((beyond.status, beyond.code()), (416, "RANGE_NOT_SATISFIABLE".into()));
    assert_eq!(beyond.header("content-range"), Some(format!("bytes */{size}").as_str()));
    let changed = client.ask(Ask::get(url).header("Range", "bytes=0-4").header("If-Range", "\"old\""));
    assert_eq!((changed.status, changed.body.len()), (200, size));
    for whole in ["bytes=0-1,5-6", "lines=0-1", "bytes=x-y"] {
        assert_eq!((ask("Range", whole).status, ask("Range", whole).body.len()), (200, size), "{whole}");
    }
    for same in [etag.as_str(), "\"x\", *", &format!("W/{etag}")] {
        let answer = ask("If-None-Match", same);
        assert_eq!(
            (answer.status, answer.body.len(), answer.header("etag")),
            (304, 0, Some(etag.as_str())),
            "{same}"
        );
    }
    assert_eq!(ask("If-None-Match", "\"other\"").status, 200);
    let head = client.ask(Ask::new("HEAD", url));
    assert_eq!((head.status, head.header("content-length")), (200, Some(size.to_string().as_str())));
}

#[test]
fn a_large_result_is_a_file_that_is_fetched_in_whole_and_in_parts() {
    let site = Site::new("apps: { big: { run: 'seq 1 100000', type: numbers, ext: txt } }", OPEN);
    let server = site.serve();
    let client = server.anyone();
    let results = done(&client, &json!({ "app": "big" }));
    let all: String = (1..=100_000).map(|n| format!("{n}\n")).collect();
    let output = &results["outputs"][0];
    assert_eq!((output.get("text"), &output["size"]), (None, &json!(all.len())));
    let checksum: String = Sha256::digest(all.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(output["checksum"], format!("sha256:{checksum}"));
    gives_parts(&client, output["url"].as_str().unwrap(), all.as_bytes());
    // A client that lets go in the middle harms nobody.
    drop(Ask::get(output["url"].as_str().unwrap()).send(server.address));
    // What was removed by hand is gone, and said to be.
    let id = results["id"].as_i64().unwrap();
    std::fs::remove_dir_all(site.project.join("data/big")).unwrap();
    let gone = client.get(format!("/api/v1/jobs/{id}/results"));
    assert_eq!((gone.status, gone.code()), (410, "GONE".into()));
}

#[test]
fn there_is_a_result_when_a_job_has_completed_and_for_so_long() {
    let site = Site::new(
        "apps: { wait: { run: sleep 300 }, bad: { run: \"sh -c 'echo why >&2; exit 65'\" }, up: { run: 'tr a-z A-Z' } }",
        "auth: none, results: 1s",
    );
    let server = site.serve();
    let client = server.anyone();
    let (wait, bad, up) = (client.submit("wait", ""), client.submit("bad", ""), client.submit("up", "x"));
    for tail in ["results", "results/output"] {
        let early = client.get(format!("/api/v1/jobs/{wait}/{tail}"));
        assert_eq!((early.status, early.code()), (409, "NOT_ENDED".into()));
        let failed = client.ended(bad);
        assert_eq!((&failed["status"], &failed["error"]["code"]), (&json!("failed"), &json!("BAD_DATA")));
        let none = client.get(format!("/api/v1/jobs/{bad}/{tail}"));
        assert_eq!((none.status, none.code()), (409, "JOB_FAILED".into()));
        assert!(none.text().contains("why"), "{}", none.text());
    }
    assert_eq!(client.ended(up)["status"], "completed");
    let gone = wait_for(LONG, "the end of a result", || {
        Some(client.get(format!("/api/v1/jobs/{up}/results"))).filter(|answer| answer.status != 200)
    });
    assert_eq!((gone.status, gone.code()), (410, "GONE".into()));
    assert_eq!(client.get(format!("/api/v2/jobs/{up}/results/output")).status, 410);
    assert_eq!(client.job(up)["status"], "completed", "the job itself is there");
    let replayed = client.act(format!("/api/v1/jobs/{up}/replay"));
    assert_eq!(replayed.status, 202);
    assert_eq!(client.ended(replayed.id())["status"], "completed");
    client.act(format!("/api/v1/jobs/{wait}/cancel"));
}

#[test]
fn an_app_has_an_operation_of_its_own() {
    let site = Site::new(
        "apps:
  scorer:
    run: \"sh -c 'cat; printf \\\"%s\\\" {threshold}'\"
    description: Scores
    job:
      config: { type: object, properties: { threshold: { type: number } }, required: [threshold], additionalProperties: false }
      arguments: { threshold: '{threshold}' }
  in: { run: cat }
",
        OPEN,
    );
    let server = site.serve();
    let client = server.anyone();
    let operation = &server.document.root["paths"]["/api/v2/apps/scorer/jobs"]["post"];
    let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
    assert_eq!(schema["$ref"], "#/components/schemas/scorer-config");
    let schema = &server.document.root["components"]["schemas"]["scorer-config"];
    assert_eq!((&schema["required"], &operation["summary"]), (&json!(["threshold"]), &json!("Scores")));
    let answer = client.post("/api/v2/apps/scorer/jobs", &json!({ "threshold": 2.5 }));
    assert_eq!((answer.status, &answer.json()["config"]), (202, &json!({ "threshold": 2.5 })));
    let id = answer.id();
    assert_eq!(answer.header("location"), Some(format!("/api/v2/jobs/{id}").as_str()));
    assert_eq!(client.output(id), "2.5");
    let file =
        client.ask(Ask::post("/api/v2/files?app=in&type=t&ext=txt").body("text/plain", "from a file "));
    let path = file.json()["path"].as_str().unwrap().to_owned();
    let waits = Ask::post(format!("/api/v2/apps/scorer/jobs?input_file={path}"))
        .header("Prefer", "respond-async, wait=30");
    let waited = client.ask(waits.json(&json!({ "threshold": 1 })));
    assert_eq!((waited.status, waited.header("preference-applied")), (200, Some("respond-async, wait=30")));
    assert_eq!(client.output(waited.id()), "from a file 1");
    let unknown = client.ask(Ask::post("/api/v2/apps/scorer/jobs?input=x").json(&json!({ "threshold": 1 })));
    assert_eq!((unknown.status, &unknown.json()["errors"][0]["field"]), (400, &json!("input")));
    assert_eq!(client.post("/api/v2/apps/nope/jobs", &json!({})).status, 404);
}

#[test]
fn lists_are_paged_without_gap_or_repetition() {
    let site = Site::new("apps: { up: { run: cat }, late: { run: cat } }", OPEN);
    let server = site.serve();
    let client = server.anyone();
    let mut ids: Vec<i64> = (0..7).map(|n| client.submit("up", &n.to_string())).collect();
    ids.reverse();
    let late = json!({ "app": "late", "run_at": "2999-01-01T00:00:00Z" });
    let late = client.post("/api/v1/jobs", &late).id();
    for (list, name) in
        [("jobs?app=up&limit=3", "jobs"), ("deliveries?kind=job&app=up&limit=3", "deliveries")]
    {
        let (mut found, mut next) = (Vec::new(), String::new());
        loop {
            let page = client.get(format!("/api/v1/{list}{next}")).json();
            let some = page[name].as_array().unwrap();
            assert!(some.len() <= 3);
            found.extend(some.iter().map(|one| one["id"].as_i64().unwrap()));
            let Some(cursor) = page["next"].as_str() else { break };
            next = format!("&cursor={cursor}");
        }
        assert_eq!(found, ids, "{list}");
    }
    let pending = client.get("/api/v1/jobs?status=pending&app=late").json();
    assert_eq!(pending["jobs"][0]["id"], late);
    let stands = client.get("/api/v1/apps/late/status").json();
    assert_eq!((&stands["pending"], &stands["processing"]), (&json!(1), &json!(0)));
    let of_late = client.get(format!("/api/v1/jobs/{late}/explain")).json();
    assert!(of_late.to_string().contains("2999"), "{of_late:#}");
    assert_eq!(client.get(format!("/api/v1/deliveries/{late}")).json()["kind"], "job");
    client.act(format!("/api/v1/deliveries/{late}/cancel"));
}
