//! Whether all is well: a check for each point where data changes hands, each with a verdict, a sentence, and what to do.
//!
//! It only looks. A check that cannot be made is a failed one and says why: an operator must never read "pass" where nobody
//! looked. What waits longer than a time is *stuck*; retained checkpoints are not, because nobody waits for them.

mod services;

use super::plan::{Fate, plan};
use super::running::running;
use super::storage::concerns;
use super::times::number;
use super::why;
use crate::config::{Enters, LedgerAddress};
use crate::delivery::payload::FilePayload;
use crate::project::Project;
use handover_core::units::{format_duration, format_size};
use handover_core::{Delivery, Kind, Result, Status};
use handover_file::disk;
use handover_ledger::{AppCount, Filter, Queue};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use std::path::Path;
use std::time::Duration;

/// So many deliveries are looked at, of each sort.
const LOOKED_AT: usize = 1_000;
/// So many stuck files are explained one by one.
const EXPLAINED: usize = 20;
/// A lease that has run out is taken back within seconds; after so long nobody does.
const LEASE_OVERDUE: SignedDuration = SignedDuration::from_secs(30);
/// Clocks that differ by more confuse whoever compares times.
const SKEW_MAX: SignedDuration = SignedDuration::from_secs(5);
/// With less than one part in so many free, a disk fills up soon.
const FREE_ONE_IN: u64 = 10;

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
}

/// Looks at everything. What waits for `stuck_after` or longer is stuck.
pub async fn health(project: &Project, stuck_after: Duration) -> Health {
    let now = project.clock.now();
    let limit = now.checked_sub(stuck_after).unwrap_or(Timestamp::MIN);
    let mut looking = Looking { project, now, limit, stuck_after, checks: Vec::new(), stuck: Vec::new() };
    if let Some(counts) = looking.ledger().await {
        let looked = looking.stuck_files().await;
        looking.or_failed("stuck files", looked);
        let looked = looking.waiting_records(&counts).await;
        looking.or_failed("records", looked);
        let looked = looking.failed(&counts).await;
        looking.or_failed("failed", looked);
        let looked = looking.leases().await;
        looking.or_failed("leases", looked);
        let looked = looking.storage().await;
        looking.or_failed("storage", looked);
        looking.working(&counts);
    }
    looking.services().await;
    looking.room();
    looking.clock();
    let verdict = looking.checks.iter().map(|check| check.verdict).max().unwrap_or(Verdict::Pass);
    Health { verdict, at: now, checks: looking.checks, stuck: looking.stuck }
}

struct Looking<'a> {
    project: &'a Project,
    now: Timestamp,
    limit: Timestamp,
    stuck_after: Duration,
    checks: Vec<Check>,
    stuck: Vec<Stuck>,
}

