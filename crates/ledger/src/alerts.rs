//! Alerts: what is wrong now, since when, and who was told of it. A look at everything raises and ends them; what is to be told
//! becomes a notice for a target, which is delivered until it was delivered.
//!
//! Invariants: an alert has one row, by its key, whoever sees it; what is no longer seen has ended, and is not told of as wrong;
//! of many processes that ask at once, one gets what is to be told, and a notice is tried by one at a time. What is told and who
//! was told are one transaction, so a crash loses no notice; one between delivering it and noting that may deliver it twice.
//! What is decided here is pure; the backends read the rows, ask, and write what changed, while nobody else does.

use async_trait::async_trait;
use handover_core::clock::rfc3339;
use handover_core::{DeliveryId, Error, Result};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What sort of thing is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertKind {
    /// Deliveries of an app failed, and nobody has seen to them.
    Failed,
    /// Bad data of an app lies in quarantine.
    Quarantined,
    /// Something waits longer than it may.
    Stuck,
    /// What was expected came after its time, and is told of until the next.
    Late,
    /// What was expected by now has not come.
    Missing,
    /// What came has fewer rows than expected.
    Small,
    /// What came has the content of the one before.
    Same,
    /// The last that came is older than it may be.
    Old,
    /// A health check found something.
    Health,
}

impl AlertKind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Failed,
        Self::Quarantined,
        Self::Stuck,
        Self::Late,
        Self::Missing,
        Self::Small,
        Self::Same,
        Self::Old,
        Self::Health,
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Quarantined => "quarantined",
            Self::Stuck => "stuck",
            Self::Late => "late",
            Self::Missing => "missing",
            Self::Small => "small",
            Self::Same => "same",
            Self::Old => "old",
            Self::Health => "health",
        }
    }
}

impl std::fmt::Display for AlertKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for AlertKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            Error::config(format!("there is no kind of alert `{text}`")).hint(format!("one of {known}"))
        })
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Somebody should look at it.
    Warn,
    /// Work fails or stands still.
    Fail,
}

impl Severity {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

impl std::str::FromStr for Severity {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "warn" => Ok(Self::Warn),
            "fail" => Ok(Self::Fail),
            _ => Err(Error::config(format!("there is no severity `{text}`")).hint("one of warn, fail")),
        }
    }
}

/// Something wrong, as a look sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAlert {
    /// What tells it from all others, the same at each look, such as `failed:validator`.
    pub key: String,
    /// What sort of thing it is.
    pub kind: AlertKind,
    /// How bad it is.
    pub verdict: Severity,
    /// Whose it is.
    pub app: Option<String>,
    /// Which delivery it is about, where it is one.
    pub delivery: Option<DeliveryId>,
    /// Of how many it speaks; where that grows, it is told again.
    pub count: u64,
    /// What is wrong, for people.
    pub text: String,
    /// What to do about it.
    pub todo: String,
    /// Since when, where that is known; else since it was first seen.
    pub since: Option<Timestamp>,
    /// Whether the node that looks is the only one that can see it, as its own disk.
    pub local: bool,
}

/// What a node sees to be wrong.
#[derive(Debug, Clone)]
pub struct Look {
    /// The node's name.
    pub by: String,
    /// What it sees; of each key one.
    pub seen: Vec<NewAlert>,
    /// Whether it has looked at everything: what it could see and does not has then ended.
    pub whole: bool,
    /// Something that others may see too ends only when nobody has seen it for so long.
    pub patience: Duration,
}

/// What a look changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Looked {
    /// What is new, or wrong again: its keys.
    pub raised: Vec<String>,
    /// What is no longer wrong: its keys.
    pub ended: Vec<String>,
}

/// An alert, open or ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// What tells it from all others.
    pub key: String,
    /// What sort of thing it is.
    pub kind: AlertKind,
    /// How bad it is.
    pub verdict: Severity,
    /// Whose it is.
    pub app: Option<String>,
    /// Which delivery it is about, where it is one.
    pub delivery_id: Option<DeliveryId>,
    /// Of how many it speaks.
    pub count: u64,
    /// What is wrong, for people.
    pub text: String,
    /// What to do about it.
    pub todo: String,
    /// The node that alone sees it; empty where all see the same.
    pub seen_by: String,
    /// Since when it is wrong.
    pub since: Timestamp,
    /// When it was first seen.
    pub raised_at: Timestamp,
    /// When it was last seen.
    pub seen_at: Timestamp,
    /// When somebody was last told of it.
    pub told_at: Option<Timestamp>,
    /// Until when nobody is to be told that it is wrong.
    pub muted_until: Option<Timestamp>,
    /// Who said so.
    pub muted_by: Option<String>,
    /// When it was seen to be no longer wrong; none while it is.
    pub ended_at: Option<Timestamp>,
    /// What each target was told last.
    pub told: BTreeMap<String, Told>,
}

