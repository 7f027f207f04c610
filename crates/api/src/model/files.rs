//! Files that were uploaded.

use handover_core::DeliveryId;
use serde::Serialize;
use utoipa::ToSchema;

/// A file that was uploaded.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Uploaded {
    /// The delivery that the file is.
    #[schema(value_type = i64)]
    pub(crate) delivery_id: DeliveryId,
    /// Its path in the data directory.
    pub(crate) path: String,
    /// The deliveries that were made of it, one for each app that gets it.
    #[schema(value_type = Vec<i64>)]
    pub(crate) deliveries: Vec<DeliveryId>,
    /// Who gets it.
    pub(crate) next_apps: Vec<String>,
    /// Its size in bytes.
    pub(crate) size: u64,
    /// `sha256:` and its SHA-256 in hexadecimal.
    pub(crate) checksum: String,
    /// Its rows, where they are counted.
    pub(crate) rows: Option<u64>,
}
