//! `ledger copy`: the whole history of one ledger into another, empty one, whatever their backends.
//!
//! A row travels as one JSON object with the columns that both backends have; its `data` and `result` lie in it as JSON,
//! its times as RFC 3339, so that numbers keep every digit. The parts go one after the other, in pages, each page one
//! transaction of the target. The identity goes last.
//!
//! How many deliveries ever came where, what each source handed over and what of it was deleted travels as a count; what is live and archived is counted anew, so that
//! the sums of the copy say whether all of it came over.
//!
//! Invariants: the target must be empty; the source must not change meanwhile, or the copy is refused at its end.
//! On a crash the target has no identity of the source's and is not empty: it is to be dropped, and the copy begun anew.

use crate::activity;
use crate::api::Ledger;
use handover_core::{Error, ErrorKind, Result};

/// What the audit log says of some deliveries with following numbers that made the same move together.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct Entry {
    /// When, as RFC 3339.
    pub(crate) at: String,
    pub(crate) actor: String,
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) from_status: Option<String>,
    pub(crate) to_status: String,
    pub(crate) note: Option<String>,
}

/// How many rows go in one transaction.
const PAGE: usize = 500;

/// What a column holds, where it travels in its own way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Numbers and texts.
    Plain,
    /// A time.
    Time,
    /// JSON: it travels as its text within a text, so that every blank, digit and escape arrives as it was.
    Json,
    /// A list of texts: it travels as a JSON array.
    Texts,
}

/// A part of a ledger: a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Files and jobs.
    Deliveries,
    /// Records.
    Records,
    /// What has been archived.
    Archive,
    /// Reserved names.
    Names,
    /// Arrivals.
    Arrivals,
    /// The audit log: a row is a transition of the deliveries from `first` to `last`.
    Audit,
    /// Schedules.
    Schedules,
    /// Paused apps.
    Paused,
    /// Bulk loads.
    Loads,
    /// Rows of whole loads that have not ended.
    Aside,
    /// How much each source handed over, and how much of it was deleted.
    Sources,
    /// How many deliveries ever came where.
    Counts,
    /// What came to an end, and how fast, over time.
    Activity,
    /// Idempotency keys.
    Idempotency,
    /// Ends that were asked for and have not come.
    Cancellations,
    /// What programs said while they worked.
    Progress,
    /// API keys.
    Keys,
    /// Alerts, and who was told of them.
    Alerts,
    /// Notices that are not delivered yet.
    Notices,
    /// Sizes over time.
    Sizes,
    /// What people did that is no move of a delivery.
    Actions,
}

use Holds::{Json, Plain, Texts, Time};

/// The columns of a delivery, but for `archived_at`.
const DELIVERY: &[(&str, Holds)] = &[
    ("id", Plain),
    ("source_app", Plain),
    ("target_app", Plain),
    ("data", Json),
    ("status", Plain),
    ("created_at", Time),
    ("processed_at", Time),
    ("kind", Plain),
    ("updated_at", Time),
    ("created_by", Plain),
    ("deleted_at", Time),
    ("flow", Plain),
    ("priority", Plain),
    ("run_at", Time),
    ("attempts", Plain),
    ("max_attempts", Plain),
    ("lease_token", Plain),
    ("leased_by", Plain),
    ("lease_until", Time),
    ("dedup_key", Plain),
    ("order_key", Plain),
    ("parent_id", Plain),
    ("replay_of", Plain),
    ("last_error", Plain),
    ("trace", Plain),
    ("rescues", Plain),
    ("snoozes", Plain),
    ("result", Json),
];

impl Part {
    /// All parts, in the order in which they are copied.
    pub const ALL: [Self; 21] = [
        Self::Deliveries,
        Self::Records,
        Self::Archive,
        Self::Names,
        Self::Arrivals,
        Self::Schedules,
        Self::Paused,
        Self::Loads,
        Self::Aside,
        Self::Sources,
        Self::Counts,
        Self::Activity,
        Self::Idempotency,
        Self::Cancellations,
        Self::Progress,
        Self::Keys,
        Self::Alerts,
        Self::Notices,
        Self::Sizes,
        Self::Actions,
        Self::Audit,
    ];

