//! A delivery: one row of the ledger.

use crate::id::{DeliveryId, HolderId, LeaseToken};
use crate::json::Json;
use crate::state::{Kind, Status};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

/// One row of the ledger, as it is read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Delivery {
    /// Its number.
    pub id: DeliveryId,
    /// A record, a file or a job.
    pub kind: Kind,
    /// The app that handed it over, or a word for whoever did.
    pub source_app: String,
    /// The app that it goes to; none at the end of a flow.
    pub target_app: Option<String>,
    /// The record; the file's manifest with its `path`; or the job's configuration.
    pub data: Json,
    /// Where it stands.
    pub status: Status,
    /// When it was handed over.
    pub created_at: Timestamp,
    /// When it ended.
    pub processed_at: Option<Timestamp>,
    /// When its row last changed.
    pub updated_at: Timestamp,
    /// Who made the row.
    pub created_by: Option<String>,
    /// When a person deleted it (it can be restored); a deleted delivery is never claimed.
    pub deleted_at: Option<Timestamp>,
    /// The flow that it belongs to.
    pub flow: Option<String>,
    /// Higher goes first.
    pub priority: i32,
    /// Not before this time.
    pub run_at: Timestamp,
    /// How often it was claimed, less the times its holder was lost.
    pub attempts: u32,
    /// After so many attempts it has failed.
    pub max_attempts: u32,
    /// Who may speak for it now.
    #[serde(skip)]
    pub lease_token: Option<LeaseToken>,
    /// The process that holds the lease.
    pub leased_by: Option<HolderId>,
    /// When the lease ends unless it is renewed.
    pub lease_until: Option<Timestamp>,
    /// A second delivery with the same key to the same app is the same delivery.
    pub dedup_key: Option<String>,
    /// Deliveries with the same key run one after the other.
    pub order_key: Option<String>,
    /// The delivery it was made from.
    pub parent_id: Option<DeliveryId>,
    /// The delivery that it runs again.
    pub replay_of: Option<DeliveryId>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// The W3C trace context.
    pub trace: Option<String>,
    /// How often it was given back because its holder was lost.
    pub rescues: u32,
    /// How often its program said "later".
    pub snoozes: u32,
    /// What came of it: rows, outputs, notes, the end of stderr.
    pub result: Option<Value>,
}

/// A delivery to be pushed.
#[derive(Debug, Clone, PartialEq)]
pub struct NewDelivery {
    /// Its number where one was set aside for it when its name was reserved.
    pub id: Option<DeliveryId>,
    /// A record, a file or a job.
    pub kind: Kind,
    /// The app that hands it over.
    pub source_app: String,
    /// The app that it goes to; none at the end of a flow, where it is born completed.
    pub target_app: Option<String>,
    /// See [`Delivery::data`].
    pub data: Json,
    /// The flow that it belongs to.
    pub flow: Option<String>,
    /// Higher goes first.
    pub priority: i32,
    /// Not before this time; none is at once.
    pub run_at: Option<Timestamp>,
    /// After so many attempts it has failed; at least 1.
    pub max_attempts: u32,
    /// A second delivery with the same key to the same app is refused as a duplicate.
    pub dedup_key: Option<String>,
    /// Deliveries with the same key run one after the other.
    pub order_key: Option<String>,
    /// The delivery it was made from.
    pub parent_id: Option<DeliveryId>,
    /// The delivery that it runs again.
    pub replay_of: Option<DeliveryId>,
    /// The W3C trace context.
    pub trace: Option<String>,
}

impl NewDelivery {
    /// A delivery with these contents, to run at once, with the usual number of attempts.
    pub fn new(
        kind: Kind,
        source_app: impl Into<String>,
        target_app: Option<String>,
        data: impl Into<Json>,
    ) -> Self {
        Self {
            id: None,
            kind,
            source_app: source_app.into(),
            target_app,
            data: data.into(),
            flow: None,
            priority: 0,
            run_at: None,
            max_attempts: crate::limits::RETRIES_DEFAULT + 1,
            dedup_key: None,
            order_key: None,
            parent_id: None,
            replay_of: None,
            trace: None,
        }
    }
}
