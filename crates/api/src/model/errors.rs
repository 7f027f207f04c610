//! Errors, in both forms.

use serde::Serialize;
use utoipa::ToSchema;

/// One thing that will not do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Detail {
    /// The field, by its path, such as `config.threshold`.
    pub(crate) field: String,
    /// What is wrong with it.
    pub(crate) issue: String,
}

/// An error, as v1 gives it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorEnvelope {
    /// The error.
    pub(crate) error: ErrorBody,
}

/// What went wrong.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    /// What went wrong, for programs.
    #[schema(example = "VALIDATION_ERROR")]
    pub(crate) code: String,
    /// What went wrong, for people, and what to do.
    pub(crate) message: String,
    /// By field, where fields are wrong.
    pub(crate) details: Vec<Detail>,
    /// The request's id, which the log has too.
    #[schema(example = "req_7k3v9q2m5x8c1b4n6z0w")]
    pub(crate) request_id: String,
}

/// An error as problem details (RFC 9457), as v2 gives it, and v1 to who accepts `application/problem+json`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// Where the kind of error is explained.
    pub(crate) r#type: String,
    /// The status in words.
    pub(crate) title: String,
    /// The status.
    pub(crate) status: u16,
    /// What went wrong, and what to do.
    pub(crate) detail: String,
    /// The path that was asked for.
    pub(crate) instance: String,
    /// What went wrong, for programs.
    pub(crate) code: String,
    /// By field, where fields are wrong.
    pub(crate) errors: Vec<Detail>,
    /// The request's id, which the log has too.
    pub(crate) request_id: String,
}