    /// What it is called, for people.
    pub fn label(self) -> &'static str {
        match self {
            Self::Deliveries => "files and jobs",
            Self::Records => "records",
            Self::Archive => "archived deliveries",
            Self::Names => "names",
            Self::Arrivals => "arrivals",
            Self::Audit => "audit entries",
            Self::Schedules => "schedules",
            Self::Paused => "paused apps",
            Self::Loads => "loads",
            Self::Aside => "rows put aside",
            Self::Sources => "sources",
            Self::Counts => "counts",
            Self::Activity => "rows of activity",
            Self::Idempotency => "idempotency keys",
            Self::Cancellations => "cancellations",
            Self::Progress => "lines of progress",
            Self::Keys => "API keys",
            Self::Alerts => "alerts",
            Self::Notices => "notices",
            Self::Sizes => "sizes",
            Self::Actions => "actions",
        }
    }

    /// The table.
    pub(crate) fn table(self) -> &'static str {
        match self {
            Self::Deliveries => "deliveries",
            Self::Records => "data_staging",
            Self::Archive => "data_archive",
            Self::Names => "names",
            Self::Arrivals => "arrivals",
            Self::Audit => "audit_log",
            Self::Schedules => "schedules",
            Self::Paused => "paused_apps",
            Self::Loads => "loads",
            Self::Aside => "load_rows",
            Self::Sources => "sources",
            Self::Counts => "tally",
            Self::Activity => "activity",
            Self::Idempotency => "idempotency_keys",
            Self::Cancellations => "cancellations",
            Self::Progress => "progress",
            Self::Keys => "api_keys",
            Self::Alerts => "alerts",
            Self::Notices => "notices",
            Self::Sizes => "sizes",
            Self::Actions => "actions",
        }
    }

    /// The columns that order its rows and tell them apart.
    pub(crate) fn key(self) -> &'static [&'static str] {
        match self {
            Self::Deliveries | Self::Records | Self::Archive | Self::Arrivals | Self::Audit | Self::Keys => {
                &["id"]
            }
            Self::Notices | Self::Actions => &["id"],
            Self::Alerts => &["key"],
            Self::Sizes => &["what", "at"],
            Self::Names => &["folder", "stem"],
            Self::Schedules | Self::Paused => &["app"],
            Self::Loads => &["key"],
            Self::Aside => &["load_key", "at"],
            Self::Sources => &["source", "kind"],
            Self::Counts => &["app", "kind", "status"],
            Self::Activity => &["seconds", "at", "app", "kind"],
            Self::Idempotency => &["owner", "key"],
            Self::Cancellations => &["delivery_id"],
            Self::Progress => &["delivery_id", "seq"],
        }
    }

    /// The columns that travel; those of the audit log are each backend's own.
    pub(crate) fn columns(self) -> Vec<(&'static str, Holds)> {
        let plain = |names: &[&'static str]| names.iter().map(|name| (*name, Plain)).collect::<Vec<_>>();
        match self {
            Self::Deliveries | Self::Records => DELIVERY.to_vec(),
            Self::Archive => [DELIVERY, &[("archived_at", Time)]].concat(),
            Self::Names => {
                let columns = plain(&[
                    "folder",
                    "stem",
                    "delivery_id",
                    "slot",
                    "file_id",
                    "app",
                    "type",
                    "date",
                    "sequence",
                ]);
                [columns, vec![("created_at", Time)]].concat()
            }
            Self::Arrivals => {
                // The original's time of change is compared to the last digit: it travels as it is.
                let columns = plain(&[
                    "app",
                    "path",
                    "name",
                    "device",
                    "inode",
                    "size",
                    "mtime",
                    "delivery_id",
                    "proof",
                    "checksum",
                ]);
                [columns, vec![("arrived_at", Time)]].concat()
            }
            Self::Audit => Vec::new(),
            Self::Schedules => vec![("app", Plain), ("last_due", Time)],
            Self::Paused => vec![("app", Plain), ("since", Time), ("by", Plain)],
            Self::Loads => {
                let columns = plain(&["key", "whole", "rows", "skipped", "duplicates", "actor", "made_by"]);
                [columns, vec![("created_at", Time), ("updated_at", Time), ("ended_at", Time)]].concat()
            }
            Self::Aside => {
                let before = plain(&["load_key", "at", "kind", "source_app", "target_app"]);
                let after = plain(&[
                    "flow",
                    "priority",
                    "max_attempts",
                    "dedup_key",
                    "order_key",
                    "parent_id",
                    "replay_of",
                    "trace",
                ]);
                [before, vec![("data", Json), ("run_at", Time)], after].concat()
            }
            Self::Sources => plain(&["source", "kind", "pushed", "deleted", "expired"]),
            Self::Counts => plain(&["app", "kind", "status", "entered"]),
            Self::Activity => [plain(self.key()), plain(&activity::COLUMNS)].concat(),
            Self::Idempotency => {
                let columns = plain(&["owner", "key", "fingerprint", "delivery_id"]);
                [columns, vec![("created_at", Time)]].concat()
            }
            Self::Cancellations => vec![("delivery_id", Plain), ("at", Time), ("by", Plain)],
            Self::Progress => {
                vec![("delivery_id", Plain), ("seq", Plain), ("at", Time), ("line", Plain)]
            }
            Self::Keys => {
                let who = plain(&["id", "name", "digest", "created_by", "replaced_by"]);
                let times =
                    ["created_at", "expires_at", "revoked_at", "last_used_at"].map(|name| (name, Time));
                [who, vec![("scopes", Texts), ("apps", Texts)], times.to_vec()].concat()
            }
            Self::Alerts => {
                let what = plain(&["key", "kind", "verdict", "app", "delivery_id", "count", "text", "todo"]);
                let whose = plain(&["seen_by", "muted_by"]);
                let times = ["since", "raised_at", "seen_at", "told_at", "muted_until", "ended_at"];
                [what, whose, times.map(|name| (name, Time)).to_vec(), vec![("told", Json)]].concat()
            }
            Self::Notices => {
                let columns = plain(&["target", "attempts", "error"]);
                [columns, vec![("made_at", Time), ("due_at", Time), ("body", Json)]].concat()
            }
            Self::Sizes => vec![("what", Plain), ("at", Time), ("bytes", Plain), ("entries", Plain)],
            Self::Actions => {
                let columns =
                    plain(&["actor", "via", "did", "thing", "app", "delivery_id", "last_id", "note"]);
                [columns, vec![("at", Time)]].concat()
            }
        }
    }
}

