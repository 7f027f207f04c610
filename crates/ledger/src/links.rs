//! What went along each link, in rows: for the account of a flow.

use handover_core::{Kind, Status};
use serde::Serialize;

/// Deliveries of one kind from one app to another that stand alike, archived ones among them; deleted ones are not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LinkRows {
    /// The app that handed over.
    pub source: String,
    /// The app that they go to.
    pub target: String,
    /// What they are.
    pub kind: Kind,
    /// How they stand; what is archived, how it ended.
    pub status: Status,
    /// Whether they run others again.
    pub replay: bool,
    /// Rows that were handed over: of a file those that its manifest says, and one of each record.
    pub rows: u64,
    /// Rows that were read, as the results say.
    pub rows_in: u64,
    /// Rows that were written.
    pub rows_out: u64,
    /// Rows that were rejected.
    pub rejected: u64,
    /// Rows that were left out as configured.
    pub filtered: u64,
    /// Records that files became.
    pub records: u64,
}

/// What the account of a flow is made from.
#[derive(Debug, Clone, Default)]
pub struct Links {
    /// What went along each link.
    pub rows: Vec<LinkRows>,
    /// Which records made others.
    pub parents: Vec<Parents>,
}

/// How many deliveries of an app were made into records for another; deleted ones do not count, nor do replays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parents {
    /// The app that handed over.
    pub source: String,
    /// The app that its records go to.
    pub target: String,
    /// How many they were made from, each counted once.
    pub count: u64,
    /// How many of these were deleted after that: what they became is there all the same.
    pub gone: u64,
}

/// The query of [`Links::parents`], for tables whose names begin so.
pub(crate) fn parents_query(prefix: &str) -> String {
    let table = |name: &str| {
        format!(
            "SELECT source_app, target_app, parent_id FROM {prefix}{name} \
             WHERE target_app IS NOT NULL AND kind = 'record' AND deleted_at IS NULL AND parent_id IS NOT NULL AND replay_of IS NULL"
        )
    };
    let there = |name: &str| format!("SELECT id FROM {prefix}{name} WHERE deleted_at IS NULL");
    format!(
        "SELECT source_app, target_app, count(DISTINCT parent_id), count(DISTINCT parent_id) FILTER (WHERE known.id IS NULL) \
         FROM ({} AND status <> 'archived' UNION ALL {}) AS everything \
         LEFT JOIN ({} AND status <> 'archived' UNION ALL {}) AS known ON known.id = everything.parent_id \
         GROUP BY 1, 2 ORDER BY 1, 2",
        table("v_deliveries"),
        table("_archived"),
        there("v_deliveries"),
        there("_archived")
    )
}

/// The query of [`Links::rows`], for tables whose names begin so.
pub(crate) fn query(prefix: &str) -> String {
    let number = |of: &str, key: &str| format!("CAST(coalesce({of} ->> '{key}', '0') AS bigint)");
    let sum = |what: &str| format!("CAST(sum({what}) AS bigint)");
    let results = ["rows_in", "rows_out", "rows_rejected", "rows_filtered", "records"];
    let results = results.map(|key| sum(&number("result", key))).join(", ");
    let rows = sum(&format!("CASE kind WHEN 'file' THEN {} ELSE 1 END", number("data", "row_count")));
    let table = |name: &str, stands: &str| {
        format!(
            "SELECT source_app, target_app, kind, {stands} AS stands, replay_of, data, result FROM {prefix}{name} \
             WHERE target_app IS NOT NULL AND kind <> 'job' AND deleted_at IS NULL"
        )
    };
    format!(
        "SELECT source_app, target_app, kind, stands, replay_of IS NOT NULL AS again, {rows}, {results} \
         FROM ({} AND status <> 'archived' UNION ALL {}) AS everything GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5",
        table("v_deliveries", "status"),
        table("_archived", "ended_as")
    )
}
