//! What the ledger says of the whole at the moment: read at most once a second, and what is of a day every ten, however many
//! look.

use crate::fresh::Fresh;
use handover_core::{Delivery, Result, Status};
use handover_ledger::activity::{Activity, Counts, MINUTE};
use handover_ledger::{Alert, AlertKind, AppCount, Conserved, Filter, Pause};
use handover_runtime::Project;
use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// So old at most are the counts.
const FRESH: Duration = Duration::from_millis(900);
/// So old at most is what is counted over time: processes add to it every few seconds.
const FRESH_PAST: Duration = Duration::from_secs(10);
/// A day is drawn in steps of so many seconds.
pub(super) const STEP: u32 = 1_800;
/// A rate is that of so many minutes.
const RATE_MINUTES: i64 = 10;
/// So many of the newest failed deliveries are told.
const FAILED_MAX: usize = 60;
/// Of so many of those that wait longest it is looked for which app.
const DELAYED_LOOKED_AT: usize = 100;

/// Where many have failed, those among so many of the newest are told.
const LOOKED_THROUGH: usize = 20_000;

/// How everything stands.
#[derive(Debug)]
pub(super) struct Glance {
    /// How many deliveries stand where.
    pub(super) counts: Vec<AppCount>,
    /// Apps that are paused.
    pub(super) paused: Vec<Pause>,
    /// What is wrong, but what is muted.
    pub(super) alerts: Vec<Alert>,
    /// Since when the oldest waits that could be worked on, by app; where none could be, since when the oldest waits.
    pub(super) oldest: HashMap<String, Timestamp>,
}

impl Glance {
    /// How many stand so, of apps of which this holds.
    pub(super) fn how_many(&self, status: Status, of: impl Fn(&str) -> bool) -> u64 {
        let these = self.counts.iter().filter(|one| one.status == status && of(&one.app));
        these.map(|one| one.count).sum()
    }

    /// Whether a failure that nobody has seen to is told, to who sees these apps.
    pub(super) fn has_open_failures(&self, apps: Option<&[String]>) -> bool {
        self.alerts.iter().any(|alert| tells_of_failures(alert) && is_for(alert, apps))
    }

    async fn look(project: &Project) -> Result<Self> {
        let ledger = &project.ledger;
        let (counts, paused) = (ledger.counts().await?, ledger.paused().await?);
        let mut oldest = HashMap::new();
        for one in counts.iter().filter(|one| one.status == Status::Pending && one.count > 0) {
            if !oldest.contains_key(&one.app)
                && let Some(since) = ledger.oldest_pending(&one.app).await?
            {
                oldest.insert(one.app.clone(), since);
            }
        }
        let now = project.clock.now();
        let waits = |one: &&AppCount| one.status == Status::Pending && one.count > 0 && !one.app.is_empty();
        if counts.iter().filter(waits).any(|one| !oldest.contains_key(&one.app)) {
            // All that waits for an app is to be tried again later: that waits too, since it was handed over.
            for one in ledger.waiting_since(now, DELAYED_LOOKED_AT).await? {
                let app = one.target_app.unwrap_or_default();
                oldest.entry(app).or_insert(one.created_at);
            }
        }
        let mut alerts = ledger.alerts(None).await?;
        for alert in alerts.iter().filter(|alert| alert.kind == AlertKind::Stuck) {
            let waits = |app: &&String| counts.iter().filter(waits).any(|one| one.app == **app);
            if let Some(app) = alert.app.as_ref().filter(waits) {
                oldest.entry(app.clone()).or_insert(alert.since);
            }
        }
        alerts.retain(|alert| alert.muted_until.is_none_or(|until| until <= now));
        Ok(Self { counts, paused, alerts, oldest })
    }
}

/// What was counted over the last day.
#[derive(Debug)]
pub(super) struct Past {
    /// When the first step begins.
    pub(super) from: Timestamp,
    /// In steps of [`STEP`] seconds.
    pub(super) day: Vec<Activity>,
    /// The last minutes, by app.
    pub(super) recent: HashMap<String, Counts>,
    /// What each source handed over, and what became of it.
    pub(super) conserved: Vec<Conserved>,
}

