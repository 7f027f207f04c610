//! A project whose API these tests ask: the real binary on a free port, keys, jobs, and what becomes of them.

use crate::document::Document;
use crate::http::{Answer, Ask, read_answer};
use handover_testkit::process::wait_for;
use handover_testkit::{Authority, Project, Running, TemporaryPostgres};
use rustix::process::Signal;
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// Longer than anything here takes, on a machine that does much else.
pub(crate) const LONG: Duration = Duration::from_secs(60);
/// So much that no limit of rates is met by the way.
pub(crate) const MUCH: &str = "default: 1000000/s, address: 1000000/s";
/// What a test adds to `api:` where anyone may ask.
pub(crate) const OPEN: &str = "auth: none";

/// A project.
pub(crate) struct Site {
    pub(crate) project: Project,
    postgres: Option<TemporaryPostgres>,
}

impl Site {
    /// With these lines of configuration, and this within `api: { … }` beside the address.
    pub(crate) fn new(configuration: &str, api: &str) -> Self {
        Self::at(configuration, "127.0.0.1:0", api, None)
    }

    /// The same with its ledger on a server.
    pub(crate) fn on_a_server(configuration: &str, api: &str) -> Self {
        Self::at(configuration, "127.0.0.1:0", api, Some(TemporaryPostgres::new()))
    }

    /// The same at an address.
    pub(crate) fn at(
        configuration: &str,
        listen: &str,
        api: &str,
        postgres: Option<TemporaryPostgres>,
    ) -> Self {
        let comma = if api.is_empty() { "" } else { ", " };
        let limits = if api.contains("limits:") { String::new() } else { format!(", limits: {{ {MUCH} }}") };
        let ledger =
            postgres.as_ref().map(|server| format!("ledger: '{}'\n", server.url())).unwrap_or_default();
        let whole = format!("{ledger}{configuration}\napi: {{ listen: '{listen}'{comma}{api}{limits} }}\n");
        Self { project: Project::new(env!("CARGO_BIN_EXE_handover"), &whole), postgres }
    }

    /// Runs a command to its end; gives what it printed.
    #[track_caller]
    pub(crate) fn command(&self, words: &[&str]) -> String {
        let mut run = self.project.start(words);
        let status = run.end_within(LONG);
        assert!(status.success(), "{words:?}: {}", run.stderr());
        run.stdout()
    }

    /// Makes a key.
    #[track_caller]
    pub(crate) fn key(&self, words: &[&str]) -> String {
        let all = [&["keys", "create", "test"], words].concat();
        self.command(&all).trim().to_owned()
    }

    /// Serves.
    #[track_caller]
    pub(crate) fn serve(&self) -> Server {
        self.serve_by(&["run", "-v"])
    }

    /// Serves by these words.
    #[track_caller]
    pub(crate) fn serve_by(&self, words: &[&str]) -> Server {
        let mut run = self.project.start(words);
        run.says_within(LONG, LISTENS);
        Server::of(run)
    }

    /// Waits for a file of the project, and gives what is in it.
    #[track_caller]
    pub(crate) fn file(&self, name: &str) -> String {
        wait_for(LONG, name, || {
            std::fs::read_to_string(self.project.join(name)).ok().filter(|text| !text.is_empty())
        })
    }

    /// Its ledger's database takes no connection any more, and has none.
    pub(crate) fn lose_the_server(&self) {
        let server = self.postgres.as_ref().unwrap_or_else(|| panic!("the ledger is on no server"));
        server.sql(
            "UPDATE pg_database SET datallowconn = false WHERE datname = current_database(); \
             SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        );
    }

    /// Whether its ledger is on a server.
    pub(crate) fn has_server(&self) -> bool {
        self.postgres.is_some()
    }
}

/// What a process says when it serves.
pub(crate) const LISTENS: &str = "the API listens: http://";

/// A process that serves.
pub(crate) struct Server {
    pub(crate) run: Running,
    pub(crate) address: SocketAddr,
    pub(crate) document: Arc<Document>,
}

impl Server {
    /// A process that has said where it listens.
    #[track_caller]
    pub(crate) fn of(run: Running) -> Self {
        let log = run.stderr();
        let said = log.split(LISTENS).nth(1).unwrap();
        let address: SocketAddr = said.split('/').next().unwrap().parse().unwrap();
        let ask = Ask::get("/api/openapi.json");
        let answer = read_answer(ask.send(address), "GET").unwrap();
        let document = Arc::new(Document::new(answer.json()));
        document.check(&ask, &answer);
        Self { run, address, document }
    }

    /// Who asks it without a key.
    pub(crate) fn anyone(&self) -> Client {
        Client { address: self.address, key: None, document: self.document.clone() }
    }