impl Looking<'_> {
    fn add(&mut self, name: &'static str, verdict: Verdict, text: impl Into<String>, todo: Option<String>) {
        self.checks.push(Check { name, verdict, text: text.into(), todo });
    }

    /// A check that could not be made has failed.
    fn or_failed(&mut self, name: &'static str, looked: Result<()>) {
        if let Err(e) = looked {
            let todo = e.hint_text().map(str::to_owned);
            self.add(name, Verdict::Fail, format!("this could not be looked at: {e}"), todo);
        }
    }

    /// Whether the ledger answers; its counts.
    async fn ledger(&mut self) -> Option<Vec<AppCount>> {
        match self.project.ledger.counts().await {
            Ok(counts) => {
                self.add(
                    "ledger",
                    Verdict::Pass,
                    format!("{} answers", self.project.ledger.location()),
                    None,
                );
                Some(counts)
            }
            Err(e) => {
                let todo = e.hint_text().map(str::to_owned);
                self.add("ledger", Verdict::Fail, format!("the ledger does not answer: {e}"), todo);
                None
            }
        }
    }

    /// Files that wait for an app, or in front of an importer, for too long.
    async fn stuck_files(&mut self) -> Result<()> {
        let mut found: Vec<(Delivery, Timestamp)> = Vec::new();
        for status in [Status::Pending, Status::Processing] {
            let filter = Filter {
                kind: Some(Kind::File),
                status: Some(status),
                limit: LOOKED_AT,
                ..Filter::default()
            };
            let waiting = self.project.ledger.list(filter).await?;
            // What is being worked on is measured from its claim: a long run is not a stuck file before its timeout.
            let since =
                |one: &Delivery| if status == Status::Pending { one.created_at } else { one.updated_at };
            found.extend(waiting.into_iter().map(|one| (since(&one), one)).map(|(at, one)| (one, at)));
        }
        found.retain(|(one, since)| *since <= self.limit && one.deleted_at.is_none() && !self.runs_long(one));
        found.sort_by_key(|(_, since)| *since);
        for (nth, (delivery, since)) in found.iter().enumerate() {
            let reason = if nth < EXPLAINED { self.reason(delivery).await } else { String::new() };
            let path = self.path_of(delivery);
            let app = delivery.target_app.clone().unwrap_or_default();
            self.stuck.push(Stuck { path, app, delivery: Some(delivery.id.0), since: *since, reason });
        }
        self.in_front_of_importers().await?;
        let after = format_duration(self.stuck_after);
        match self.stuck.first() {
            None => {
                self.add("stuck files", Verdict::Pass, format!("no file waits for {after} or longer"), None)
            }
            Some(oldest) => {
                let text = format!(
                    "{} for {after} or longer, the first for {}: {}",
                    many(self.stuck.len(), "file waits", "files wait"),
                    oldest.app,
                    oldest.reason
                );
                self.add("stuck files", Verdict::Warn, text, Some("handover health --stuck".to_owned()));
            }
        }
        Ok(())
    }

    /// Whether it is being worked on and its app's time limit has not passed.
    fn runs_long(&self, delivery: &Delivery) -> bool {
        let app = delivery.target_app.as_deref().and_then(|app| self.project.config.app(app));
        let until = app.and_then(|app| delivery.updated_at.checked_add(app.timeout).ok());
        delivery.status == Status::Processing && until.is_some_and(|until| until > self.now)
    }

    async fn reason(&self, delivery: &Delivery) -> String {
        let said = why::of(self.project, delivery.id).await;
        match said {
            Ok(said) => said.sentences.join(" "),
            Err(e) => e.to_string(),
        }
    }

    fn path_of(&self, delivery: &Delivery) -> String {
        let original =
            delivery.data.get("original").and_then(|original| original.as_str()).map(str::to_owned);
        let path = FilePayload::in_delivery(delivery).map(|payload| payload.path);
        match (original, path) {
            (Some(original), _) => original,
            (None, Some(path)) => self.project.data.root().join(path).display().to_string(),
            (None, None) => format!("delivery {}", delivery.id),
        }
    }

    async fn in_front_of_importers(&mut self) -> Result<()> {
        let looked = plan(&self.project.config, Some(self.project), self.now).await?;
        for found in looked.arrivals.into_iter().filter(|found| found.fate != Fate::Refused) {
            let path = self.project.config.base.join(&found.path);
            let written = std::fs::metadata(&path).and_then(|meta| meta.modified()).ok();
            let written = written.and_then(|at| Timestamp::try_from(at).ok());
            if let Some(since) = written.filter(|since| *since <= self.limit) {
                let reason = match found.fate {
                    Fate::Taken => format!("it is complete ({}), and nobody takes it", found.reason),
                    _ => found.reason,
                };
                self.stuck.push(Stuck {
                    path: path.display().to_string(),
                    app: found.app,
                    delivery: None,
                    since,
                    reason,
                });
            }
        }
        for text in looked.unreadable {
            self.add("folders", Verdict::Fail, text, Some("handover check".to_owned()));
        }
        Ok(())
    }

    /// Records that wait for too long; what is gathered later by configuration, or pulled by others, waits too.
    async fn waiting_records(&mut self, counts: &[AppCount]) -> Result<()> {
        let doors = self.project.config.doors();
        let after = format_duration(self.stuck_after);
        let mut late = Vec::new();
        for one in
            counts.iter().filter(|c| c.kind == Kind::Record && c.status == Status::Pending && c.count > 0)
        {
            let waiting = self.project.ledger.waiting(Queue::Records, &one.app, 1).await?;
            let Some(oldest) = waiting.oldest.filter(|oldest| *oldest <= self.limit) else { continue };
            let known = self.project.config.app(&one.app);
            let who = match known.map(|app| doors.enters(&app.name)) {
                None | Some(Enters::Waits) => "whoever pulls them",
                Some(Enters::Gathered(_)) => "being gathered",
                Some(_) => "its app",
            };
            let age = format_duration(self.now.duration_since(oldest).unsigned_abs());
            late.push(format!("{} of {} ({age}, for {who})", number(one.count), one.app));
        }
        match late.is_empty() {
            true => {
                self.add("records", Verdict::Pass, format!("no record waits for {after} or longer"), None)
            }
            false => {
                let text = format!("records wait for {after} or longer: {}", late.join("; "));
                self.add("records", Verdict::Warn, text, Some("handover status".to_owned()));
            }
        }
        Ok(())
    }

    /// Failed deliveries that nobody has seen to: neither retried, nor replayed, nor archived.
    async fn failed(&mut self, counts: &[AppCount]) -> Result<()> {
        let of = |c: &&AppCount| c.status == Status::Failed && c.count > 0;
        let all: u64 = counts.iter().filter(of).map(|c| c.count).sum();
        let mut open = all;
        if all > 0 && all <= LOOKED_AT as u64 {
            let filter = Filter { status: Some(Status::Failed), limit: LOOKED_AT, ..Filter::default() };
            for one in self.project.ledger.list(filter).await? {
                let replays =
                    Filter { replay_of: Some(one.id), archived: true, limit: 1, ..Filter::default() };
                if !self.project.ledger.list(replays).await?.is_empty() {
                    open = open.saturating_sub(1);
                }
            }
        }
        if open == 0 {
            self.add("failed", Verdict::Pass, "no failed delivery waits for anybody", None);
            return Ok(());
        }
        let by_app: Vec<String> =
            counts.iter().filter(of).map(|c| format!("{} of {}", number(c.count), c.app)).collect();
        let waits = many(
            usize::try_from(open).unwrap_or(usize::MAX),
            "failed delivery waits",
            "failed deliveries wait",
        );
        let text =
            format!("{waits} for somebody, neither retried, replayed nor archived: {}", by_app.join(", "));
        self.add("failed", Verdict::Warn, text, Some("handover list --status failed".to_owned()));
        Ok(())
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

    /// Room on the data directory's disk, and files left to make.
    fn room(&mut self) {
        // Of a project that never ran, the folder that it will be in.
        let root =
            self.project.data.root().ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
        match disk::space(root) {
            Err(e) => self.add("disk", Verdict::Fail, e.to_string(), None),
            Ok(space) => {
                let text = format!(
                    "{} of {} are free at {}",
                    format_size(space.free),
                    format_size(space.total),
                    root.display()
                );
                let inodes = space
                    .inodes_free
                    .map(|free| format!(", {} files can be made", number(free)))
                    .unwrap_or_default();
                let text = format!("{text}{inodes}");
                if disk::low(&space) {
                    self.add(
                        "disk",
                        Verdict::Fail,
                        format!("{text}: nothing new is begun"),
                        Some("make room".to_owned()),
                    );
                } else if space.free < space.total / FREE_ONE_IN {
                    self.add(
                        "disk",
                        Verdict::Warn,
                        text,
                        Some("make room, or `handover archive --older 30d`".to_owned()),
                    );
                } else {
                    self.add("disk", Verdict::Pass, text, None);
                }
            }
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

fn many(how_many: usize, one: &str, several: &str) -> String {
    format!("{} {}", number(how_many as u64), if how_many == 1 { one } else { several })
}