impl Alert {
    /// Whether it is wrong still.
    pub fn is_open(&self) -> bool {
        self.ended_at.is_none()
    }

    /// Whether nobody is to be told of it now.
    pub fn is_muted(&self, now: Timestamp) -> bool {
        self.muted_until.is_some_and(|until| until > now)
    }
}

/// What a target was told last of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// When.
    pub at: Timestamp,
    /// Of how many it spoke.
    pub count: u64,
    /// How bad it was.
    pub verdict: Severity,
    /// Whether it was told that it is wrong, and not yet that it has ended.
    pub open: bool,
}

/// A target of notifications, and of what it wants to be told.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its name, the same in all processes and after a restart.
    pub name: String,
    /// The kinds that it is told of.
    pub kinds: Vec<AlertKind>,
    /// Whether it is told when what it was told of has ended.
    pub recovered: bool,
    /// What is to be told waits so long for more of it.
    pub group: Duration,
    /// Of one alert it is told no more often than once in this time, but for its end.
    pub throttle: Duration,
}

/// What is said of an alert in a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Saying {
    /// It is wrong.
    Raised,
    /// It is worse than what was told.
    Worse,
    /// It is no longer wrong.
    Recovered,
}

/// A line of a notice: an alert as it was when the notice was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// What is said of it.
    pub says: Saying,
    /// The alert; `told` is left out.
    #[serde(flatten)]
    pub alert: Alert,
}

/// A message that is to be delivered to a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// Its number.
    pub id: i64,
    /// To whom.
    pub target: String,
    /// When it was made.
    pub made_at: Timestamp,
    /// When it is tried next.
    pub due_at: Timestamp,
    /// How often it was tried.
    pub attempts: u32,
    /// Why it was not delivered when it was tried last.
    pub error: Option<String>,
    /// What it says.
    pub lines: Vec<Line>,
}

/// What is wrong, and who is told. Every method is one transaction; every answer is durable. Times are the ledger's.
///
/// # Errors
/// As [`crate::Ledger`].
#[async_trait]
pub trait Alerts: Send + Sync {
    /// Notes what a node sees to be wrong, and ends what it no longer sees, where it has looked at everything.
    async fn look(&self, look: Look) -> Result<Looked>;

    /// The open alerts, the worst first and then the oldest; with a time those too that ended since, behind them.
    async fn alerts(&self, ended_since: Option<Timestamp>) -> Result<Vec<Alert>>;

    /// Until then nobody is told that this is wrong; none says that they are again. Returns whether there is such an open alert.
    async fn mute_alert(&self, actor: &str, key: &str, until: Option<Timestamp>) -> Result<bool>;

    /// Makes notices of what these targets are to be told now: of each at most one, with all that is to be told. Of processes
    /// that ask at once, one makes it. Returns how many it made.
    async fn make_notices(&self, targets: Vec<Target>) -> Result<usize>;

    /// Takes a notice that is due for one of these targets, and keeps it from others for so long.
    async fn take_notice(&self, targets: Vec<String>, lease: Duration) -> Result<Option<Notice>>;

    /// This notice was delivered.
    async fn notice_delivered(&self, id: i64) -> Result<()>;

    /// This notice was not delivered: why, and after how long it is tried again; none gives it up.
    async fn notice_failed(&self, id: i64, error: &str, again_after: Option<Duration>) -> Result<()>;

    /// The notices that are not delivered yet, oldest first, at most so many.
    async fn notices(&self, limit: usize) -> Result<Vec<Notice>>;

    /// Forgets the alerts that ended before this time. Returns how many.
    async fn forget_alerts(&self, ended_before: Timestamp) -> Result<u64>;
}

/// How many alerts are open at most; a look at more is cut, the worst first.
pub(crate) const OPEN_MAX: usize = 1_000;
/// What only one node can see, and nobody has seen for so long, has ended: the node has gone.
const NODE_GONE: SignedDuration = SignedDuration::from_hours(24);

/// Later by so much; the last time that there is where that is beyond all bounds.
pub(crate) fn later(at: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| at.checked_add(by).ok()).unwrap_or(Timestamp::MAX)
}

/// A time as the ledger keeps it.
pub(crate) fn kept(at: Timestamp) -> Timestamp {
    rfc3339(at).parse().unwrap_or(at)
}

