//! Deliveries of every kind, and why they stand where they stand.

use handover_core::{Delivery, DeliveryId, Json, Kind, Status};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// Why a delivery stands where it stands.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Explained {
    /// What was asked about.
    pub(crate) subject: String,
    /// In one word.
    pub(crate) state: String,
    /// What it waits for, or what became of it.
    pub(crate) sentences: Vec<String>,
    /// Since when.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) since: Option<Timestamp>,
    /// What was tried.
    pub(crate) tried: Vec<String>,
    /// What would free it.
    pub(crate) release: Option<String>,
    /// What to do: commands.
    pub(crate) todo: Vec<String>,
}

impl From<handover_runtime::operations::why::Explanation> for Explained {
    fn from(said: handover_runtime::operations::why::Explanation) -> Self {
        Self {
            subject: said.subject,
            state: said.state.word().to_owned(),
            sentences: said.sentences,
            since: said.since,
            tried: said.tried,
            release: said.release,
            todo: said.todo,
        }
    }
}

/// A delivery: a file, a record or a job.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeliveryView {
    /// Its number.
    #[schema(value_type = i64)]
    pub(crate) id: DeliveryId,
    /// `file`, `record` or `job`.
    #[schema(value_type = String)]
    pub(crate) kind: Kind,
    /// Who handed it over.
    pub(crate) source_app: String,
    /// Who gets it; none at the end of a flow.
    pub(crate) target_app: Option<String>,
    /// `pending`, `processing`, `completed`, `failed` or `archived`.
    #[schema(value_type = String)]
    pub(crate) status: Status,
    /// The flow that it belongs to.
    pub(crate) flow: Option<String>,
    /// The record, the file's manifest with its `path`, or the job's configuration.
    #[schema(value_type = Value)]
    pub(crate) data: Json,
    /// When it was handed over.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) updated_at: Timestamp,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) processed_at: Option<Timestamp>,
    /// Not before this time.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) run_at: Timestamp,
    /// How often it was begun.
    pub(crate) attempts: u32,
    /// After so many attempts it has failed.
    pub(crate) max_attempts: u32,
    /// The delivery that it was made from.
    #[schema(value_type = Option<i64>)]
    pub(crate) parent_id: Option<DeliveryId>,
    /// The delivery that it runs again.
    #[schema(value_type = Option<i64>)]
    pub(crate) replay_of: Option<DeliveryId>,
    /// What went wrong last.
    pub(crate) last_error: Option<String>,
    /// What came of it.
    #[schema(value_type = Value)]
    pub(crate) result: Option<Value>,
}

impl From<Delivery> for DeliveryView {
    fn from(delivery: Delivery) -> Self {
        Self {
            id: delivery.id,
            kind: delivery.kind,
            source_app: delivery.source_app,
            target_app: delivery.target_app,
            status: delivery.status,
            flow: delivery.flow,
            data: delivery.data,
            created_at: delivery.created_at,
            updated_at: delivery.updated_at,
            processed_at: delivery.processed_at,
            run_at: delivery.run_at,
            attempts: delivery.attempts,
            max_attempts: delivery.max_attempts,
            parent_id: delivery.parent_id,
            replay_of: delivery.replay_of,
            last_error: delivery.last_error,
            result: delivery.result,
        }
    }
}

/// A page of deliveries, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeliveryPage {
    /// The deliveries.
    pub(crate) deliveries: Vec<DeliveryView>,
    /// The cursor of the next page; none on the last.
    pub(crate) next: Option<String>,
}

/// A new delivery from an old one.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReplayedOne {
    /// The new one.
    #[schema(value_type = i64)]
    pub(crate) id: DeliveryId,
    /// The old one.
    #[schema(value_type = i64)]
    pub(crate) replay_of: DeliveryId,
}
