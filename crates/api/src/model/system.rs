//! Whether the process works, and whether all is well.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

/// Whether the process lives.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Liveness {
    /// `ok`.
    pub(crate) status: String,
}

/// One check of health.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HealthCheck {
    /// What was looked at.
    pub(crate) name: String,
    /// `pass`, `warn` or `fail`.
    pub(crate) verdict: String,
    /// What was seen.
    pub(crate) text: String,
    /// What to do.
    pub(crate) todo: Option<String>,
}

/// Whether all is well.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HealthView {
    /// The worst of the checks.
    pub(crate) verdict: String,
    /// When this was looked at.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) at: Timestamp,
    /// The checks.
    pub(crate) checks: Vec<HealthCheck>,
}
