//! Records that wait for too long, failed deliveries that nobody has seen to, apps that are paused for long, notices that are not
//! delivered.

use super::{Failures, LOOKED_AT, Looking, Verdict, Waits, many, whole};
use crate::config::Enters;
use crate::operations::times::number;
use handover_core::units::format_duration;
use handover_core::{Delivery, DeliveryId, ErrorKind, Kind, Result, Status};
use handover_ledger::{AppCount, Filter, Queue};
use std::collections::{BTreeMap, BTreeSet};

/// So many notices are told of.
const NOTICES_MAX: usize = 100;

/// What failed, by app and by whether its input is bad.
type Found = BTreeMap<(String, bool), Failures>;

/// Adds a failure that stands for so many; the first that is added is the newest.
fn add(found: &mut Found, app: String, one: &Delivery, count: u64) {
    let quarantined = is_quarantined(one);
    let known = found.entry((app.clone(), quarantined)).or_insert_with(|| Failures {
        app,
        count: 0,
        quarantined,
        newest: one.id,
        error: one.last_error.clone().unwrap_or_else(|| "no reason is known".to_owned()),
        since: one.updated_at,
    });
    known.count += count;
    known.since = known.since.min(one.processed_at.unwrap_or(one.updated_at));
}

impl Looking<'_> {
    /// Records that wait for too long; what is gathered later by configuration, or pulled by others, waits too.
    pub(super) async fn waiting_records(&mut self, counts: &[AppCount]) -> Result<()> {
        let doors = self.project.config.doors();
        let limit = self.limit(self.project.config.health.records);
        let mut late = Vec::new();
        for one in
            counts.iter().filter(|c| c.kind == Kind::Record && c.status == Status::Pending && c.count > 0)
        {
            let waiting = self.project.ledger.waiting(Queue::Records, &one.app, 1).await?;
            let Some(oldest) = waiting.oldest.filter(|oldest| *oldest <= limit) else { continue };
            let known = self.project.config.app(&one.app);
            let who = match known.map(|app| doors.enters(&app.name)) {
                None | Some(Enters::Waits) => "whoever pulls them",
                Some(Enters::Gathered(_)) => "being gathered",
                Some(_) => "its app",
            };
            let age = format_duration(whole(self.age(oldest)));
            let text = format!("{} of {} ({age}, for {who})", number(one.count), one.app);
            late.push(Waits { app: one.app.clone(), count: one.count, since: oldest, text });
        }
        let after = format_duration(self.older.unwrap_or(self.project.config.health.records));
        match late.is_empty() {
            true => {
                self.add("records", Verdict::Pass, format!("no record waits for {after} or longer"), None)
            }
            false => {
                let all: Vec<&str> = late.iter().map(|late| late.text.as_str()).collect();
                let text = format!("records wait for {after} or longer: {}", all.join("; "));
                self.add("records", Verdict::Warn, text, Some("handover status".to_owned()));
            }
        }
        self.waiting = late;
        Ok(())
    }

    /// Failed deliveries that nobody has seen to: neither retried, nor replayed, nor archived.
    pub(super) async fn failed(&mut self, counts: &[AppCount]) -> Result<()> {
        self.failures = self.open_failures(counts).await?;
        let open: u64 = self.failures.iter().map(|one| one.count).sum();
        if open == 0 {
            self.add("failed", Verdict::Pass, "no failed delivery waits for anybody", None);
            return Ok(());
        }
        let by_app: Vec<String> = self
            .failures
            .iter()
            .map(|one| {
                let where_to = if one.quarantined { ", in quarantine" } else { "" };
                format!("{} of {}{where_to}", number(one.count), one.app)
            })
            .collect();
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

    /// The failed that nobody has seen to, by app and by whether their input is bad.
    async fn open_failures(&self, counts: &[AppCount]) -> Result<Vec<Failures>> {
        let all: u64 = counts.iter().filter(|c| c.status == Status::Failed).map(|c| c.count).sum();
        if all == 0 {
            return Ok(Vec::new());
        }
        let ledger = &self.project.ledger;
        let failed = ledger.failed_lately(LOOKED_AT).await?;
        let replayed: BTreeSet<DeliveryId> =
            ledger.replayed(failed.iter().map(|one| one.id).collect()).await?.into_iter().collect();
        let mut found = Found::new();
        let mut seen: BTreeMap<String, u64> = BTreeMap::new();
        for one in &failed {
            let app = one.target_app.clone().unwrap_or_default();
            *seen.entry(app.clone()).or_default() += 1;
            if !replayed.contains(&one.id) {
                add(&mut found, app, one, 1);
            }
        }
        // Of those that were not looked at one by one it is known how many they are.
        if failed.len() >= LOOKED_AT {
            let mut stand: BTreeMap<&str, u64> = BTreeMap::new();
            for count in counts.iter().filter(|c| c.status == Status::Failed) {
                *stand.entry(&count.app).or_default() += count.count;
            }
            for (app, stands) in stand {
                let more = stands.saturating_sub(seen.get(app).copied().unwrap_or(0));
                if more > 0 {
                    self.add_older(&mut found, app, more).await?;
                }
            }
        }
        Ok(found.into_values().collect())
    }

    /// Adds those of an app that failed before all that were looked at.
    async fn add_older(&self, found: &mut Found, app: &str, more: u64) -> Result<()> {
        if let Some(known) = found.values_mut().find(|one| one.app == app) {
            known.count += more;
            return Ok(());
        }
        let newest =
            Filter { app: Some(app.to_owned()), status: Some(Status::Failed), limit: 1, ..Filter::default() };
        if let Some(one) = self.project.ledger.list(newest).await?.first() {
            add(found, app.to_owned(), one, more);
        }
        Ok(())
    }

    /// Apps that are paused for so long that they may have been forgotten.
    pub(super) async fn paused(&mut self) -> Result<()> {
        let paused = self.project.ledger.paused().await?;
        let long: Vec<String> = paused
            .iter()
            .filter(|pause| self.age(pause.since) >= self.project.config.health.paused)
            .map(|pause| {
                format!(
                    "{} for {}, by {}",
                    pause.app,
                    format_duration(whole(self.age(pause.since))),
                    pause.by
                )
            })
            .collect();
        match (long.is_empty(), paused.len()) {
            (true, 0) => self.add("paused", Verdict::Pass, "no app is paused", None),
            (true, count) => {
                self.add("paused", Verdict::Pass, many(count, "app is paused", "apps are paused"), None)
            }
            (false, _) => {
                let text = format!("paused for long: {}", long.join("; "));
                self.add("paused", Verdict::Warn, text, Some("handover resume APP".to_owned()));
            }
        }
        Ok(())
    }

    /// Notices that could not be delivered. Nothing is said where nobody is to be told.
    pub(super) async fn notices(&mut self) -> Result<()> {
        let waiting = self.project.ledger.notices(NOTICES_MAX).await?;
        let failed: Vec<_> = waiting.iter().filter_map(|one| Some((one, one.error.as_deref()?))).collect();
        if self.project.config.targets.is_empty() && failed.is_empty() {
            return Ok(());
        }
        let Some((first, error)) = failed.first() else {
            self.add("notices", Verdict::Pass, "every notice was delivered", None);
            return Ok(());
        };
        let text = format!(
            "{} not delivered, the first to {} after {}: {error}",
            many(failed.len(), "notice is", "notices are"),
            first.target,
            many(usize::try_from(first.attempts).unwrap_or(usize::MAX), "attempt", "attempts"),
        );
        self.add(
            "notices",
            Verdict::Warn,
            text,
            Some("correct `notify:`; it is tried again by itself".to_owned()),
        );
        Ok(())
    }
}

/// Whether it failed because what it is to read is bad: then that lies in quarantine, and no retry helps.
fn is_quarantined(failed: &Delivery) -> bool {
    let code = failed.result.as_ref().and_then(|result| result.get("code")).and_then(|code| code.as_str());
    // One that was refused when it arrived was never begun.
    let refused = failed.attempts == 0 && failed.kind == Kind::File && code.is_none();
    let cancelled = failed.last_error.as_deref().is_some_and(|why| why.starts_with("cancelled by"));
    code == Some(ErrorKind::BadData.code()) || (refused && !cancelled)
}
