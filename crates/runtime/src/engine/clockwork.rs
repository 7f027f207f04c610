//! Schedules: programs that run by the clock. Each due time runs once, however many processes watch the clock.
//!
//! A run that would overlap the one before is skipped; runs missed while nothing ran are said, not made up for,
//! but for `run --once`, which makes the last one that is due.

use super::ended;
use super::events::Event;
use super::pool::Busy;
use crate::config::{App, Routes, Schedule};
use crate::context::Context;
use crate::delivery::payload::JobPayload;
use handover_core::{Kind, NewDelivery, Result, Status, TypeName};
use handover_ledger::ScheduleMark;
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tracing::{info, warn};

/// More missed runs than this are not counted.
const MISSED_MAX: usize = 1_000;
/// The longest sleep: the machine's clock may be set meanwhile.
const SLEEP_MAX: Duration = Duration::from_secs(30);

/// The task of one scheduled app.
pub(crate) struct Clockwork {
    pub(crate) ctx: Arc<Context>,
    pub(crate) app: Arc<App>,
    pub(crate) schedule: Schedule,
    pub(crate) busy: Arc<AtomicUsize>,
    /// Counts what was seen to, so that `run --once` knows when it may end.
    pub(crate) rounds: Arc<AtomicUsize>,
    /// Whether a run that came due while nothing ran is made.
    pub(crate) catch_up: bool,
}

