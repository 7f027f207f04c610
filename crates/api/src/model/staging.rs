//! Records: pushed, pulled, answered.

use handover_core::{DeliveryId, Json};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What came of records that were pushed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PushDone {
    /// Records that are in the ledger now, by this request.
    pub(crate) records: u64,
    /// Of these, how many were there already by their dedup key.
    pub(crate) duplicates: u64,
    /// Records that an earlier request with the same key had brought in.
    pub(crate) already: u64,
    /// The load's key, where it has one.
    pub(crate) key: Option<String>,
    /// Whether the load had ended before: nothing was done.
    pub(crate) ended_before: bool,
}

/// What is pulled.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PullRequest {
    /// At most so many; 1 by default.
    #[schema(minimum = 1, maximum = 100_000)]
    pub(crate) max: Option<usize>,
    /// So many seconds are waited for the first; none by default.
    #[schema(minimum = 0, maximum = 60)]
    pub(crate) wait_seconds: Option<u64>,
    /// So many seconds they are the caller's; 300 by default.
    #[schema(minimum = 1, maximum = 86_400)]
    pub(crate) lease_seconds: Option<u64>,
}

/// A record, pulled.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PulledRecord {
    /// Its number.
    #[schema(value_type = i64)]
    pub(crate) id: DeliveryId,
    /// Which attempt this is.
    pub(crate) attempt: u32,
    /// The record.
    #[schema(value_type = Value)]
    pub(crate) data: Json,
}

/// Records, pulled.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Pulled {
    /// The proof of the claim, for `ack`; none where there were no records.
    #[schema(value_type = Option<String>)]
    pub(crate) token: Option<handover_core::LeaseToken>,
    /// Until when they are the caller's.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) lease_until: Option<Timestamp>,
    /// The records.
    pub(crate) records: Vec<PulledRecord>,
}

/// How records of a claim end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AckOutcome {
    /// They are done.
    #[default]
    Completed,
    /// They are given up.
    Failed,
    /// They are tried again.
    Retry,
    /// The claim lasts longer.
    Extend,
}

/// Answers to a claim.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AckRequest {
    /// The proof of the claim.
    pub(crate) token: String,
    /// Which records; without it all of the claim.
    #[serde(default)]
    #[schema(value_type = Option<Vec<i64>>, min_items = 1)]
    pub(crate) ids: Option<Vec<DeliveryId>>,
    /// How they end; `completed` by default.
    #[serde(default)]
    pub(crate) outcome: AckOutcome,
    /// What went wrong, where they did not complete.
    #[serde(default)]
    pub(crate) error: Option<String>,
    /// With `extend`: so many seconds from now; 300 by default.
    #[schema(minimum = 1, maximum = 86_400)]
    #[serde(default)]
    pub(crate) lease_seconds: Option<u64>,
}

/// What came of answers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Acked {
    /// How many records they were for.
    pub(crate) records: usize,
}
