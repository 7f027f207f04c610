//! Whether all is well: a check for each point where data changes hands, each with a verdict, a sentence, and what to do.
//!
//! It only looks. A check that cannot be made is a failed one and says why: an operator must never read "pass" where nobody
//! looked. What waits longer than a time is *stuck*; retained checkpoints are not, because nobody waits for them.

mod expected;
mod nodes;
mod room;
mod services;
mod strays;
mod stuck;
mod waiting;

use super::expect::Finding;
use super::running::running;
use super::storage::concerns;
use super::times::number;
use crate::config::LedgerAddress;
use crate::project::Project;
use handover_core::units::format_duration;
use handover_core::{DeliveryId, Error, ErrorKind, Result, Status};
use handover_ledger::{AppCount, Filter};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use std::time::Duration;

/// So many deliveries are looked at, of each sort.
const LOOKED_AT: usize = 1_000;
/// So long the ledger may take to answer at all: its counts are kept, and whoever asks for health waits.
const ANSWERS: Duration = Duration::from_secs(5);
/// A lease that has run out is taken back within seconds; after so long nobody does.
const LEASE_OVERDUE: SignedDuration = SignedDuration::from_secs(30);
/// Clocks that differ by more confuse whoever compares times.
const SKEW_MAX: SignedDuration = SignedDuration::from_secs(5);

/// How a check came out; the worst one is that of the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// All is well.
    Pass,
    /// Somebody should look.
    Warn,
    /// Something does not work.
    Fail,
}

impl Verdict {
    /// The verdict in one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One check.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// How it came out.
    pub verdict: Verdict,
    /// What was seen.
    pub text: String,
    /// What to do: a command, or a sentence.
    pub todo: Option<String>,
}

/// A file that waits longer than it should.
#[derive(Debug, Clone, Serialize)]
pub struct Stuck {
    /// Its path: absolute.
    pub path: String,
    /// Who it waits for.
    pub app: String,
    /// Its delivery; none where it has not arrived.
    pub delivery: Option<i64>,
    /// Since when.
    pub since: Timestamp,
    /// Why, as `why` says it.
    pub reason: String,
}

/// Whether all is well.
#[derive(Debug, Clone, Serialize)]
pub struct Health {
    /// The worst of the checks.
    pub verdict: Verdict,
    /// When this was looked at.
    pub at: Timestamp,
    /// The checks.
    pub checks: Vec<Check>,
    /// Files that wait longer than they should.
    pub stuck: Vec<Stuck>,
    /// What failed and nobody has seen to, by app.
    #[serde(skip)]
    pub failures: Vec<Failures>,
    /// What was expected and is not as expected.
    #[serde(skip)]
    pub expected: Vec<Finding>,
    /// Apps whose records wait longer than they should.
    #[serde(skip)]
    pub waiting: Vec<Waits>,
    /// Whether all could be looked at: only then is what was not found not there.
    #[serde(skip)]
    pub whole: bool,
}

/// Deliveries of an app that failed, and that nobody has seen to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failures {
    /// The app.
    pub app: String,
    /// How many.
    pub count: u64,
    /// Whether their input is bad, and lies in quarantine.
    pub quarantined: bool,
    /// The newest of them.
    pub newest: DeliveryId,
    /// Why it failed.
    pub error: String,
    /// Since when.
    pub since: Timestamp,
}

/// Records that wait longer than they should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waits {
    /// For which app.
    pub app: String,
    /// How many wait.
    pub count: u64,
    /// Since when the oldest does.
    pub since: Timestamp,
    /// What is said of it.
    pub text: String,
}

/// Looks at everything, by the times of the configuration.
pub async fn look(project: &Project) -> Health {
    look_for(project, None).await
}

/// Looks at everything. What waits for `stuck_after` or longer is stuck, whatever the configuration says.
pub async fn health(project: &Project, stuck_after: Duration) -> Health {
    look_for(project, Some(stuck_after)).await
}

/// What failed and nobody has seen to; nothing else is looked at.
///
/// # Errors
/// Where the ledger cannot be read.
pub(crate) async fn failures(project: &Project) -> Result<Health> {
    let counts = project.ledger.counts().await?;
    let mut looking = Looking::new(project, None);
    looking.failed(&counts).await?;
    Ok(looking.done())
}