/// Some rows of a part, in its order.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The rows, each a JSON object.
    pub rows: Vec<String>,
    /// Where the next page begins: after this key, a JSON array; none at the end.
    pub next: Option<String>,
}

/// What tells whether a ledger changed, and what goes into a copy of it last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Whose ledger it is.
    pub identity: String,
    /// The highest number that it gave out.
    pub last_id: i64,
    /// The last entry of its audit log.
    pub last_entry: i64,
    /// How many loads there are, how many rows they took, and how many API keys, alerts, notices, sizes and actions
    /// there are.
    pub loaded: i64,
}

/// How much of each part was copied.
pub type Copied = Vec<(Part, u64)>;

/// Copies everything. `progress` hears after each page how many rows of a part have gone.
///
/// # Errors
/// Where the target is not empty, the source is at work or changed meanwhile, or either fails.
pub async fn copy(from: &dyn Ledger, to: &dyn Ledger, mut progress: impl FnMut(Part, u64)) -> Result<Copied> {
    let before = from.state().await?;
    check(from, to, &before).await?;
    let mut copied = Copied::new();
    for part in Part::ALL {
        let (mut rows, mut after) = (0, None);
        loop {
            let page = from.read_part(part, after, PAGE).await?;
            rows += page.rows.len() as u64;
            if !page.rows.is_empty() {
                to.write_part(part, page.rows).await?;
                progress(part, rows);
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        copied.push((part, rows));
    }
    if from.state().await? != before {
        return Err(Error::new(ErrorKind::NotYet, "the ledger changed while it was copied")
            .on(from.location())
            .hint(
                "stop every `handover run` and every program that writes it, drop the copy, and begin anew",
            ));
    }
    to.take_over(&before).await?;
    Ok(copied)
}

async fn check(from: &dyn Ledger, to: &dyn Ledger, before: &State) -> Result<()> {
    let there = to.state().await?;
    if there.identity == before.identity {
        return Err(
            Error::config("this ledger is a copy of the other already, or the same").on(to.location())
        );
    }
    if there.last_id != 0 || there.last_entry != 0 || there.loaded != 0 {
        return Err(Error::config("the ledger to copy to is not empty")
            .on(to.location())
            .hint("copy to a new file or an empty database: histories cannot be mixed"));
    }
    is_at_rest(from).await
}

/// Whether nobody works on deliveries of this ledger, so that it can be copied.
///
/// # Errors
/// [`ErrorKind::NotYet`] where somebody does, and where it cannot be asked.
pub async fn is_at_rest(from: &dyn Ledger) -> Result<()> {
    let holders = from.holders().await?;
    if let Some(holder) = holders.first() {
        return Err(Error::new(
            ErrorKind::NotYet,
            format!("{holder} is working on deliveries of this ledger"),
        )
        .on(from.location())
        .hint(
            "stop every `handover run`, let programs that pulled or claimed by SQL answer, or wait until the leases of killed ones \
             have ended, and copy then",
        ));
    }
    Ok(())
}