    /// Who asks it with a key.
    pub(crate) fn client(&self, key: &str) -> Client {
        Client { key: Some(key.to_owned()), ..self.anyone() }
    }

    /// SIGTERM, and its end.
    #[track_caller]
    pub(crate) fn stop(mut self) -> String {
        self.run.signal(Signal::TERM);
        let status = self.run.end_within(LONG);
        assert!(status.success(), "{status}: {}", self.run.stderr());
        self.run.stderr()
    }

    /// SIGKILL, and its end.
    pub(crate) fn kill(mut self) {
        self.run.signal(Signal::KILL);
        self.run.end_within(LONG);
    }
}

/// Who asks.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    key: Option<String>,
    document: Arc<Document>,
}

impl Client {
    /// The request with the key.
    pub(crate) fn with_key(&self, ask: Ask) -> Ask {
        match &self.key {
            Some(key) => ask.header("Authorization", format!("Bearer {key}")),
            None => ask,
        }
    }

    /// Asks; the answer is as it is documented.
    #[track_caller]
    pub(crate) fn ask(&self, ask: Ask) -> Answer {
        let ask = self.with_key(ask);
        self.finish(&ask, ask.send(self.address))
    }

    /// The answer to what was asked with the key; it is as it is documented.
    #[track_caller]
    pub(crate) fn finish(&self, ask: &Ask, stream: TcpStream) -> Answer {
        let answer = read_answer(stream, &ask.method);
        let answer = answer.unwrap_or_else(|| panic!("no answer to {} {}", ask.method, ask.target));
        self.document.check(ask, &answer);
        answer
    }

    #[track_caller]
    pub(crate) fn get(&self, target: impl Into<String>) -> Answer {
        self.ask(Ask::get(target))
    }

    /// A POST of JSON.
    #[track_caller]
    pub(crate) fn post(&self, target: impl Into<String>, body: &Value) -> Answer {
        self.ask(Ask::post(target).json(body))
    }

    /// A POST of nothing.
    #[track_caller]
    pub(crate) fn act(&self, target: impl Into<String>) -> Answer {
        self.ask(Ask::post(target))
    }

    /// Submits a job of an app with a text; gives its number.
    #[track_caller]
    pub(crate) fn submit(&self, app: &str, input: &str) -> i64 {
        let answer = self.post("/api/v1/jobs", &json!({ "app": app, "input": input }));
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.id()
    }

    /// A job.
    #[track_caller]
    pub(crate) fn job(&self, id: i64) -> Value {
        let answer = self.get(format!("/api/v1/jobs/{id}"));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// A job when it has ended.
    #[track_caller]
    pub(crate) fn ended(&self, id: i64) -> Value {
        wait_for(LONG, "the end of a job", || {
            let ask = Ask::get(format!("/api/v1/jobs/{id}")).header("Prefer", "wait=10");
            let job = self.ask(ask).json();
            matches!(job["status"].as_str(), Some("completed" | "failed")).then_some(job)
        })
    }

    /// What a job made, which is text and small.
    #[track_caller]
    pub(crate) fn output(&self, id: i64) -> String {
        let job = self.ended(id);
        assert_eq!(job["status"], "completed", "{job:#}");
        let answer = self.get(format!("/api/v1/jobs/{id}/results"));
        assert_eq!(answer.status, 200, "{answer:?}");
        let outputs = answer.json()["outputs"].clone();
        outputs[0]["text"].as_str().unwrap_or_else(|| panic!("{outputs:#}")).to_owned()
    }

    /// Waits until a job stands so.
    #[track_caller]
    pub(crate) fn until(&self, id: i64, status: &str) -> Value {
        wait_for(LONG, status, || Some(self.job(id)).filter(|job| job["status"] == status))
    }
}

/// Whether a process of this number is there.
pub(crate) fn is_there(pid: &str) -> bool {
    handover_testkit::process::is_running(pid.trim().parse().unwrap())
}

/// A client that believes this authority alone, and shows a certificate where it has one.
pub(crate) fn client(authority: &Authority, shows: Option<(String, String)>) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(authority.trusted());
    match shows {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let cert = CertificateDer::from_pem_slice(cert.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![cert], key).unwrap()
        }
    }
}

/// A server that speaks TLS, and where.
pub(crate) fn serve_by_tls(site: &Site) -> (Running, SocketAddr) {
    let listens = "the API listens: https://";
    let mut run = site.project.start(&["run", "-v"]);
    run.says_within(LONG, listens);
    let address = run.stderr().split(listens).nth(1).unwrap().split('/').next().unwrap().parse().unwrap();
    (run, address)
}