async fn look_for(project: &Project, older: Option<Duration>) -> Health {
    let mut looking = Looking::new(project, older);
    let counts = looking.ledger().await;
    if let Some(counts) = &counts {
        let looked = looking.stuck_files().await;
        looking.or_failed("stuck files", looked);
        let looked = looking.strays().await;
        looking.or_failed("unknown", looked);
        let looked = looking.waiting_records(counts).await;
        looking.or_failed("records", looked);
        let looked = looking.failed(counts).await;
        looking.or_failed("failed", looked);
        let looked = looking.expected().await;
        looking.or_failed("expected", looked);
        let looked = looking.paused().await;
        looking.or_failed("paused", looked);
        let looked = looking.notices().await;
        looking.or_failed("notices", looked);
        let looked = looking.nodes().await;
        looking.or_failed("nodes", looked);
        let looked = looking.leases().await;
        looking.or_failed("leases", looked);
        let looked = looking.storage().await;
        looking.or_failed("storage", looked);
        looking.working(counts);
    }
    looking.services().await;
    looking.room(counts.is_some()).await;
    looking.clock();
    looking.done()
}

struct Looking<'a> {
    project: &'a Project,
    now: Timestamp,
    /// What waits for so long is stuck, where somebody asked for that.
    older: Option<Duration>,
    checks: Vec<Check>,
    stuck: Vec<Stuck>,
    failures: Vec<Failures>,
    expected: Vec<Finding>,
    waiting: Vec<Waits>,
    whole: bool,
}

impl<'a> Looking<'a> {
    fn new(project: &'a Project, older: Option<Duration>) -> Self {
        Looking {
            project,
            now: project.clock.now(),
            older,
            checks: Vec::new(),
            stuck: Vec::new(),
            failures: Vec::new(),
            expected: Vec::new(),
            waiting: Vec::new(),
            whole: true,
        }
    }

    fn done(self) -> Health {
        let verdict = self.checks.iter().map(|check| check.verdict).max().unwrap_or(Verdict::Pass);
        let Looking { now, checks, stuck, failures, expected, waiting, whole, .. } = self;
        Health { verdict, at: now, checks, stuck, failures, expected, waiting, whole }
    }

    /// What waited since before this is stuck.
    fn limit(&self, usual: Duration) -> Timestamp {
        self.now.checked_sub(self.older.unwrap_or(usual)).unwrap_or(Timestamp::MIN)
    }

    /// How long ago that was; nothing where it lies ahead, as after a clock that jumped.
    fn age(&self, since: Timestamp) -> Duration {
        age(self.now, since)
    }

    fn add(&mut self, name: &'static str, verdict: Verdict, text: impl Into<String>, todo: Option<String>) {
        self.checks.push(Check { name, verdict, text: text.into(), todo });
    }

    /// A check that could not be made has failed.
    fn or_failed(&mut self, name: &'static str, looked: Result<()>) {
        if let Err(e) = looked {
            let todo = e.hint_text().map(str::to_owned);
            self.whole = false;
            self.add(name, Verdict::Fail, format!("this could not be looked at: {e}"), todo);
        }
    }

    /// Whether the ledger answers; its counts.
    async fn ledger(&mut self) -> Option<Vec<AppCount>> {
        let silent = || Error::new(ErrorKind::Io, format!("nothing came within {} s", ANSWERS.as_secs()));
        let counts = tokio::time::timeout(ANSWERS, self.project.ledger.counts()).await;
        match counts.unwrap_or_else(|_| Err(silent())) {
            Ok(counts) => {
                let location = self.project.ledger.location();
                if self.is_without_a_name() {
                    let text = format!(
                        "{location} is gone; what runs goes on in a file without a name, which ends with the last process"
                    );
                    let todo = "let it run, and put the file back: /proc/PID/fd of `handover run` has it";
                    self.add("ledger", Verdict::Fail, text, Some(todo.to_owned()));
                } else {
                    let text = format!("{location} answers, and its schema is up to date");
                    self.add("ledger", Verdict::Pass, text, None);
                }
                Some(counts)
            }
            Err(e) => {
                let todo = e.hint_text().map(str::to_owned);
                self.whole = false;
                self.add("ledger", Verdict::Fail, format!("the ledger does not answer: {e}"), todo);
                None
            }
        }
    }

