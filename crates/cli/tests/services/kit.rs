//! A project with a service app `bill` between an importer and an exporter, and the service.

use handover_testkit::process::wait_for;
use handover_testkit::{Asked, HttpServer, Project, Reply, Running, files_below};
use serde_json::Value;
use std::time::Duration;

/// Longer than anything here takes, on a machine that does much else.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A project and its service.
pub(crate) struct Site {
    pub(crate) project: Project,
    pub(crate) server: HttpServer,
}

impl Site {
    /// Files go to `bill`, whose declaration has `more` beside its address, and what it answers is exported.
    pub(crate) fn new(more: &str, answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let flow = "in -> bill -> out";
        Self::with(more, "", flow, answer)
    }

    /// The same with more apps, and another flow.
    pub(crate) fn with(
        more: &str,
        apps: &str,
        flow: &str,
        answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let server = HttpServer::start(answer);
        let configuration = configuration(&server.url(), more, apps, flow);
        let project = Project::new(env!("CARGO_BIN_EXE_handover"), &configuration);
        std::fs::create_dir_all(project.join("incoming")).unwrap();
        Self { project, server }
    }

    /// `run --once` to its end; its exit code.
    #[track_caller]
    pub(crate) fn once(&self) -> i32 {
        let mut run = self.project.start(&["run", "--once", "-v"]);
        run.end_within(LONG).code().unwrap()
    }

    /// A daemon.
    pub(crate) fn run(&self) -> Running {
        self.project.start(&["run", "-v"])
    }

    /// What a command prints, whatever its exit code.
    #[track_caller]
    pub(crate) fn prints(&self, words: &[&str]) -> String {
        let mut run = self.project.start(words);
        run.end_within(LONG);
        run.stdout()
    }

    /// The same with `--json`.
    #[track_caller]
    pub(crate) fn json(&self, words: &[&str]) -> Value {
        let text = self.prints(&[words, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{words:?}: {e}: {text}"))
    }

    /// The names of the files that the service's answers became.
    pub(crate) fn made(&self) -> Vec<String> {
        self.files("data/bill").into_iter().map(|(name, _)| name).collect()
    }

    /// What was exported: name and content.
    pub(crate) fn exported(&self) -> Vec<(String, String)> {
        self.files("outgoing")
    }

    fn files(&self, folder: &str) -> Vec<(String, String)> {
        let files = files_below(&self.project.join(folder)).into_iter();
        let files = files.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), path));
        files
            .filter(|(name, _)| !name.ends_with(".meta.json") && !name.starts_with('.'))
            .map(|(name, path)| (name, std::fs::read_to_string(path).unwrap()))
            .collect()
    }

    /// Waits until something was exported.
    #[track_caller]
    pub(crate) fn exports(&self) -> Vec<(String, String)> {
        wait_for(LONG, "an export", || Some(self.exported()).filter(|files| !files.is_empty()))
    }

    /// The deliveries of an app, as `list` has them.
    #[track_caller]
    pub(crate) fn deliveries(&self, app: &str) -> Vec<Value> {
        let list = self.json(&["list", "--app", app]);
        list.as_array().or_else(|| list["deliveries"].as_array()).unwrap_or_else(|| panic!("{list}")).clone()
    }
}

pub(crate) fn configuration(url: &str, more: &str, apps: &str, flow: &str) -> String {
    format!(
        "apps:
  in: {{ uses: file-importer, with: {{ from: incoming, pattern: '*', type: sales, settle: 0s }} }}
  bill: {{ url: '{url}'{more} }}
  out: {{ uses: file-exporter, with: {{ to: outgoing }} }}
{apps}
flows:
  f: {flow}
"
    )
}