impl Past {
    async fn look(project: &Project) -> Result<Self> {
        let (ledger, now) = (&project.ledger, project.clock.now());
        let from = now.checked_sub(SignedDuration::from_hours(24)).unwrap_or(Timestamp::UNIX_EPOCH);
        let until = now.checked_add(SignedDuration::from_mins(1)).unwrap_or(now);
        let day = ledger.activity(from, until, STEP, None).await?;
        let since = now.checked_sub(SignedDuration::from_mins(RATE_MINUTES)).unwrap_or(from);
        let minute = u32::try_from(MINUTE).unwrap_or(60);
        let mut recent: HashMap<String, Counts> = HashMap::new();
        for one in ledger.activity(since, until, minute, None).await? {
            recent.entry(one.app).or_default().add(&one.counts);
        }
        Ok(Self { from, day, recent, conserved: ledger.conservation().await? })
    }

    /// What was counted of the apps of which this holds, all together.
    pub(super) fn sum(&self, of: impl Fn(&str) -> bool) -> Counts {
        let mut sum = Counts::default();
        self.day.iter().filter(|one| of(&one.app)).for_each(|one| sum.add(&one.counts));
        sum
    }

    /// So many a minute, lately.
    pub(super) fn a_minute(count: u64) -> u64 {
        count.div_ceil(RATE_MINUTES.unsigned_abs())
    }
}

/// The last looks.
#[derive(Default)]
pub(super) struct Glances {
    now: Fresh<Glance>,
    past: Fresh<Past>,
}

impl Glances {
    /// A look of a moment ago, or of now.
    pub(super) async fn of(&self, project: &Project) -> Result<Arc<Glance>> {
        self.now.of(FRESH, async || Glance::look(project).await).await
    }

    /// A look at the last day, of some seconds ago, or of now.
    pub(super) async fn past(&self, project: &Project) -> Result<Arc<Past>> {
        self.past.of(FRESH_PAST, async || Past::look(project).await).await
    }
}

/// What has failed and nobody has seen to.
#[derive(Debug, Default)]
pub(super) struct Failed {
    /// The newest of them.
    pub(super) open: Vec<Delivery>,
    /// How many were looked at: those that were replayed are seen to.
    pub(super) looked_at: u64,
}

/// The newest failed deliveries of these apps that nobody has seen to; none is all.
pub(super) async fn failed(project: &Project, apps: Option<&[String]>) -> Result<Failed> {
    let filter = |app: &String| Filter {
        app: Some(app.clone()),
        status: Some(Status::Failed),
        limit: FAILED_MAX,
        ..Filter::default()
    };
    let mut found = Vec::new();
    match apps {
        None => found = project.ledger.failed_lately(FAILED_MAX).await?,
        Some(apps) => {
            for app in apps {
                found.extend(project.ledger.search(filter(app), LOOKED_THROUGH).await?.deliveries);
            }
        }
    }
    found.retain(|one| one.deleted_at.is_none());
    found.sort_by_key(|one| std::cmp::Reverse(one.updated_at));
    found.truncate(FAILED_MAX);
    let looked_at = found.len() as u64;
    if !found.is_empty() {
        let replayed = project.ledger.replayed(found.iter().map(|one| one.id).collect()).await?;
        found.retain(|one| replayed.binary_search(&one.id).is_err());
    }
    Ok(Failed { open: found, looked_at })
}

/// Whether an alert says that something failed.
pub(super) fn tells_of_failures(alert: &Alert) -> bool {
    matches!(alert.kind, AlertKind::Failed | AlertKind::Quarantined)
}

/// Whether an alert is for who sees these apps; one of no app is for who sees all.
pub(super) fn is_for(alert: &Alert, apps: Option<&[String]>) -> bool {
    match &alert.app {
        Some(app) => crate::visitor::sees(apps, app),
        None => apps.is_none(),
    }
}