    /// Whether the file of an embedded ledger was removed under those who work.
    fn is_without_a_name(&self) -> bool {
        let LedgerAddress::Sqlite(path) = &self.project.config.ledger else { return false };
        matches!(path.try_exists(), Ok(false))
            && running(&self.project.data).iter().any(|process| process.works)
    }

    /// Leases that have run out and that nobody takes back.
    async fn leases(&mut self) -> Result<()> {
        let filter = Filter { status: Some(Status::Processing), limit: LOOKED_AT, ..Filter::default() };
        let overdue = self.now.checked_sub(LEASE_OVERDUE).unwrap_or(Timestamp::MIN);
        let held = self.project.ledger.list(filter).await?;
        let lost = held.iter().filter(|one| one.lease_until.is_some_and(|until| until < overdue)).count();
        match lost {
            0 => self.add("leases", Verdict::Pass, "no lease has run out", None),
            lost => {
                let text = format!(
                    "{} run out, and nothing takes the work back",
                    many(lost, "lease has", "leases have")
                );
                self.add(
                    "leases",
                    Verdict::Warn,
                    text,
                    Some("handover run: any process takes it back".to_owned()),
                );
            }
        }
        Ok(())
    }

    async fn storage(&mut self) -> Result<()> {
        let found = concerns(&self.project.ledger.health().await?);
        if found.is_empty() {
            self.add("storage", Verdict::Pass, "the ledger's storage keeps up", None);
        }
        for concern in found {
            self.add("storage", Verdict::Warn, concern.text, None);
        }
        Ok(())
    }

    /// Whether anybody works, where there is work.
    fn working(&mut self, counts: &[AppCount]) {
        let here = running(&self.project.data).iter().filter(|process| process.works).count();
        let pending: u64 = counts
            .iter()
            .filter(|c| c.status == Status::Pending && self.project.config.app(&c.app).is_some())
            .map(|c| c.count)
            .sum();
        // Others may work on machines that share the ledger.
        let elsewhere = matches!(self.project.config.ledger, LedgerAddress::Postgres(_));
        match (here, pending) {
            (0, 0) => self.add("workers", Verdict::Pass, "nothing runs here, and nothing waits", None),
            (0, _) if elsewhere => self.add("workers", Verdict::Pass, "nothing runs on this machine", None),
            (0, pending) => {
                let text = format!("nothing runs, and {} waits", number(pending));
                self.add("workers", Verdict::Warn, text, Some("handover run".to_owned()));
            }
            (here, _) => self.add(
                "workers",
                Verdict::Pass,
                format!("{} here", many(here, "process works", "processes work")),
                None,
            ),
        }
    }

    /// Whether this machine's clock and the ledger's agree.
    fn clock(&mut self) {
        if matches!(self.project.config.ledger, LedgerAddress::Sqlite(_)) {
            return;
        }
        let skew = Timestamp::now().duration_since(self.project.clock.now()).abs();
        let shown = format_duration(skew.unsigned_abs());
        match skew > SKEW_MAX {
            true => {
                let text = format!("this machine's clock and the ledger's differ by {shown}");
                self.add("clock", Verdict::Warn, text, Some("keep the time with NTP on both".to_owned()));
            }
            false => self.add("clock", Verdict::Pass, "this machine's clock and the ledger's agree", None),
        }
    }
}

/// How long before `now` that was; nothing where it lies ahead, as after a clock that jumped.
pub(crate) fn age(now: Timestamp, since: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}

/// In whole minutes, where it is more than one.
pub(crate) fn whole(age: Duration) -> Duration {
    let seconds = age.as_secs();
    Duration::from_secs(if seconds >= 60 { seconds / 60 * 60 } else { seconds })
}

fn many(how_many: usize, one: &str, several: &str) -> String {
    format!("{} {}", number(how_many as u64), if how_many == 1 { one } else { several })
}