/// What a look changes of the alerts that there are: the rows to write, and what is told of it.
pub(crate) fn looked(now: Timestamp, known: Vec<Alert>, look: Look) -> (Vec<Alert>, Looked) {
    let Look { by, mut seen, whole, patience } = look;
    seen.sort_by_key(|alert| std::cmp::Reverse(alert.verdict));
    seen.truncate(OPEN_MAX);
    let mut known: BTreeMap<String, Alert> =
        known.into_iter().map(|alert| (alert.key.clone(), alert)).collect();
    let (mut rows, mut done) = (Vec::new(), Looked::default());
    let mut keys = BTreeSet::new();
    for new in seen {
        if !keys.insert(new.key.clone()) {
            continue;
        }
        let before = known.remove(&new.key);
        if before.as_ref().is_none_or(|before| !before.is_open()) {
            done.raised.push(new.key.clone());
        }
        rows.push(seen_now(now, before, new, &by));
    }
    for mut alert in known.into_values().filter(|alert| whole && alert.is_open()) {
        let unseen = now.duration_since(alert.seen_at);
        let gone = match alert.seen_by.as_str() {
            "" => unseen >= SignedDuration::try_from(patience).unwrap_or(SignedDuration::MAX),
            node => node == by || unseen >= NODE_GONE,
        };
        if gone {
            alert.ended_at = Some(now);
            done.ended.push(alert.key.clone());
            rows.push(alert);
        }
    }
    (rows, done)
}

/// An alert that is seen now: as it was, where it is open; else begun anew, with what its targets know.
fn seen_now(now: Timestamp, before: Option<Alert>, new: NewAlert, by: &str) -> Alert {
    let since = kept(new.since.unwrap_or(now)).min(now);
    let told: BTreeMap<String, Told> = before.as_ref().map(|alert| alert.told.clone()).unwrap_or_default();
    let muted = before.as_ref().map(|alert| (alert.muted_until, alert.muted_by.clone()));
    let (muted_until, muted_by) = muted.unwrap_or_default();
    let told_at = before.as_ref().and_then(|alert| alert.told_at);
    let open = before.filter(Alert::is_open);
    Alert {
        key: new.key,
        kind: new.kind,
        verdict: new.verdict,
        app: new.app,
        delivery_id: new.delivery,
        count: new.count,
        text: new.text,
        todo: new.todo,
        seen_by: if new.local { by.to_owned() } else { String::new() },
        since: open.as_ref().map_or(since, |open| if new.since.is_some() { since } else { open.since }),
        raised_at: open.as_ref().map_or(now, |open| open.raised_at),
        seen_at: now,
        told_at,
        muted_until,
        muted_by,
        ended_at: None,
        told,
    }
}

/// What a target is to be told now, and the alerts as they are once it is; nothing while it waits for more.
pub(crate) fn to_tell(now: Timestamp, alerts: &[Alert], target: &Target) -> (Vec<Line>, Vec<Alert>) {
    let news: Vec<(Saying, Timestamp, &Alert)> =
        alerts.iter().filter_map(|alert| news(now, alert, target)).collect();
    let Some(first) = news.iter().map(|(_, at, _)| *at).min() else { return Default::default() };
    if later(first, target.group) > now {
        return Default::default();
    }
    let told = |alert: &Alert, open| Told { at: now, count: alert.count, verdict: alert.verdict, open };
    news.into_iter()
        .map(|(says, _, alert)| {
            let mut after = alert.clone();
            after.told.insert(target.name.clone(), told(alert, says != Saying::Recovered));
            after.told_at = Some(now);
            (Line { says, alert: Alert { told: BTreeMap::new(), ..alert.clone() } }, after)
        })
        .unzip()
}

/// What is new of this alert to this target, and since when it is.
fn news<'a>(now: Timestamp, alert: &'a Alert, target: &Target) -> Option<(Saying, Timestamp, &'a Alert)> {
    let told = alert.told.get(&target.name);
    if let Some(ended) = alert.ended_at {
        let was_told = told.is_some_and(|told| told.open);
        return (was_told && target.recovered).then_some((Saying::Recovered, ended, alert));
    }
    if !target.kinds.contains(&alert.kind) || alert.is_muted(now) {
        return None;
    }
    let quiet = |told: &Told| later(told.at, target.throttle) > now;
    match told {
        None => Some((Saying::Raised, alert.raised_at, alert)),
        Some(told) if quiet(told) => None,
        Some(told) if !told.open || told.at < alert.raised_at => {
            Some((Saying::Raised, alert.raised_at, alert))
        }
        Some(told) if alert.count > told.count || alert.verdict > told.verdict => {
            Some((Saying::Worse, later(told.at, target.throttle), alert))
        }
        Some(_) => None,
    }
}

/// The lines of a notice as the ledger keeps them.
pub(crate) fn body(lines: &[Line]) -> Result<String> {
    serde_json::to_string(lines).map_err(|e| Error::internal("a notice as JSON").because(e))
}

/// What the ledger kept as JSON.
pub(crate) fn parsed_json<T: for<'a> Deserialize<'a>>(text: &str) -> Result<T> {
    serde_json::from_str(text)
        .map_err(|e| Error::internal("what the ledger keeps of alerts cannot be read").because(e))
}

/// As JSON, whose fields are the columns of the table.
pub(crate) fn row(alert: &Alert) -> Result<String> {
    serde_json::to_string(alert).map_err(|e| Error::internal("an alert as JSON").because(e))
}
