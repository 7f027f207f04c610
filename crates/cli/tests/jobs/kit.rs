//! A project whose jobs these tests submit, as the API does: checked against the app's contract, and put into the ledger.

use handover_core::{Delivery, DeliveryId, Kind, NewDelivery, Status};
use handover_ledger::{NewJob, Submitted};
use handover_runtime::config::Config;
use handover_runtime::operations::jobs::{Contracts, JobInput, Refused, Submission, prepare};
use handover_testkit::process::wait_for;
use handover_testkit::{Project, Running};
use serde_json::Value;
use std::time::Duration;

/// Longer than anything here takes, on a machine that does much else.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A project with its ledger open in this process too.
pub(crate) struct Jobs {
    pub(crate) project: Project,
    pub(crate) opened: handover_runtime::Project,
    contracts: Contracts,
    tokio: tokio::runtime::Runtime,
}

impl Jobs {
    /// With these apps, and these files in the project's folder.
    pub(crate) fn new(configuration: &str, files: &[(&str, &str)]) -> Self {
        let project = Project::new(env!("CARGO_BIN_EXE_handover"), configuration);
        for (name, content) in files {
            project.write(name, content);
        }
        let config = Config::load(&project.join("handover.yaml")).unwrap();
        let contracts = Contracts::new(&config).unwrap();
        let opened = handover_runtime::Project::open(config).unwrap();
        let tokio =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Self { project, opened, contracts, tokio }
    }

    /// What comes of asking for a job.
    pub(crate) fn ask(
        &self,
        app: &str,
        config: Value,
        input: Option<JobInput>,
    ) -> Result<DeliveryId, Vec<String>> {
        let submission = Submission {
            app: app.to_owned(),
            config,
            input,
            webhook: None,
            priority: 0,
            run_at: None,
            trace: None,
        };
        self.tokio.block_on(async {
            let delivery = match prepare(&self.opened, &self.contracts, submission).await {
                Ok(delivery) => delivery,
                Err(Refused::Invalid(details)) => {
                    return Err(details.iter().map(|one| format!("{} {}", one.field, one.issue)).collect());
                }
                Err(Refused::NoSuchApp(error) | Refused::Failed(error)) => {
                    return Err(vec![error.to_string()]);
                }
            };
            let job =
                NewJob { delivery, caller: "test".to_owned(), key: None, caller_max: None, queue_max: None };
            match self.opened.ledger.submit(vec![job]).await.unwrap()[..] {
                [Submitted::New { id, .. }] => Ok(id),
                ref other => panic!("{other:?}"),
            }
        })
    }

    /// Whether nobody is in the middle of a transaction that writes.
    pub(crate) fn is_unlocked(&self) -> bool {
        let ledger = rusqlite::Connection::open(self.project.join("data/.handover/ledger.db")).unwrap();
        ledger.busy_timeout(Duration::ZERO).unwrap();
        ledger.execute_batch("BEGIN IMMEDIATE; ROLLBACK").is_ok()
    }

    /// Submits a job that nothing is wrong with.
    #[track_caller]
    pub(crate) fn submit(&self, app: &str, config: Value, input: Option<JobInput>) -> DeliveryId {
        self.ask(app, config, input).unwrap()
    }

    /// Why a job is refused.
    #[track_caller]
    pub(crate) fn refused(&self, app: &str, config: Value, input: Option<JobInput>) -> Vec<String> {
        self.ask(app, config, input).unwrap_err()
    }

    /// `handover run`, on from now on.
    pub(crate) fn run(&self) -> Running {
        self.project.start(&["run", "-v"])
    }

    /// Works until nothing is runnable.
    #[track_caller]
    pub(crate) fn once(&self) -> Running {
        let mut run = self.project.start(&["run", "--once", "-v"]);
        run.end_within(LONG);
        run
    }

    /// How a delivery stands.
    pub(crate) fn get(&self, id: DeliveryId) -> Delivery {
        self.tokio.block_on(self.opened.ledger.get(id)).unwrap().unwrap()
    }

    /// Pushes a record.
    pub(crate) fn push(&self, app: &str, data: Value) {
        let record = NewDelivery::new(Kind::Record, "test", Some(app.to_owned()), data);
        self.tokio.block_on(self.opened.ledger.push("test", vec![record])).unwrap();
    }

    /// Runs a command to its end; gives its answer as JSON.
    #[track_caller]
    pub(crate) fn json(&self, words: &[&str]) -> Value {
        let mut run = self.project.start(words);
        let status = run.end_within(LONG);
        assert!(status.success(), "{}", run.stderr());
        serde_json::from_str(&run.stdout()).unwrap()
    }

    /// The deliveries of which this holds.
    pub(crate) fn list(&self, filter: handover_ledger::Filter) -> Vec<Delivery> {
        self.tokio.block_on(self.opened.ledger.list(filter)).unwrap()
    }

    /// Waits until it stands so.
    #[track_caller]
    pub(crate) fn until(&self, id: DeliveryId, status: Status) -> Delivery {
        wait_for(LONG, status.as_str(), || Some(self.get(id)).filter(|one| one.status == status))
    }

    /// Waits until it has ended.
    #[track_caller]
    pub(crate) fn ended(&self, id: DeliveryId) -> Delivery {
        let ended = |one: &Delivery| !matches!(one.status, Status::Pending | Status::Processing);
        wait_for(LONG, "its end", || Some(self.get(id)).filter(ended))
    }

    /// What it answered, kept in its row.
    #[track_caller]
    pub(crate) fn output(&self, id: DeliveryId) -> String {
        let job = self.ended(id);
        assert_eq!(job.status, Status::Completed, "{job:?}");
        job.result.unwrap()["output"]["text"].as_str().unwrap().to_owned()
    }

    /// The lines that its program said.
    pub(crate) fn lines(&self, id: DeliveryId) -> Vec<String> {
        let lines = self.tokio.block_on(self.opened.ledger.progress(id, 0, 10_000)).unwrap();
        lines.into_iter().map(|line| line.line).collect()
    }

    /// `handover cancel`; gives what it says.
    #[track_caller]
    pub(crate) fn cancel(&self, id: DeliveryId) -> String {
        let mut run = self.project.start(&["cancel", &id.to_string()]);
        let status = run.end_within(LONG);
        assert!(status.success(), "{}", run.stderr());
        run.stdout()
    }

    /// Waits for a file of the project, and gives what is in it.
    #[track_caller]
    pub(crate) fn file(&self, name: &str) -> String {
        wait_for(LONG, name, || {
            std::fs::read_to_string(self.project.join(name)).ok().filter(|text| !text.is_empty())
        })
    }
}

/// A text as input.
pub(crate) fn text(text: &str, media_type: &str) -> Option<JobInput> {
    Some(JobInput::Text { text: text.to_owned(), media_type: Some(media_type.to_owned()) })
}

/// Whether a process of this number is there.
pub(crate) fn is_there(pid: &str) -> bool {
    std::path::Path::new("/proc").join(pid.trim()).exists()
}