impl Clockwork {
    pub(crate) async fn serve(self, mut end: watch::Receiver<bool>) {
        let mut first = true;
        loop {
            let busy = Busy::begin(&self.busy);
            let pause = match self.round(first).await {
                Ok(pause) => pause,
                Err(e) => {
                    warn!(app = %self.app.name, "cannot see to the schedule: {e}; it is tried again");
                    Duration::from_secs(1)
                }
            };
            first = false;
            drop(busy);
            self.rounds.fetch_add(1, Ordering::SeqCst);
            tokio::select! {
                () = ended(&mut end) => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Sees to what is due; returns how long until the next look.
    async fn round(&self, first: bool) -> Result<Duration> {
        let ledger = &self.ctx.project.ledger;
        let now = self.ctx.project.clock.now();
        let Some(mark) = ledger.schedule_mark(self.app.name.as_str()).await? else {
            self.mark(now, None).await?;
            return Ok(self.until_next(now));
        };
        if let Some((due, last)) = due_between(&self.schedule, mark.last_due, now) {
            let runs = !first || self.catch_up;
            if !runs || !due.is_empty() {
                self.say_missed(&due, (!runs).then_some(last));
            }
            if runs { self.run(last).await? } else { self.mark(last, None).await.map(|_| ())? }
        }
        Ok(self.until_next(now))
    }

    fn until_next(&self, now: Timestamp) -> Duration {
        let next = self
            .schedule
            .next_after(now)
            .map(|next| Duration::try_from(next.duration_since(now)).unwrap_or_default());
        next.unwrap_or(SLEEP_MAX).clamp(Duration::from_millis(10), SLEEP_MAX)
    }

    fn say_missed(&self, earlier: &[Timestamp], last: Option<Timestamp>) {
        let missed: Vec<Timestamp> = earlier.iter().copied().chain(last).collect();
        let (Some(from), Some(to)) = (missed.first(), missed.last()) else { return };
        let count = missed.len();
        let text = if count == 1 {
            format!("{} missed its run of {from}: nothing was running then", self.app.name)
        } else {
            let more = if count > MISSED_MAX { " or more" } else { "" };
            format!(
                "{} missed {count}{more} runs from {from} to {to}: nothing was running then",
                self.app.name
            )
        };
        warn!(app = %self.app.name, "{text}");
        self.ctx.process.observer.tell(Event::Notice(text));
    }

    async fn run(&self, due: Timestamp) -> Result<()> {
        if self.is_running().await? {
            let text = format!("{} skipped its run of {due}: the one before has not ended", self.app.name);
            warn!(app = %self.app.name, "{text}");
            self.ctx.process.observer.tell(Event::Notice(text));
            return self.mark(due, None).await.map(|_| ());
        }
        let job = self.job(due)?;
        if let Some(id) = self.mark(due, Some(job)).await? {
            info!(app = %self.app.name, delivery = id.0, "{} is due ({due}): delivery {id}", self.app.name);
        }
        Ok(())
    }

    async fn is_running(&self) -> Result<bool> {
        let counts = self.ctx.project.ledger.counts().await?;
        Ok(counts.iter().any(|c| {
            c.app == self.app.name.as_str()
                && c.count > 0
                && matches!(c.status, Status::Pending | Status::Processing)
        }))
    }

    async fn mark(
        &self,
        due: Timestamp,
        job: Option<NewDelivery>,
    ) -> Result<Option<handover_core::DeliveryId>> {
        let mark = ScheduleMark { app: self.app.name.to_string(), last_due: due };
        self.ctx.project.ledger.schedule_due(&self.ctx.process.holder.0, mark, job).await
    }

    fn job(&self, due: Timestamp) -> Result<NewDelivery> {
        let date = due.to_zoned(self.schedule.timezone().clone()).date();
        job_for(&self.ctx.routes, &self.app, date, Some(due))
    }
}

/// The times that are due after `last`, the first [`MISSED_MAX`] of them, without the very last, and that one: however
/// many there are, it is the one to be run.
fn due_between(schedule: &Schedule, last: Timestamp, now: Timestamp) -> Option<(Vec<Timestamp>, Timestamp)> {
    let mut due = schedule.missed_between(last, now, MISSED_MAX);
    match due.len() {
        MISSED_MAX => {
            let latest = latest_before(schedule, due[MISSED_MAX - 1], now);
            due.extend(latest);
            due.pop().map(|latest| (due, latest))
        }
        _ => due.pop().map(|latest| (due, latest)),
    }
}

/// The last time after `after` and not after `now`: looked for in ever longer spans that end now, so that years of a
/// schedule of every minute are not walked through.
fn latest_before(schedule: &Schedule, after: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let mut span = SignedDuration::from_mins(1);
    loop {
        let from = now.checked_sub(span).unwrap_or(after).max(after);
        let next = |at: Timestamp| schedule.next_after(at).filter(|next| *next <= now);
        let latest = std::iter::successors(next(from), |at| next(*at)).last();
        if latest.is_some() || from <= after {
            return latest;
        }
        span = span.saturating_add(span);
    }
}

/// A delivery that has a source program run once.
pub(crate) fn job_for(
    routes: &Routes,
    app: &App,
    date: jiff::civil::Date,
    due: Option<Timestamp>,
) -> Result<NewDelivery> {
    let flows = routes.entry_flows(&app.name).to_vec();
    let type_name = app.type_name.clone().map_or_else(|| TypeName::new("output"), Ok)?;
    let payload = JobPayload {
        type_name,
        date,
        flows,
        due,
        config: app.with.clone().unwrap_or_default(),
        submitted: false,
        input: None,
        webhook: None,
    };
    let data = payload.to_value();
    Ok(NewDelivery {
        flow: payload.flows.first().cloned(),
        max_attempts: app.max_attempts(),
        ..NewDelivery::new(
            Kind::Job,
            if due.is_some() { "schedule" } else { "work" },
            Some(app.name.to_string()),
            data,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;

    #[test]
    fn of_however_many_runs_the_last_is_the_one_that_is_due() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let due = |pattern: &str, last: &str, now: &str| {
            due_between(&Schedule::new(pattern, TimeZone::UTC).unwrap(), at(last), at(now))
        };
        assert_eq!(due("* * * * *", "2025-01-01T00:00:00Z", "2025-01-01T00:00:30Z"), None);
        let (earlier, last) = due("* * * * *", "2025-01-01T00:00:00Z", "2025-01-01T00:03:30Z").unwrap();
        assert_eq!((earlier.len(), last), (2, at("2025-01-01T00:03:00Z")));
        for now in ["2025-01-03T00:00:30Z", "2035-01-03T00:00:30Z"] {
            let (earlier, last) = due("* * * * *", "2025-01-01T00:00:00Z", now).unwrap();
            assert_eq!((earlier.len(), last), (MISSED_MAX, at(now) - SignedDuration::from_secs(30)), "{now}");
        }
        // The last of many lies long ago.
        let (earlier, last) = due("*/1 6 1 1 *", "2000-01-01T00:00:00Z", "2025-11-24T00:00:00Z").unwrap();
        assert_eq!((earlier.len(), last), (MISSED_MAX, at("2025-01-01T06:59:00Z")));
        // Exactly so many.
        let (earlier, last) = due("* * * * *", "2025-01-01T00:00:00Z", "2025-01-01T16:40:00Z").unwrap();
        assert_eq!((earlier.len(), last), (MISSED_MAX - 1, at("2025-01-01T16:40:00Z")));
    }
}
